// What a cluster can leave behind on the machine once its processes are gone: shims, mounts, the bridge. Ends and removes only what
// carries this cluster's own socket, directories or bridge name.
import { execFile } from 'node:child_process';
import { readdir, readFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { containerdPaths, type ClusterConfig } from './options.ts';
import { endProcess, identify, type ProcessIdentity } from './process-identity.ts';
import { locateProgram } from './programs.ts';

const run = promisify(execFile);
/** Of mounts that stay, and of why: enough to act on. */
const reasonsShown = 5;

type Seen = { readonly identity: ProcessIdentity; readonly parent: number; readonly command: readonly string[] };

async function everyProcess(): Promise<Seen[]> {
  const found: Seen[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const identity = identify(Number(entry));
      const stat = await readFile(`/proc/${entry}/stat`, 'latin1');
      const command = (await readFile(`/proc/${entry}/cmdline`, 'utf8')).split('\0');
      if (identity !== undefined) found.push({ identity, parent: Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]), command });
    } catch {
      continue; // it ended while we looked
    }
  }
  return found;
}

/** The shims of this cluster's containerd, each with the container processes below it. */
async function shims(config: ClusterConfig): Promise<{ shim: Seen; below: Seen[] }[]> {
  const { socket } = containerdPaths(config);
  const all = await everyProcess();
  const isOurs = (seen: Seen): boolean => /(^|\/)containerd-shim/.test(seen.command[0] ?? '') && seen.command[seen.command.indexOf('-address') + 1] === socket;
  return all.filter(isOurs).map((shim) => {
    const below: Seen[] = [];
    const pids = new Set([shim.identity.pid]);
    for (let grown = true; grown;) {
      grown = false;
      for (const seen of all) {
        if (pids.has(seen.identity.pid) || !pids.has(seen.parent)) continue;
        pids.add(seen.identity.pid);
        below.push(seen);
        grown = true;
      }
    }
    return { shim, below };
  });
}

/** Ends what still runs in containers and their shims, for when the agent could not do it in order. Answers how many shims there were. */
export async function endShims(config: ClusterConfig): Promise<number> {
  const left = await shims(config);
  await Promise.all(left.map(async ({ shim, below }) => {
    // The log writer is below the shim too: it ends by itself, having written everything, once the pipes are closed.
    const workload = below.filter((seen) => !(seen.command[0] ?? '').endsWith('/pouch-log'));
    await Promise.all(workload.map((seen) => endProcess(seen.identity, 10_000)));
    await endProcess(shim.identity, 0);
  }));
  return left.length;
}

async function mountPointsBelow(directories: readonly string[]): Promise<string[]> {
  return (await readFile('/proc/self/mountinfo', 'utf8')).split('\n')
    // proc_pid_mountinfo(5): field 5 is the mount point, with octal escapes, in order of mounting.
    .map((line) => line.split(' ')[4] ?? '')
    .map((point) => point.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))))
    .filter((point) => directories.some((directory) => point.startsWith(`${directory}/`)));
}

/**
 * Detaches every mount below the given directories, the newest first: it may hide others. What is gone by then, by somebody else or with the one above, is as wanted. Rejects where any is
 * left: whoever removed the directories then would remove what is mounted there.
 */
export async function unmountBelow(directories: readonly string[]): Promise<void> {
  const mounts = await mountPointsBelow(directories);
  if (mounts.length === 0) return;
  const umount = await locateProgram('umount');
  const reasons = new Set<string>();
  // It may say "not mounted" or "no mount point specified" of what mountinfo shows: what belongs to another user namespace cannot be unmounted, nor what lies where no path leads.
  for (const point of mounts.toReversed()) {
    if (umount !== undefined) await run(umount, ['-l', point]).catch((error: { stderr?: string }) => { reasons.add(error.stderr?.trim() || String(error)); });
  }
  const left = new Set(await mountPointsBelow(directories));
  if (left.size === 0) return;
  const why = umount === undefined ? 'there is no umount on this machine' : [...reasons].slice(0, reasonsShown).join('; ');
  throw new Error(`still mounted, so nothing is removed there: ${[...left].slice(0, reasonsShown).join(', ')}${left.size > reasonsShown ? ` and ${left.size - reasonsShown} more` : ''} (${why}). `
    + 'Unmount them where they were mounted (`findmnt -N PID` shows what a process sees), then try again');
}

/** Removes the empty control groups below `parent` in every hierarchy; one that still holds a process stays. */
export async function removeCgroups(parent: string): Promise<void> {
  const roots = ['/sys/fs/cgroup', ...(await readdir('/sys/fs/cgroup').catch(() => [])).map((name) => join('/sys/fs/cgroup', name))];
  const remove = async (directory: string): Promise<void> => {
    const entries = await readdir(directory, { withFileTypes: true }).catch(() => []); // not in this hierarchy
    for (const entry of entries) if (entry.isDirectory()) await remove(join(directory, entry.name));
    await rmdir(directory).catch(() => undefined); // in use, or never there
  };
  for (const root of roots) await remove(join(root, parent));
}

/** Removes the bridge and the firewall rules that name it or its network. */
export async function removeNetwork(config: Pick<ClusterConfig, 'bridge'>): Promise<void> {
  const ip = await locateProgram('ip');
  if (ip !== undefined) await run(ip, ['link', 'delete', config.bridge]).catch(() => undefined); // there may never have been one
  for (const name of ['iptables', 'ip6tables']) {
    const save = await locateProgram(`${name}-save`);
    const change = await locateProgram(name);
    if (save === undefined || change === undefined) continue;
    await removeRules(save, change, config.bridge);
  }
}

/** Rules that name the bridge as an interface or in a comment; a chain that only they led to goes with them. */
async function removeRules(save: string, change: string, bridge: string): Promise<void> {
  const { stdout } = await run(save, []).catch(() => ({ stdout: '' })); // no netfilter for this family: nothing of ours either
  const words = new RegExp(`(^|[\\s"':])${bridge.replace(/[.]/g, '\\.')}($|[\\s"':])`);
  let table = 'filter';
  const chains = new Set<string>();
  for (const line of stdout.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1);
    if (!line.startsWith('-A ') || !words.test(line)) continue;
    const rule = (line.slice(3).match(/"[^"]*"|\S+/g) ?? []).map((word) => word.replace(/^"|"$/g, ''));
    await run(change, ['-w', '5', '-t', table, '-D', ...rule]).catch(() => undefined); // another `down` was quicker
    const target = rule[rule.indexOf('-j') + 1] ?? '';
    for (const chain of [rule[0] ?? '', target]) if (/^(CNI-(DN-|SN-)?[0-9a-f]{16,}|POUCH-)/.test(chain)) chains.add(`${table} ${chain}`);
  }
  for (const entry of chains) {
    const [of = '', chain = ''] = entry.split(' ');
    for (const action of ['-F', '-X']) await run(change, ['-w', '5', '-t', of, action, chain]).catch(() => undefined); // still referred to: left
  }
}
