// What runv leaves of a container's machine while it is there: how it ended, and its console. Read only, but for the copy of the console that is kept.
import { constants } from 'node:fs';
import { open, readFile, readlink, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Enough for a kernel's messages and a panic; a guest that floods its console gets no more of the host's disk. */
const keptConsoleBytes = 1 << 20;
const maxStatusBytes = 64 * 1024;

export interface MachineEnd {
  readonly oomKilled: boolean;
  /** Why the machine ended otherwise than by its first process; null where it did not. */
  readonly error: string | null;
}

/** Paths of one container's files; `kept` outlives its machine. */
export interface RunFiles {
  readonly status: string;
  readonly console: string;
  readonly kept: string;
}

export function runFiles(root: string, containerDirectory: string, id: string): RunFiles {
  return { status: join(root, id, 'status.json'), console: join(root, id, 'console.log'), kept: join(containerDirectory, 'console.log') };
}

/** Bytes of the host's disk that a machine's own disk takes: a sparse file beside the directory `upper` of its snapshot. 0: it never ran. */
export async function machineDiskBytes(upper: string): Promise<number> {
  const sizes = await Promise.all(['runv-scratch.img', 'runv-root.img'].map(async (name) => {
    try {
      return (await stat(join(dirname(upper), name))).blocks * 512;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
      throw error;
    }
  }));
  return sizes.reduce((sum, bytes) => sum + bytes, 0);
}

/**
 * The console, to read; null: there is none. runv's link to it is root's, but the file stands where QEMU's user may write: what is no plain
 * file there is not opened, so that a machine that took its QEMU over does not choose what root reads.
 */
export async function openConsole(path: string): Promise<FileHandle | null> {
  try {
    const target = await readlink(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EINVAL') return path; // the kept copy, no link
      throw error;
    });
    const file = await open(target, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if ((await file.stat()).isFile()) return file;
    await file.close();
    return null;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP' || code === 'ENXIO') return null;
    throw error;
  }
}

/** Null: there is no word of it (any more). */
export async function readEnd({ status }: RunFiles): Promise<MachineEnd | null> {
  try {
    const text = await readFile(status, 'utf8');
    const { oomKilled, error } = JSON.parse(text.slice(0, maxStatusBytes)) as { oomKilled?: unknown; error?: unknown };
    return { oomKilled: oomKilled === true, error: typeof error === 'string' && error !== '' ? error : null };
  } catch {
    return null; // gone, or being written anew: the exit code then says all that is known
  }
}

/** Keeps the end of the console beside the container's log, before the machine's files go. Nothing there is no error. */
export async function keepConsole({ console, kept }: RunFiles): Promise<void> {
  const bytes = await tailOf(console, keptConsoleBytes);
  if (bytes === null) return;
  const temporary = `${kept}.new`;
  const file = await open(temporary, 'w', 0o600).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null; // the container itself is going
    throw error;
  });
  if (file === null) return;
  try {
    await file.writeFile(bytes);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  await rename(temporary, kept);
}

/** The last `maxBytes` of the console; null: there is none. */
async function tailOf(path: string, maxBytes: number): Promise<Buffer | null> {
  const file = await openConsole(path);
  if (file === null) return null;
  try {
    const { size } = await file.stat();
    const buffer = Buffer.alloc(Math.min(size, maxBytes));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, Math.max(0, size - maxBytes));
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
