// `npm run join -- ADDRESS --token TOKEN`: makes this machine a host of a cluster, and starts what runs containers. `pouch agent join` comes through here.
// It founds nothing, and leaves a machine that belongs to a cluster already as it is, unless the token was made for it.
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { joinCluster, memberFiles, natsAddresses } from '@pouch/membership';
import { writeWhole } from '@pouch/membership/write-whole';
import { build } from './build.ts';
import { claimData, hostIdOf, startCluster, stopCluster } from './cluster/cluster.ts';
import { authorityFile, memberDirectory, OptionError, optionsHelp, parseClusterArguments, resolveCluster, secretsKeyFile, type ClusterConfig, type ClusterOptions } from './cluster/options.ts';
import { supervisorStatus } from './cluster/health.ts';
import { installCli } from './install-cli.ts';
import { provideMachines } from './machines.ts';
import { clusterNeeds, installMissing } from './system-packages.ts';
import { installUnit } from './systemd-unit.ts';

const say = (line: string): void => console.log(`  ${line}`);

const help = `npm run join -- ADDRESS --token TOKEN [OPTIONS]
  ADDRESS           where the cluster's NATS is, e.g. 10.0.0.1; several with commas
  --token TOKEN     by \`pouch cluster join-token\`; - reads it from standard input
${optionsHelp}
  --no-install      neither put \`pouch\` into PATH nor make a unit of systemd
  --no-machines     do not set up QEMU and a guest kernel`;

/** What the cluster has given, where the processes look for it. The key for secrets is kept where it is another one: who had it must decide. */
async function keep(config: ClusterConfig, hostId: string, { credentials, ca, secretsKey }: Awaited<ReturnType<typeof joinCluster>>): Promise<void> {
  const files = memberFiles(memberDirectory(config));
  await mkdir(memberDirectory(config), { recursive: true, mode: 0o700 });
  await chmod(memberDirectory(config), 0o700);
  await writeWhole(files.ca, ca, 0o644);
  if (secretsKey !== null) await writeWhole(secretsKeyFile(config), secretsKey, 0o600);
  await writeFile(`${config.data}/host-id`, `${hostId}\n`);
  // Last: with them it is a member.
  await writeWhole(files.creds('agent'), credentials, 0o600);
}

async function join(args: readonly string[]): Promise<void> {
  const { options, flags, positionals, token: given } = parseClusterArguments(args);
  if (flags.has('help')) return console.log(help);
  const [address, ...more] = positionals;
  if (address === undefined || more.length > 0) throw new OptionError(`one address of NATS is needed\n${help}`);
  if (given === undefined) throw new OptionError('--token is needed: `pouch cluster join-token` makes one');
  const servers = natsAddresses(address);
  const config = resolveCluster(options);
  if (process.getuid?.() !== 0) throw new OptionError('`npm run join` starts containers and installs packages: run it as root');
  const founds = await readFile(authorityFile(config)).then(() => true, () => false);
  if (founds) throw new OptionError(`this machine has founded a cluster, and ${authorityFile(config)} is its authority: \`npm run down -- --purge\` gives that cluster up, with all that it has`);
  const token = (given === '-' ? await text(process.stdin) : given).trim();
  await installMissing(clusterNeeds, say);
  await build();
  if (!flags.has('no-machines')) await provideMachines(say);
  await claimData(config);
  const hostId = await hostIdOf(config);
  say(`asking ${servers.join(', ')} to admit ${hostId}`);
  const joined = await joinCluster({ servers, token, hostId });
  const members: ClusterOptions = { ...options, hostId, joined: joined.servers };
  // One that runs has other credentials; its containers go on.
  if (await supervisorStatus(config) !== undefined) await stopCluster(options, { keepContainers: true }, say);
  await keep(config, hostId, joined);
  await startCluster(members, say);
  if (!flags.has('no-install')) {
    await installCli(say);
    await installUnit(config, say);
  }
  say(`${hostId} has joined; \`pouch cluster hosts\` on a machine with an api shows it. \`npm run status\`, \`npm run down\` and \`npm run up\` work here as well.`);
}

try {
  await join(process.argv.slice(2));
} catch (error) {
  console.error(`pouch: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = error instanceof OptionError ? 2 : 1;
}
