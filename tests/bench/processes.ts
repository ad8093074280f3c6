// Memory and processor time of processes as /proc tells it. Reads only.
import { readdirSync, readFileSync } from 'node:fs';

/** `pssBytes` counts pages that several processes share in parts; the sum over processes is what they take together. */
export type Memory = { readonly rssBytes: number; readonly pssBytes: number };

export type Process = { readonly pid: number; readonly parent: number; readonly command: readonly string[] };

/** Throws where the process has ended. */
export function memoryOf(pid: number): Memory {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
  const bytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(rollup)?.[1] ?? Number.NaN) * 1_024;
  return { rssBytes: bytes('Rss'), pssBytes: bytes('Pss') };
}

/** Of the kernel's ticks, which Linux tells user space as hundredths of a second. */
const tickMs = 10;

/** What a process has used of the processors, all its threads together and without its children. Throws where it has ended. */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * tickMs;
}

export function everyProcess(): Process[] {
  const found: Process[] = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'latin1');
      // The command's name may hold spaces and brackets; the fields begin behind the last one.
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      found.push({ pid: Number(entry), parent, command: readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0') });
    } catch {
      continue; // it ended while we looked
    }
  }
  return found;
}
