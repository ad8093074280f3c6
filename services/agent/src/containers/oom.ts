// Whether the kernel ended a process of a container for want of memory: asked of the control group itself, which counts it before the process is gone.
// containerd's event tells the same, but by another way, and may come after the exit.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

const mount = '/sys/fs/cgroup';

/** True: it did. False: it did not, or the group is gone already. Version 1 counts in memory.oom_control (Linux 4.13), version 2 in memory.events. */
export async function hasOomKill(cgroupParent: string, containerId: string): Promise<boolean> {
  const group = join(cgroupParent, containerId);
  for (const file of [join(mount, 'memory', group, 'memory.oom_control'), join(mount, group, 'memory.events')]) {
    try {
      if (/^oom_kill [1-9]/m.test(await readFile(file, 'utf8'))) return true;
    } catch {
      continue; // the other version's place, or a group that is gone
    }
  }
  return false;
}
