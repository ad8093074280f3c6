// Everything that a cluster has on the machine and in its containerd and log, as a list of names by kind: what containers leave behind shows as
// a difference. Only looks,
// but for having containerd collect its garbage first.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { connect as connectNats, credsAuthenticator } from 'nats';
import { inboxPrefix } from '@pouch/contracts';
import { startOrder } from '../../../scripts/cluster/options.ts';
import { placesOf } from '../../../packages/runv/src/places.ts';
import type { TestCluster } from '../../fixtures/cluster.ts';
import { readJson } from './client.ts';
import { processes, withDescendants } from './processes.ts';
import { containerdOf } from './under-test.ts';

/** Names by kind, sorted. */
export type Traces = Readonly<Record<string, readonly string[]>>;

const run = promisify(execFile);

async function filesBelow(directory: string, leaveOut: RegExp): Promise<string[]> {
  const found: string[] = [];
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []); // gone while we looked
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (leaveOut.test(path)) continue;
    found.push(path);
    if (entry.isDirectory()) found.push(...await filesBelow(path, leaveOut));
  }
  return found;
}

/** Processes of this cluster and everything below them, without what is different at every look. */
async function processesOf(cluster: TestCluster, own: readonly number[]): Promise<string[]> {
  const all = await processes();
  const ours = new Set([...own, ...all.filter(({ pid, command }) => pid !== process.pid && command.includes(cluster.directory)).map(({ pid }) => pid)]);
  return withDescendants(all, ours).map(({ command }) => command.trim());
}

async function descriptors(pid: number): Promise<string[]> {
  const names = await readdir(`/proc/${pid}/fd`);
  const targets = await Promise.all(names.map(async (fd) => await readlink(`/proc/${pid}/fd/${fd}`).catch(() => null)));
  // A socket's number says nothing; how many there are does.
  return targets.filter((target) => target !== null).map((target) => target.replace(/\[\d+\]$/, ''));
}

async function cgroupsOf(parent: string): Promise<string[]> {
  const roots = ['/sys/fs/cgroup', ...(await readdir('/sys/fs/cgroup')).map((name) => join('/sys/fs/cgroup', name))];
  const found: string[] = [];
  for (const root of roots) {
    for (const path of await filesBelow(join(root, parent), /^$/)) if (path.endsWith('/cgroup.procs')) found.push(path);
  }
  return found;
}

/** What machines have outside of the cluster's own directories, for the sake of short paths: of every container that the cluster ever had. */
async function machinePlaces({ config, socket }: TestCluster): Promise<string[]> {
  const { containers } = await readJson<{ containers: { id: string }[] }>(socket, '/cluster/containers');
  const root = join(config.run, 'agent', 'runtimes', 'runv', 'pouch');
  return containers.map(({ id }) => placesOf(root, id).socketDir).filter((path) => existsSync(path));
}

async function rulesOf({ bridge, subnet }: TestCluster['config']): Promise<string[]> {
  const { stdout } = await run('iptables-save').catch(() => ({ stdout: '' })); // no netfilter: no rules either
  const start = subnet.replace(/0\/\d+$/, '');
  return stdout.split('\n').filter((line) => line.startsWith('-A') && (line.includes(bridge) || line.includes(start)));
}

async function namesOf({ natsUrl, nats }: TestCluster): Promise<string[]> {
  const connection = await connectNats({
    servers: natsUrl, name: 'test', reconnect: false, tls: { caFile: nats.caFile }, authenticator: credsAuthenticator(await readFile(nats.credentialsFile)), inboxPrefix: inboxPrefix({ kind: 'api' }),
  });
  try {
    const bucket = await connection.jetstream().views.kv('names');
    const names: string[] = [];
    for await (const name of await bucket.keys()) names.push(name);
    return names;
  } finally {
    await connection.close();
  }
}

/** Databases and logs of services grow by nature; containerd's blobs and snapshots are counted by asking it. */
const ofOneLife = /\/(agent\.db[^/]*|io\.containerd\.(content|metadata|snapshotter)[^/]*)$|\/pids\/|\.json(\.new)?$/;

export async function tracesOf(cluster: TestCluster): Promise<Traces> {
  const { config, directory } = cluster;
  const pids: Record<string, number> = {};
  for (const name of startOrder) {
    const pid = await cluster.pid(name);
    if (pid !== undefined) pids[name] = pid;
  }
  const containerd = containerdOf(cluster);
  try {
    // What a call that was broken off has left in the snapshotter goes when containerd next collects its garbage: it is made to do so now.
    await containerd.leases.delete((await containerd.leases.create()).id, { sync: true });
    const short = (paths: readonly string[]): string[] => paths.map((path) => relative(directory, path));
    const traces: Record<string, string[]> = {
      mounts: (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').filter((line) => line.includes(directory)).map((line) => line.split(' ')[4] ?? ''),
      'containerd containers': (await containerd.containers.list()).map(({ id }) => id),
      'containerd tasks': (await containerd.tasks.list()).map(({ containerId }) => containerId),
      'containerd snapshots': (await containerd.snapshots.list()).map(({ name }) => name),
      'containerd leases': (await containerd.leases.list()).map(({ id }) => id),
      'containerd images': (await containerd.images.list()).map(({ name }) => name),
      'containerd blobs': (await containerd.content.list()).map(({ digest }) => digest),
      'containerd ingests': (await containerd.content.listIngests()).map(({ ref }) => ref),
      'run files': short(await filesBelow(config.run, ofOneLife)),
      'agent files': short(await filesBelow(join(config.data, 'agent'), ofOneLife)),
      'unpacked snapshots': short(await readdir(join(config.data, 'containerd/io.containerd.snapshotter.v1.overlayfs/snapshots')).then((names) => names.map((name) => join(directory, name)), () => [])),
      'places of machines': await machinePlaces(cluster),
      'kernels and templates': short(await filesBelow(join(directory, 'k'), /^$/)),
      cgroups: await cgroupsOf(config.env['POUCH_CGROUP_PARENT'] ?? 'pouch'),
      processes: await processesOf(cluster, Object.values(pids)),
      'firewall rules': await rulesOf(config),
      'ends at the bridge': await readdir(`/sys/class/net/${config.bridge}/brif`).catch(() => []),
      'claimed names': await namesOf(cluster),
    };
    for (const name of ['api', 'scheduler', 'agent', 'containerd']) {
      const pid = pids[name];
      traces[`descriptors of ${name}`] = pid === undefined ? ['not running'] : await descriptors(pid);
    }
    return Object.fromEntries(Object.entries(traces).map(([kind, names]) => [kind, names.toSorted()]));
  } finally {
    containerd.close();
  }
}

/** What is there now and was not before (+), and the other way round (-); empty when nothing is. */
export function differences(before: Traces, now: Traces): string[] {
  return Object.keys(before).flatMap((kind) => {
    const left = [...before[kind] ?? []];
    const more: string[] = [];
    for (const name of now[kind] ?? []) {
      const at = left.indexOf(name);
      if (at < 0) more.push(name);
      else left.splice(at, 1);
    }
    return [...more.map((name) => `+ ${kind}: ${name}`), ...left.map((name) => `- ${kind}: ${name}`)];
  });
}
