// `npm run found`: writes what a machine of a permanent installation needs to found a cluster, or take part in one whose authority.json and secrets.key have
// been copied to it: authority, credentials, certificates, nats-server's configuration. `npm run up` does the same by itself. It starts and installs nothing.
import { claimData, settle } from './cluster/cluster.ts';
import { memberDirectory, OptionError, optionsHelp, parseClusterArguments, resolveCluster } from './cluster/options.ts';
import { writeNatsConfig } from './cluster/specs.ts';

async function found(args: readonly string[]): Promise<void> {
  const { options, flags } = parseClusterArguments(args);
  if (flags.has('help')) return console.log(`npm run found -- [OPTIONS]${optionsHelp}`);
  const wanted = resolveCluster(options);
  await claimData(wanted);
  const config = await settle(wanted);
  if (config.joined !== null) throw new OptionError(`this machine has joined a cluster that others found (${config.data}/joined.json)`);
  console.log(`nats-server: ${await writeNatsConfig(config)}\ncredentials: ${memberDirectory(config)}`);
}

try {
  await found(process.argv.slice(2));
} catch (error) {
  console.error(`pouch: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = error instanceof OptionError ? 2 : 1;
}
