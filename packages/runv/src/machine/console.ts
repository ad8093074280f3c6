// What a machine's console says of why it failed, and where it is kept when the machine goes. The file stands where QEMU's user may write: it is
// read without following links and within a bound. It must not throw for a console that is not there.
import { constants } from 'node:fs';
import { mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A kernel's messages and a panic with its trace. */
const keptBytes = 256 * 1024;
const maxReason = 500;

/** Without control sequences, times and empty lines. */
export function consoleLines(text: string): string[] {
  return text.replaceAll(/\x1b[^a-zA-Z]*[a-zA-Z]/g, '').split(/[\r\n]+/).map((line) => line.replaceAll(/[^\x20-\x7e]/g, '').replace(/^\[ *\d+\.\d+\] */, '').trim()).filter((line) => line !== '');
}

/** The line of a panic, of a C library that refuses the kernel, or of want of memory. */
export function fatalLine(lines: readonly string[]): string | undefined {
  return (lines.find((line) => /kernel panic|not syncing|kernel too old/i.test(line)) ?? lines.find((line) => /out of memory|unable to mount root|no init found/i.test(line)))?.slice(0, maxReason);
}

/** That, or else the last one. */
export const tellingLine = (lines: readonly string[]): string | undefined => fatalLine(lines) ?? lines.at(-1)?.slice(0, maxReason);

/** The end of the console; undefined where there is none. */
export async function readConsole(path: string): Promise<Buffer | undefined> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const about = await file.stat();
      if (!about.isFile() || about.size === 0) return undefined;
      const bytes = Buffer.alloc(Math.min(about.size, keptBytes));
      const { bytesRead } = await file.read(bytes, 0, bytes.length, Math.max(0, about.size - keptBytes));
      return bytes.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch {
    return undefined; // no console is no second failure
  }
}

/** As DIRECTORY/ID.log, for whoever asks later; the failure itself is worth more than its console. */
export async function keepConsole(console: Buffer, directory: string, id: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await writeFile(join(directory, `${id}.log`), console, { mode: 0o600 });
  } catch {
    // A full disk, say: what is told has the console's telling line all the same.
  }
}
