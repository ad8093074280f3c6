// The process that keeps a one-machine cluster's processes running: `node supervisor.ts <run>/cluster.json`.
// SIGTERM stops them in order and leaves containers running. It must not touch containers, nor processes it did not start.
import { access, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { identify, writePidFile } from './process-identity.ts';
import type { ClusterConfig } from './options.ts';
import { prepareProcesses, type Programs } from './specs.ts';
import { SupervisedProcess, type ProcessState } from './supervised-process.ts';

/** What `<run>/cluster.json` holds. */
export type SupervisorInput = { readonly config: ClusterConfig; readonly programs: Programs };

/** What `<run>/status.json` holds. */
export type SupervisorStatus = {
  readonly phase: 'starting' | 'running' | 'stopping';
  readonly pid: number;
  readonly startedAt: string;
  readonly processes: Readonly<Record<string, ProcessState>>;
};

export const supervisorPidFile = (run: string): string => join(run, 'supervisor.pid');
export const statusFile = (run: string): string => join(run, 'status.json');
/** There from before a supervisor is launched until somebody stops it: one that is slow to start and finds it gone is not wanted any more. */
export const wantedFile = (run: string): string => join(run, 'wanted');

const firstConnectionMs = 60_000;
const logCheckMs = 30_000;

/** Holds an abstract socket as a lock: the kernel gives it up with the process, whatever that died of. */
async function onlyOne(run: string): Promise<void> {
  const name = `\0pouch-supervisor-${createHash('sha256').update(run).digest('hex').slice(0, 32)}`;
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', () => reject(new Error(`another supervisor runs for ${run}`)));
    server.listen(name, resolve);
  });
  server.unref();
}

async function isWanted(run: string): Promise<boolean> {
  return await access(wantedFile(run)).then(() => true, () => false);
}

/** Writes the status file, one write at a time, the newest state last. */
function statusWriter(run: string, current: () => SupervisorStatus): () => Promise<void> {
  let wanted = false;
  let writing: Promise<void> | undefined;
  const write = async (): Promise<void> => {
    while (wanted) {
      wanted = false;
      await writeFile(`${statusFile(run)}.new`, `${JSON.stringify(current(), null, 2)}\n`);
      await rename(`${statusFile(run)}.new`, statusFile(run));
    }
    writing = undefined;
  };
  return () => {
    wanted = true;
    writing ??= write();
    return writing;
  };
}

async function main(inputFile: string): Promise<void> {
  const { config, programs } = JSON.parse(await readFile(inputFile, 'utf8')) as SupervisorInput;
  await onlyOne(config.run);
  const self = identify(process.pid);
  if (self === undefined) throw new Error('/proc does not show this process');
  if (!(await isWanted(config.run))) return;
  await writePidFile(supervisorPidFile(config.run), self);
  // Whoever stops removes the one file before looking at the other: either this process is found, or it finds that somebody was here.
  if (!(await isWanted(config.run))) return await rm(supervisorPidFile(config.run), { force: true });

  const startedAt = new Date().toISOString();
  let phase: SupervisorStatus['phase'] = 'starting';
  const say = (message: string, fields: object = {}): void => { process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), msg: message, ...fields })}\n`); };
  const processes: SupervisedProcess[] = [];
  const publish = statusWriter(config.run, () => ({ phase, pid: process.pid, startedAt, processes: Object.fromEntries(processes.map((each) => [each.spec.name, each.state])) }));
  const changed = (): void => {
    publish().catch((error: unknown) => say('status file cannot be written', { error: String(error) }));
  };

  for (const spec of await prepareProcesses(config, programs)) {
    const { name } = spec;
    const supervised: SupervisedProcess = new SupervisedProcess(spec, { pid: join(config.run, 'pids', `${name}.json`), log: join(config.logs, `${name}.log`) }, () => {
      say('process', { name, ...supervised.state });
      changed();
    });
    processes.push(supervised);
  }

  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    phase = 'stopping';
    for (const each of processes.toReversed()) await each.stop();
    await publish();
    await rm(statusFile(config.run), { force: true });
    await rm(supervisorPidFile(config.run), { force: true });
    say('stopped');
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => { stopping ??= stop(); });
  process.stdout.on('error', () => undefined); // its log's disk is full: what it keeps running is worth more than what it says
  process.on('SIGHUP', () => undefined); // the terminal that `up` ran on was closed: of no concern here

  for (const each of processes.toReversed()) await each.endLeftover();
  for (const each of processes) {
    if (stopping !== undefined) return;
    if (!(await each.start(firstConnectionMs))) say('takes no connections yet', { name: each.spec.name });
  }
  if (stopping !== undefined) return;
  phase = 'running';
  changed();
  setInterval(() => processes.forEach((each) => each.boundLog()), logCheckMs);
}

if (import.meta.main) {
  const inputFile = process.argv[2];
  if (inputFile === undefined) throw new Error('usage: supervisor.ts CLUSTER.json');
  await main(inputFile);
}
