// A file that is there whole or not at all: another process may be reading it.
import { chmod, rename, writeFile } from 'node:fs/promises';

export async function writeWhole(file: string, text: string, mode: number): Promise<void> {
  const half = `${file}.new`;
  await writeFile(half, text, { mode });
  // An earlier half would have kept its mode.
  await chmod(half, mode);
  await rename(half, file);
}
