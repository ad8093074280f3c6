// `npm run down`, `restart` and `status`: the other verbs of a one-machine cluster. Installs and builds nothing.
import { onTop } from './cluster/changes.ts';
import { currentConfig, startCluster, stopCluster } from './cluster/cluster.ts';
import { clusterProblems, supervisorStatus } from './cluster/health.ts';
import { setStoreAside } from './cluster/nats-store.ts';
import { natsStore, OptionError, optionsHelp, orderForRestore, parseClusterArguments, startOrder } from './cluster/options.ts';

const say = (line: string): void => console.log(`  ${line}`);

const help = `npm run down -- [--purge] [OPTIONS]     stops everything, containers too; keeps the data unless --purge
npm run restart -- [--for-restore] [OPTIONS]   starts the processes anew; containers go on. --for-restore: sets the log aside, and starts all but
                                        api and scheduler, until \`pouch cluster restore\` is done and \`npm run restart\` starts them
npm run status -- [OPTIONS]             shows the processes and what is missing
${optionsHelp}`;

async function status(options: Parameters<typeof currentConfig>[0]): Promise<void> {
  const config = await currentConfig(options);
  const supervisor = await supervisorStatus(config);
  if (supervisor === undefined) {
    console.log('not running');
    process.exitCode = 3;
    return;
  }
  console.log(`supervisor: ${supervisor.phase}, pid ${supervisor.pid}, since ${supervisor.startedAt}`);
  for (const [name, each] of Object.entries(supervisor.processes)) {
    console.log(`${`${name}:`.padEnd(11)} ${each.state}${each.pid === null ? '' : `, pid ${each.pid}`}${each.restarts === 0 ? '' : `, started again ${each.restarts} times (last end: ${each.lastEnd})`}`);
  }
  const problems = await clusterProblems(config);
  for (const problem of problems) console.log(`missing:    ${problem}`);
  if (problems.length > 0) process.exitCode = 1;
}

async function main(args: readonly string[]): Promise<void> {
  const { options, flags, positionals } = parseClusterArguments(args);
  const verb = positionals[0];
  if (flags.has('help')) return console.log(help);
  if (verb === 'status') return await status(options);
  if (process.getuid?.() !== 0) throw new OptionError(`\`npm run ${verb ?? 'down'}\` ends root's processes: run it as root`);
  if (verb === 'restart') {
    const before = await currentConfig(options);
    await stopCluster(options, { keepContainers: true }, say);
    const forRestore = flags.has('for-restore');
    if (forRestore) {
      const aside = await setStoreAside(natsStore(before), `before-restore-${new Date().toISOString().replace(/[-:]|\.\d+/g, '')}`);
      if (aside !== null) say(`the log that was here is kept in ${aside}`);
    }
    const { processes } = await startCluster({ ...onTop(before, options), processes: forRestore ? orderForRestore : startOrder }, say);
    say(forRestore ? `${processes.join(', ')} run; \`pouch cluster restore FILE\` is next, \`npm run restart\` after it` : 'up again');
  } else if (verb === 'down') {
    await stopCluster(options, { purge: flags.has('purge') }, say);
    say('stopped');
  } else {
    throw new OptionError(`unknown verb ${verb ?? ''}\n${help}`);
  }
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(`pouch: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = error instanceof OptionError ? 2 : 1;
}
