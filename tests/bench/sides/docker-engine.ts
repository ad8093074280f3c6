// Docker Engine of this machine's packages: a dockerd and a containerd of the benchmark's own, with their own data, sockets, bridge and network
// namespace. It must not touch a Docker that is there already, nor the host's firewall: iptables is dockerd's own within the namespace.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { environment } from '../../../scripts/config.ts';
import { removeCgroups, unmountBelow } from '../../../scripts/cluster/leftovers.ts';
import { locateProgram } from '../../../scripts/cluster/programs.ts';
import { DockerClient } from '../docker-client.ts';
import type { Session } from '../session.ts';
import { busyboxArchive, newId } from './workload.ts';

const run = promisify(execFile);
const readyMs = 60_000;
const stopMs = 20_000;

export class DockerEngine {
  readonly client: DockerClient;
  /** Unix socket of its API. */
  readonly socket: string;
  /** For the lines of output. */
  readonly version: string;
  readonly storage: string;

  private constructor(client: DockerClient, socket: string, version: string, storage: string) {
    this.client = client;
    this.socket = socket;
    this.version = version;
    this.storage = storage;
  }

  /** Undefined, with a word to the person, where it is not installed. */
  static async start(session: Session): Promise<DockerEngine | undefined> {
    const [dockerd, containerd, ip, nsenter] = await Promise.all(['dockerd', 'containerd', 'ip', 'nsenter'].map((name) => locateProgram(name)));
    if (dockerd === undefined || containerd === undefined || ip === undefined || nsenter === undefined) {
      session.say('Docker Engine is not measured: dockerd, containerd, ip or nsenter is not installed');
      return undefined;
    }
    const tag = newId().slice(0, 8);
    const directory = await session.directory('docker');
    session.undo('mounts of Docker Engine', () => unmountBelow([directory]));

    const cgroupParent = `pouch-bench-${tag}`;
    session.undo('control groups of Docker Engine', () => removeCgroups(cgroupParent));
    const namespace = `pouch-bench-${tag}`;
    await run(ip, ['netns', 'add', namespace]);
    session.undo('network namespace', async () => { await run(ip, ['netns', 'delete', namespace]); });
    await run(ip, ['-n', namespace, 'link', 'set', 'lo', 'up']);

    const containerdSocket = join(directory, 'c.sock');
    await writeFile(join(directory, 'containerd.toml'), [
      'version = 2', `root = ${JSON.stringify(join(directory, 'c', 'root'))}`, `state = ${JSON.stringify(join(directory, 'c', 'state'))}`, 'oom_score = 0',
      'disabled_plugins = ["io.containerd.grpc.v1.cri"]', '[grpc]', `address = ${JSON.stringify(containerdSocket)}`, '[ttrpc]', `address = ${JSON.stringify(`${containerdSocket}.ttrpc`)}`, '',
    ].join('\n'));
    await mkdir(join(directory, 'c'), { recursive: true });
    await launch(session, 'containerd of Docker Engine', directory, [containerd, '--config', join(directory, 'containerd.toml'), '--log-level', 'warn']);

    // 172.31.0.0/16 in a namespace of its own meets nobody.
    const socket = join(directory, 'd.sock');
    const engine = await launch(session, 'dockerd', directory, [
      nsenter, `--net=/run/netns/${namespace}`, dockerd, '--config-file', await emptyConfiguration(directory),
      '--data-root', join(directory, 'data'), '--exec-root', join(directory, 'x'), '--pidfile', join(directory, 'd.pid'), '--host', `unix://${socket}`,
      '--containerd', containerdSocket, '--bip', `172.31.${Number.parseInt(tag.slice(0, 2), 16)}.1/24`, '--cgroup-parent', `/${cgroupParent}`, '--log-level', 'warn',
    ]);
    const client = new DockerClient(socket);
    session.undo('connections to Docker Engine', () => { client.close(); });
    // Containers that a failed round left.
    session.undo('containers of Docker Engine', () => removeContainers(client));
    const info = await ready(client, engine, join(directory, 'dockerd.log'));
    await client.loadImage(await busyboxArchive());
    return new DockerEngine(client, socket, info.ServerVersion, info.Driver);
  }
}

async function emptyConfiguration(directory: string): Promise<string> {
  const path = join(directory, 'daemon.json');
  await writeFile(path, '{}\n');
  return path;
}

/** Starts a daemon that ends with the session; `args` begins with the program. Its words go to a file in the directory. */
async function launch(session: Session, what: string, directory: string, args: readonly string[]): Promise<ChildProcess> {
  const log = openSync(join(directory, `${what.split(' ')[0]}.log`), 'a');
  const child = spawn(args[0]!, args.slice(1), { stdio: ['ignore', log, log], env: { PATH: environment.path.join(':'), HOME: environment.home }, cwd: directory });
  closeSync(log);
  const onExit = (): void => { child.kill('SIGKILL'); };
  process.once('exit', onExit);
  session.undo(what, async () => {
    await end(child);
    process.off('exit', onExit);
  });
  await once(child, 'spawn');
  return child;
}

const running = (child: ChildProcess): boolean => child.exitCode === null && child.signalCode === null;

async function end(child: ChildProcess): Promise<void> {
  if (!running(child)) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), stopMs);
  await exited;
  clearTimeout(timer);
}

async function removeContainers(client: DockerClient): Promise<void> {
  const left = await client.call<{ Id: string }[]>('GET', '/containers/json?all=1');
  await Promise.all(left.map(({ Id }) => client.call('DELETE', `/containers/${Id}?force=1`)));
}

async function ready(client: DockerClient, engine: ChildProcess, logFile: string): Promise<{ ServerVersion: string; Driver: string }> {
  const deadline = Date.now() + readyMs;
  for (;;) {
    try {
      return await client.call('GET', '/info');
    } catch (error) {
      if (running(engine) && Date.now() < deadline) {
        await delay(50);
        continue;
      }
      const words = await readFile(logFile, 'utf8').catch(() => '');
      throw new Error(`dockerd did not start:\n${words.slice(-2_000)}`, { cause: error });
    }
  }
}
