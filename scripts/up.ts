// `npm run up`: installs, builds and starts what is missing, and says how to go on. Idempotent; quick when all is in place.
import { build } from './build.ts';
import { ensureBusybox } from './busybox-image.ts';
import { startCluster } from './cluster/cluster.ts';
import { OptionError, optionsHelp, parseClusterArguments, resolveCluster } from './cluster/options.ts';
import { installCli } from './install-cli.ts';
import { provideMachines } from './machines.ts';
import { provideNatsServer } from './nats-server.ts';
import { clusterNeeds, installMissing } from './system-packages.ts';

const began = Date.now();
const say = (line: string): void => console.log(`  [${((Date.now() - began) / 1000).toFixed(1).padStart(5)} s] ${line}`);

async function up(args: readonly string[]): Promise<void> {
  const { options, flags } = parseClusterArguments(args);
  if (flags.has('help')) return console.log(`npm run up -- [OPTIONS]\n${optionsHelp}\n  --no-image        do not fetch busybox\n  --no-install      do not put \`pouch\` into PATH\n  --no-machines     do not set up QEMU and a guest kernel`);
  resolveCluster(options); // a bad option is told before anything is installed
  if (process.getuid?.() !== 0) throw new OptionError('`npm run up` starts containers and installs packages: run it as root');
  await installMissing(clusterNeeds, say);
  await build();
  await provideNatsServer(say);
  const machines = !flags.has('no-machines') && await provideMachines(say);
  const config = await startCluster(options, say);
  say(`up: ${config.processes.join(', ')}`);
  if (!flags.has('no-image') && config.processes.includes('api')) await ensureBusybox(config.socket, say);
  if (!flags.has('no-install')) await installCli(say);
  if (!config.processes.includes('api')) return say('this host runs containers for the cluster that it has joined');
  console.log(`
Pouch is up. Go on with:
  pouch run -it busybox
  pouch create --name hypervisor ${machines ? '--runtime runv ' : ''}docker.io/library/busybox:latest && pouch start hypervisor -i
  docker -H unix://${config.socket} run --rm -it busybox
Logs: ${config.logs}   Data: ${config.data}
\`npm run status\` shows the processes, \`npm run down\` stops everything and keeps the data (-- --purge removes it).`);
}

try {
  await up(process.argv.slice(2));
} catch (error) {
  console.error(`pouch: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = error instanceof OptionError ? 2 : 1;
}
