// Keeps a directory for one process. Node has no file locks, SQLite has: an open transaction that never writes, which the kernel ends with the process.
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { OperatingError } from '@pouch/process';

/** A process that has just been killed may still be going: so long is waited for its lock. */
const timeoutMs = 3_000;

/** Another process has the directory, or this one has it already. */
export class DirectoryInUseError extends OperatingError {
  constructor(directory: string, cause: unknown) {
    super('projection-in-use', `${directory} is in use by another process: each needs a directory of its own for its projection`, { cause });
  }
}

/** Takes `directory`, which must be there, until `release` or the end of the process, however that comes. Throws DirectoryInUseError. */
export function lockDirectory(directory: string): { release(): void } {
  const holder = new Database(join(directory, 'lock'), { timeout: timeoutMs });
  try {
    holder.exec('BEGIN EXCLUSIVE');
    return { release: () => holder.close() };
  } catch (error) {
    holder.close();
    throw (error as { code?: unknown }).code === 'SQLITE_BUSY' ? new DirectoryInUseError(directory, error) : error;
  }
}
