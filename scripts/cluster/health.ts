// Whether a cluster is whole: asked of its API and told by its supervisor. Only reads.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClusterHealth, ClusterHosts } from '@pouch/contracts';
import { callApi, getJson } from './api-client.ts';
import { natsInfo } from './nats-info.ts';
import type { ClusterConfig } from './options.ts';
import { readPidFile } from './process-identity.ts';
import { statusFile, supervisorPidFile, type SupervisorStatus } from './supervisor.ts';

/** What is missing for a moment only, as at every start, is not worth a line. */
const quietMs = 1_500;

const noSupervisor = 'the supervisor does not run';
/** So long a supervisor may take to say a first word. */
const supervisorStartsMs = 45_000;

/** A heartbeat older than this does not show a working agent. */
const beatMaxAgeMs = 15_000;

/** What is missing, one sentence each; nothing when the cluster is whole. */
export async function clusterProblems(config: ClusterConfig): Promise<string[]> {
  const supervisor = await supervisorStatus(config);
  // What answers meanwhile can be what an earlier supervisor left and this one is about to end.
  if (supervisor?.phase !== 'running') return [supervisor === undefined ? noSupervisor : `the processes are ${supervisor.phase}`];
  if (!config.processes.includes('api')) return await natsProblems(config);
  let ping: number;
  try {
    ping = (await callApi(config.socket, { path: '/_ping', timeoutMs: 3_000 })).status;
  } catch (error) {
    return [`the api does not answer on ${config.socket} (${error instanceof Error ? error.message : String(error)})`];
  }
  if (ping !== 200) return [`the api answers ${ping} to a ping`];
  const health = await getJson<ClusterHealth>(config.socket, '/cluster/health');
  if (health === undefined) return ['the api does not tell its health'];
  const problems = [...health.problems];
  if (health.scheduler === null) problems.push('no scheduler leads');
  const hosts = (await getJson<ClusterHosts>(config.socket, '/cluster/hosts'))?.hosts ?? [];
  const whole = async (): Promise<string[]> => (problems.length > 0 ? problems : await natsProblems(config));
  if (!config.processes.includes('agent')) return await whole();
  const own = hosts.find((host) => host.id === config.hostId);
  if (own === undefined) problems.push(`host ${config.hostId ?? ''} has not joined`);
  else if (own.state !== 'up') problems.push(`host ${own.id} is ${own.state}`);
  else if (own.lastBeatAtMs === null || Date.now() - own.lastBeatAtMs > beatMaxAgeMs) problems.push(`host ${own.id} sends no heartbeats`);
  return await whole();
}

/** What is missing of this machine's NATS server, if it has one: others may well do its work meanwhile. */
async function natsProblems({ processes, natsPort, natsCluster }: ClusterConfig): Promise<string[]> {
  if (!processes.includes('nats')) return [];
  const info = await natsInfo(natsPort, natsCluster?.address);
  if (info === null) return ['nats-server takes no connections'];
  return info.jetstream ? [] : ['nats-server stores nothing since its disk was full; it is started again when there is room'];
}

/** What the supervisor says, if one runs. */
export async function supervisorStatus(config: ClusterConfig): Promise<SupervisorStatus | undefined> {
  const running = await readPidFile(supervisorPidFile(config.run));
  if (running === undefined) return undefined;
  try {
    const status = JSON.parse(await readFile(statusFile(config.run), 'utf8')) as SupervisorStatus;
    // One that was killed has left its own.
    return status.pid === running.pid ? status : undefined;
  } catch {
    return undefined; // it has only just begun
  }
}

/** The end of a process's log, for a message about its failure. */
async function logTail(path: string, lines: number): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trimEnd().split('\n').slice(-lines).map((line) => `    ${line.slice(0, 400)}`).join('\n');
  } catch {
    return '    (no log)';
  }
}

/** Which process is in trouble and what its log says last. */
export async function describeTrouble(config: ClusterConfig): Promise<string> {
  const status = await supervisorStatus(config);
  if (status === undefined) return `  the supervisor does not run; its log is ${join(config.logs, 'supervisor.log')}:\n${await logTail(join(config.logs, 'supervisor.log'), 5)}`;
  const parts: string[] = [];
  for (const [name, process] of Object.entries(status.processes)) {
    if (process.state === 'running' && process.restarts === 0) continue;
    const log = join(config.logs, `${name}.log`);
    parts.push(`  ${name} is ${process.state}, started again ${process.restarts} times, last end: ${process.lastEnd ?? 'none'}; its log is ${log}:\n${await logTail(log, 8)}`);
  }
  return parts.length > 0 ? parts.join('\n') : `  every process runs; their logs are in ${config.logs}`;
}

/** EX_CONFIG: it says so of its configuration, which no further start betters. */
const refusedConfiguration = 'exit code 78';

/** Whether a process will not come up however often it is started. */
async function isHopeless(config: ClusterConfig): Promise<boolean> {
  const processes = Object.values((await supervisorStatus(config))?.processes ?? {});
  return processes.some(({ state, lastEnd }) => state !== 'running' && lastEnd === refusedConfiguration);
}

/** Polls until nothing is missing; throws with what is, and which log to read. `onChange` gets what is missing whenever that changes. */
export async function waitUntilHealthy(config: ClusterConfig, timeoutMs: number, onChange: (problems: readonly string[]) => void): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  const began = Date.now();
  let told = '';
  for (;;) {
    const problems = await clusterProblems(config);
    if (problems.length === 0) return;
    const dead = problems[0] === noSupervisor && Date.now() - began > supervisorStartsMs;
    if (dead || Date.now() > deadline || (await isHopeless(config))) throw new Error(`the cluster is not whole after ${Math.round((Date.now() - began) / 1_000)} s: ${problems.join('; ')}\n${await describeTrouble(config)}`);
    if (problems.join() !== told && Date.now() - began > quietMs) {
      onChange(problems);
      told = problems.join();
    }
    await delay(50);
  }
}
