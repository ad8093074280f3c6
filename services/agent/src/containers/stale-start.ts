// Clears up after a start that was cut short, by a kill of the agent or a call that was given up: containerd 1.6 can keep the shim of such
// a task, hand the next try to it and then wait for ever, or keep its directory and refuse. It touches nothing of a task that is there.
import { readdir, readFile, rm, rmdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isContainerdError } from '@pouch/containerd';
import type { Rooms } from '../rooms.ts';

const endTries = 100;
const lookMs = 20;

/** True: the task of this start has come to be after all. Else no process of the earlier try is left. */
export async function clearStaleStart(rooms: Rooms, id: string): Promise<boolean> {
  await rooms.tasks.refresh(id);
  if (rooms.tasks.get(id) !== null) return true;
  for (let tried = 0; tried < endTries; tried++) {
    const pids = await shimsOf(id, rooms.config.containerdNamespace);
    if (pids.length === 0) break;
    rooms.logger.warn({ containerId: id, pids }, 'the shim of a start that was cut short is ended');
    for (const pid of pids) end(pid);
    await delay(lookMs);
  }
  await rooms.layout.removeIo(id);
  return false;
}

/** Removes what containerd left of a task's directory, where `error` says that this is in the way. */
export async function clearBundle(rooms: Rooms, id: string, error: unknown): Promise<void> {
  const path = isContainerdError(error) ? /mkdir (\S+): file exists/.exec(error.detail)?.[1] : undefined;
  if (path === undefined || !path.endsWith(join('/', rooms.config.containerdNamespace, id))) return;
  if ((await shimsOf(id, rooms.config.containerdNamespace)).length > 0) return;
  try {
    await rooms.sys.unmount(join(path, 'rootfs'));
    // Not recursively: as long as a root file system is mounted there, this fails and nothing is lost.
    await rmdir(join(path, 'rootfs')).catch(ignoreMissing);
    await rm(path, { recursive: true, force: true });
    rooms.logger.warn({ containerId: id, path }, 'the directory of a task that was cut short is removed');
  } catch (cause) {
    rooms.logger.warn({ containerId: id, path, err: cause }, 'the directory of a task that was cut short cannot be removed yet');
  }
}

async function shimsOf(id: string, namespace: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const words = (await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '')).split('\0'); // it has ended since
    const value = (option: string): string | undefined => words[words.indexOf(option) + 1];
    if (basename(words[0] ?? '').startsWith('containerd-shim') && words.includes('-id') && value('-id') === id && value('-namespace') === namespace) found.push(Number(name));
  }
  return found;
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
