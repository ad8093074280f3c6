// `pouch cluster backup`: the cluster's state as a file, written whole or not at all, and checked once it is there.
import { open, rename, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import type { Context } from '../context.ts';
import { CliError } from '../errors.ts';
import { humanSize } from '../format/sizes.ts';
import { ByteBar } from '../progress/byte-bar.ts';

const keysNeeded = 'Not in it, and needed to restore it: authority.json and secrets.key; keep copies of both elsewhere.';

export async function backup(context: Context, file: string, flags: { readonly quiet?: boolean }): Promise<number> {
  if (file === '-' && process.stdout.isTTY) throw new CliError('a backup is nothing for a terminal', { hint: 'pouch cluster backup FILE, or redirect standard output' });
  const client = await context.client();
  const response = await client.stream('GET', '/cluster/backup');
  const total = Number(response.headers['content-length']);
  const bar = new ByteBar('Saving', flags.quiet === true);
  let received = 0;
  const counted = async function* (source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const piece of source) {
      received += piece.length;
      bar.show(received, total);
      yield piece;
    }
  };
  const cutOff = (cause?: unknown): CliError => new CliError(`the backup was cut off after ${received} of ${total} bytes`, { hint: 'run it again', cause });
  if (file === '-') {
    await pipeline(response, counted, process.stdout, { end: false }).catch((error: unknown) => { throw cutOff(error); });
    if (received !== total) throw cutOff();
  } else {
    const half = `${file}.part`;
    try {
      await write(half, counted(response)).catch((error: unknown) => { throw (error as { syscall?: unknown }).syscall === undefined ? cutOff(error) : error; });
      if (received !== total) throw cutOff();
      await (await import('@pouch/eventlog/backup')).checkBackup(half);
      await rename(half, file);
    } finally {
      await rm(half, { force: true });
    }
  }
  bar.end();
  if (flags.quiet !== true) process.stderr.write(`Saved ${humanSize(received)}${file === '-' ? '' : ` to ${file}`}. ${keysNeeded}\n`);
  return 0;
}

/** Fsynced: who says that it is saved must not lose it to a power cut. It tells what containers were given in their environment, so it is nobody else's to read. */
async function write(path: string, pieces: AsyncIterable<Buffer>): Promise<void> {
  await rm(path, { force: true });
  const target = await open(path, 'wx', 0o600);
  try {
    for await (const piece of pieces) await target.appendFile(piece);
    await target.sync();
  } finally {
    await target.close();
  }
}
