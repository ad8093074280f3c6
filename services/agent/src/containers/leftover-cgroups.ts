// Control groups of a container that its runtime has left: one that was killed between making them and its note of them never takes them away.
// Only empty ones are removed; it ends no process.
import { readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const mount = '/sys/fs/cgroup';
/** For processes that are just ending. */
const busyTries = 25;
const busyMs = 20;

/** Nothing to remove is no error. */
export async function removeLeftCgroups(cgroupParent: string, containerId: string): Promise<void> {
  // Version 2 at the mount itself; version 1 and hybrid set-ups in a directory for each hierarchy.
  const hierarchies = (await readdir(mount, { withFileTypes: true })).filter((entry) => entry.isDirectory()).map(({ name }) => join(mount, name));
  await Promise.all([mount, ...hierarchies].map(async (hierarchy) => await removeGroup(join(hierarchy, cgroupParent, containerId))));
}

async function removeGroup(path: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      return await rmdir(path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EROFS') return;
      if (code !== 'EBUSY' || tries >= busyTries) throw error;
      await delay(busyMs);
    }
  }
}
