// The processes of this machine, and those of one container. Only looks.
import { readdir, readFile } from 'node:fs/promises';

export type Process = { readonly pid: number; readonly parent: number; readonly command: string };

export async function processes(): Promise<Process[]> {
  const found: Process[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = await readFile(`/proc/${entry}/stat`, 'latin1');
      found.push({ pid: Number(entry), parent: Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]), command: (await readFile(`/proc/${entry}/cmdline`, 'utf8')).replaceAll('\0', ' ') });
    } catch {
      continue; // it ended while we looked
    }
  }
  return found;
}

/** Those that name a container in their arguments, and everything below them. */
export async function processesOfContainer(id: string): Promise<Process[]> {
  const all = await processes();
  return withDescendants(all, new Set(all.filter(({ command }) => command.includes(id)).map(({ pid }) => pid)));
}

export function withDescendants(all: readonly Process[], pids: Set<number>): Process[] {
  for (let grown = true; grown;) {
    grown = false;
    for (const { pid, parent } of all) if (!pids.has(pid) && pids.has(parent)) grown = pids.add(pid).has(pid);
  }
  return all.filter(({ pid }) => pids.has(pid));
}
