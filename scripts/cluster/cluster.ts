// Starts and stops a one-machine cluster; `npm run up`, `npm run down` and the tests all come through here.
// It must not install anything, nor touch a cluster other than the one its options name.
import { execFile, spawn } from 'node:child_process';
import { openSync, closeSync } from 'node:fs';
import { chmod, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { hostId as toHostId } from '@pouch/domain';
import { provideAuthority, provideMember } from '@pouch/membership';
import { newKeyFile } from '@pouch/sealing';
import { environment, projectDir, repositoryDir } from '../config.ts';
import { locateNatsServer } from '../nats-server.ts';
import { changesOf, onTop } from './changes.ts';
import { supervisorStatus, waitUntilHealthy } from './health.ts';
import { endShims, removeCgroups, removeNetwork, unmountBelow } from './leftovers.ts';
import { storeConflict } from './nats-store.ts';
import { addressesHere, networkConflict } from './network-conflict.ts';
import { authorityFile, hostOrder, memberDirectory, natsStore, OptionError, resolveCluster, secretsKeyFile, startOrder, type ClusterConfig, type ClusterOptions, type NatsCluster } from './options.ts';
import { endByPidFile, readPidFile } from './process-identity.ts';
import { locateProgram } from './programs.ts';
import { supervisorPidFile, wantedFile, type SupervisorInput } from './supervisor.ts';

export type Say = (line: string) => void;

export type StopOptions = {
  /** Leave containers running: the next start finds them again. */
  readonly keepContainers?: boolean;
  /** Remove data, logs, namespaces, mounts, the bridge and its rules. */
  readonly purge?: boolean;
};

const marker = '.pouch-cluster';
const healthyWithinMs = 90_000;
const supervisorStopsWithinMs = 90_000;

/** Directories are purged only if we made them: a marker file says so. */
async function claimDirectory(path: string, mode: number): Promise<void> {
  await mkdir(path, { recursive: true });
  await chmod(path, mode);
  await writeFile(join(path, marker), 'Pouch keeps its things here; `npm run down -- --purge` removes this directory.\n');
}

async function purgeDirectory(path: string, say: Say): Promise<void> {
  if (await stat(join(path, marker)).catch(() => undefined) === undefined) return;
  await rm(path, { recursive: true, force: true, maxRetries: 3 });
  say(`removed ${path}`);
}

async function readText(path: string): Promise<string | undefined> {
  return await readFile(path, 'utf8').then((text) => text.trim(), () => undefined);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('a TCP server has no port');
  return address.port;
}

/** Who this host is where it says nothing: what it was called before, or else its host name, as far as that may be an id. */
export async function hostIdOf(config: ClusterConfig): Promise<string> {
  const madeFromName = hostname().split('.')[0]?.toLowerCase().replace(/[^a-z0-9-]/g, '-').replace(/^-+/, '').slice(0, 63);
  return config.hostId ?? await readText(join(config.data, 'host-id')) ?? (madeFromName === undefined || madeFromName === '' ? 'host' : madeFromName);
}

/** Makes the directory that a cluster's data is kept in, and marks it as ours. */
export const claimData = async (config: ClusterConfig): Promise<void> => await claimDirectory(config.data, 0o711);

/** What is decided once and then stays with the data: the host's id, a port that was asked for as "any", where the machines with NATS are, and who the cluster's members are. The data directory is there. */
export async function settle(config: ClusterConfig): Promise<ClusterConfig> {
  const hostFile = join(config.data, 'host-id');
  const portFile = join(config.data, 'nats-port');
  const hostId = await hostIdOf(config);
  const natsPort = config.natsPort === 0 ? Number(await readText(portFile) ?? await freePort()) : config.natsPort;
  await writeFile(hostFile, `${hostId}\n`);
  await writeFile(portFile, `${natsPort}\n`);
  // Never replaced: with the key the secrets would be lost.
  await writeFile(secretsKeyFile(config), newKeyFile(), { mode: 0o600, flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  const clusterFile = join(config.data, 'nats-cluster.json');
  const known = await readText(clusterFile);
  const natsCluster = config.natsCluster ?? (known === undefined ? null : JSON.parse(known) as NatsCluster);
  const conflict = config.processes.includes('nats') ? await storeConflict(natsStore(config), natsCluster?.servers.length ?? 1) : null;
  if (conflict !== null) throw new OptionError(conflict);
  if (natsCluster !== null) await writeFile(clusterFile, `${JSON.stringify(natsCluster)}\n`);
  const joinedFile = join(config.data, 'joined.json');
  const servers = await readText(joinedFile);
  const joined = config.joined ?? (servers === undefined ? null : JSON.parse(servers) as string[]);
  if (joined !== null) {
    await writeFile(joinedFile, `${JSON.stringify(joined)}\n`);
    // Its credentials are the cluster's to give.
    return { ...config, hostId, natsPort, natsCluster, joined, processes: hostOrder };
  }
  const settled = { ...config, hostId, natsPort, natsCluster };
  await provideMembership(settled, hostId);
  return settled;
}

/** Credentials and certificates of this machine, by the cluster's authority. */
async function provideMembership(config: ClusterConfig, hostId: string): Promise<void> {
  const nowMs = Date.now();
  const authority = await provideAuthority(authorityFile(config), nowMs);
  const serverNames = ['localhost', '127.0.0.1', hostname(), ...(config.natsCluster === null ? [] : [config.natsCluster.address])].filter((name) => /^[A-Za-z0-9.-]+$/.test(name));
  await provideMember(memberDirectory(config), authority, {
    roles: [{ kind: 'api' }, { kind: 'scheduler' }, { kind: 'agent', hostId: toHostId(hostId) }], serverNames: config.processes.includes('nats') ? serverNames : null,
  }, nowMs);
}

/** The configuration that a running supervisor was started with, else the one of the last start. */
export async function currentConfig(options: ClusterOptions): Promise<ClusterConfig> {
  const wanted = resolveCluster(options);
  const stored = await readText(join(wanted.run, 'cluster.json'));
  return stored === undefined ? wanted : (JSON.parse(stored) as SupervisorInput).config;
}

async function launchSupervisor(config: ClusterConfig): Promise<void> {
  const containerd = await locateProgram('containerd');
  if (containerd === undefined) throw new Error('containerd is not installed; `npm run up` installs it');
  const input: SupervisorInput = { config, programs: { nats: config.processes.includes('nats') ? (await locateNatsServer()).path : null, containerd } };
  const file = join(config.run, 'cluster.json');
  await writeFile(file, `${JSON.stringify(input, null, 2)}\n`, { mode: 0o600 });
  await writeFile(wantedFile(config.run), '');
  const log = openSync(join(config.logs, 'supervisor.log'), 'a', 0o640);
  const line = [process.execPath, join(import.meta.dirname, 'supervisor.ts'), file];
  // Only the network is another one: mounts are shared, for containerd, its shims and the agent pass each other's on.
  if (config.namespace !== null) line.unshift('nsenter', `--net=/run/netns/${config.namespace}`, '--');
  const [program = '', ...args] = line;
  const child = spawn(program, args, {
    detached: true, cwd: '/', stdio: ['ignore', log, log],
    env: { NODE_COMPILE_CACHE: join(projectDir, 'compile-cache'), ...environment.services, PATH: environment.path.join(':'), HOME: environment.home },
  });
  closeSync(log);
  child.unref();
}

/** Starts what does not run and waits until the cluster is whole; where it runs with other options than those given, its processes are started anew. Idempotent. */
export async function startCluster(options: ClusterOptions, say: Say): Promise<ClusterConfig> {
  const wanted = resolveCluster(options);
  const running = await readPidFile(supervisorPidFile(wanted.run)) !== undefined;
  let config: ClusterConfig;
  if (running) {
    config = await currentConfig(options);
    const { anew, fixed } = changesOf(config, options, wanted);
    if (fixed.length > 0) throw new OptionError(`it runs with another ${fixed.join(', ')}, which cannot change under its containers: \`npm run down\` first`);
    if (anew.length > 0) return await restartCluster(options, `for another ${anew.join(', ')}`, say);
  } else {
    const conflict = wanted.processes.includes('agent') ? networkConflict(wanted, await addressesHere(wanted)) : null;
    if (conflict !== null) throw new OptionError(conflict);
    await claimData(wanted);
    await claimDirectory(wanted.run, 0o711);
    await claimDirectory(wanted.logs, 0o750);
    config = await settle(wanted);
    say(`starting ${config.processes.join(', ')}`);
    await launchSupervisor(config);
  }
  await waitUntilHealthy(config, healthyWithinMs, (problems) => say(`waiting: ${problems.join('; ')}`));
  return config;
}

/** Starts the processes anew, with `options` on top of those that they had; containers go on. */
export async function restartCluster(options: ClusterOptions, why: string, say: Say): Promise<ClusterConfig> {
  const config = await currentConfig(options);
  const together = onTop(config, options);
  // Before anything is stopped.
  const conflict = config.processes.includes('nats') ? await storeConflict(natsStore(config), resolveCluster(together).natsCluster?.servers.length ?? 1) : null;
  if (conflict !== null) throw new OptionError(conflict);
  say(`starting the processes anew ${why}; containers go on`);
  await stopCluster(options, { keepContainers: true }, say);
  return await startCluster(together, say);
}

/** Ends the supervisor, or, where it is gone already, the processes that it left. */
async function stopProcesses(config: ClusterConfig): Promise<void> {
  await rm(wantedFile(config.run), { force: true });
  const supervisor = await readPidFile(supervisorPidFile(config.run));
  if (supervisor !== undefined) {
    process.kill(supervisor.pid, 'SIGTERM');
    const deadline = Date.now() + supervisorStopsWithinMs;
    while (Date.now() < deadline && await readPidFile(supervisorPidFile(config.run)) !== undefined) await delay(20);
    await endByPidFile(supervisorPidFile(config.run), 0);
  }
  for (const name of startOrder.toReversed()) await endByPidFile(join(config.run, 'pids', `${name}.json`), 15_000);
}

/** Machines that runv keeps ready for containers to come: nobody comes any more. */
async function endWaitingMachines(config: ClusterConfig): Promise<void> {
  const root = join(config.run, 'agent', 'runtimes', 'runv', 'pouch');
  if (await readText(join(root, 'runv.json')) === undefined) return;
  // What cannot be ended now ends by itself when its time is over.
  await promisify(execFile)(join(repositoryDir, 'packages', 'runv', 'bin', 'runv'), ['--root', root, 'pool', 'sweep', '--all'], { timeout: 30_000, killSignal: 'SIGKILL', cwd: '/' }).catch(() => undefined);
}

/** Stops everything, containers included unless told otherwise; keeps the data unless told to purge. Idempotent. */
export async function stopCluster(options: ClusterOptions, stop: StopOptions, say: Say): Promise<void> {
  const config = await currentConfig(options);
  if (stop.keepContainers !== true && await supervisorStatus(config) !== undefined) {
    say('stopping containers');
    // Loaded only here: it brings the services' own packages along, and a checkout in which they are broken must still come down.
    const problem = await import('./shutdown-containers.ts').then(({ shutdownContainers }) => shutdownContainers(config), String);
    if (problem !== undefined) say(`containers could not be stopped in order (${problem}); they are ended after the agent`);
  }
  say('stopping api, scheduler, agent, containerd and nats-server');
  await stopProcesses(config);
  if (stop.keepContainers !== true) {
    await endWaitingMachines(config);
    const ended = await endShims(config);
    if (ended > 0) say(`ended ${ended} containers that were left`);
  }
  if (stop.purge === true) {
    await unmountBelow([config.run, config.data]);
    await removeNetwork(config);
    await removeCgroups(config.env['POUCH_CGROUP_PARENT'] ?? 'pouch');
    await rm(config.socket, { force: true });
    for (const directory of [config.data, config.run, config.logs]) await purgeDirectory(directory, say);
  }
}
