// Pid files that cannot lie: a pid counts only together with the start time of its process. It must never signal on a pid alone.
import { readFileSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** A process on this machine, in this boot. */
export type ProcessIdentity = { readonly pid: number; readonly startTicks: string; readonly bootId: string };

let bootId: string | undefined;

function currentBoot(): string {
  bootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  return bootId;
}

/** The identity of a process that runs now; undefined when there is none, or only a zombie. */
export function identify(pid: number): ProcessIdentity | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return undefined; // no such process: that is the answer
  }
  // The command's name may hold spaces and brackets; the fields begin behind the last one. proc(5): state is 3, starttime 22.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const startTicks = fields[19];
  if (startTicks === undefined || fields[0] === 'Z' || fields[0] === 'X') return undefined;
  return { pid, startTicks, bootId: currentBoot() };
}

export function isRunning(identity: ProcessIdentity): boolean {
  const now = identify(identity.pid);
  return now !== undefined && now.startTicks === identity.startTicks && now.bootId === identity.bootId;
}

export async function writePidFile(path: string, identity: ProcessIdentity): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}`;
  await writeFile(temporary, `${JSON.stringify(identity)}\n`);
  await rename(temporary, path);
}

/** What the file says, if it names a process that still runs. */
export async function readPidFile(path: string): Promise<ProcessIdentity | undefined> {
  try {
    const parsed = JSON.parse(await readFile(path, 'utf8')) as ProcessIdentity;
    return isRunning(parsed) ? parsed : undefined;
  } catch {
    return undefined; // no file, or one cut short by a crash: nothing is known to run
  }
}

/** SIGTERM, then SIGKILL after `graceMs`; true once it is gone. */
export async function endProcess(identity: ProcessIdentity, graceMs: number): Promise<boolean> {
  for (const [signal, waitMs] of [['SIGTERM', graceMs], ['SIGKILL', 5_000]] as const) {
    if (!isRunning(identity)) return true;
    try {
      process.kill(identity.pid, signal);
    } catch {
      continue; // it ended between the look and the signal: the next look tells
    }
    const deadline = Date.now() + waitMs;
    while (Date.now() < deadline) {
      if (!isRunning(identity)) return true;
      await delay(20);
    }
  }
  return !isRunning(identity);
}

/** Ends the process that a pid file names, if it runs, and removes the file. */
export async function endByPidFile(path: string, graceMs: number): Promise<void> {
  const identity = await readPidFile(path);
  if (identity !== undefined && !(await endProcess(identity, graceMs))) throw new Error(`process ${identity.pid} (${path}) cannot be ended`);
  await rm(path, { force: true });
}
