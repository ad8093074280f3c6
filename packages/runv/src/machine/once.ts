// Makes a file (or a directory) once, although several processes want it at once: under a lock file, and by rename. It must not wait without a bound.
import { randomBytes } from 'node:crypto';
import { access, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

const waitMs = 180_000;
const pollMs = 50;

const exists = (path: string): Promise<boolean> => access(path).then(() => true, () => false);

/** Whether the process that holds the lock is gone (it was killed while it made the file). */
async function isStale(lock: string): Promise<boolean> {
  const pid = Number.parseInt(await readFile(lock, 'utf8').catch(() => ''), 10); // gone meanwhile: not stale, the next try takes it
  if (!(pid > 0)) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'ESRCH';
  }
}

async function lockTaken(lock: string): Promise<boolean> {
  try {
    await writeFile(lock, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

/** The lock file `lock`, until it is released; undefined: a process that lives has it. */
export async function takeLock(lock: string): Promise<(() => Promise<void>) | undefined> {
  if (!(await lockTaken(lock))) {
    if (!(await isStale(lock))) return undefined;
    await rm(lock, { force: true });
    if (!(await lockTaken(lock))) return undefined;
  }
  return async () => { await rm(lock, { force: true }); };
}

/** `path`, made by `make` (which gets a temporary path beside it) unless it is there. After the wait it is made without the lock: twice the work, not a hang. */
export async function makeOnce(path: string, make: (temporary: string) => Promise<void>): Promise<string> {
  const lock = `${path}.lock`;
  const deadline = performance.now() + waitMs;
  let locked = false;
  while (!(await exists(path)) && !(locked = await lockTaken(lock)) && performance.now() < deadline) {
    if (await isStale(lock)) await rm(lock, { force: true });
    else await delay(pollMs);
  }
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  try {
    if (await exists(path)) return path;
    await make(temporary);
    await rename(temporary, path);
    return path;
  } finally {
    await rm(temporary, { recursive: true, force: true });
    if (locked) await rm(lock, { force: true });
  }
}
