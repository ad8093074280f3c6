// Files of this machine as a tar, as they are read; nothing is kept whole. Follows no link below what was asked for.
import type { Stats } from 'node:fs';
import { lstat, open, readdir, readlink, realpath } from 'node:fs/promises';
import { posix } from 'node:path';
import { encodeTarHeader, tarEnd, tarPadding, type TarType } from '@pouch/oci';
import { CliError, UsageError } from '../errors.ts';
import { meansContents, split, type Source } from './places.ts';

/** Files with several names that are remembered; the further names of others are sent as files of their own. */
const maxLinked = 65_536;

export interface LocalSource extends Source {
  readonly path: string;
}

/** `path`: absolute, as `absolute` has it. A slash or a dot at its end follows a link, and so does `follow`. */
export async function localSource(path: string, follow: boolean): Promise<LocalSource> {
  try {
    const through = follow || path.endsWith('/') || meansContents(path);
    const real = through ? await realpath(path) : path;
    const status = await lstat(real);
    if ((path.endsWith('/') || meansContents(path)) && !status.isDirectory()) throw new UsageError(`${path} is not a directory`);
    return { path: real, base: split(path).base, directory: status.isDirectory() };
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError(`${path} cannot be copied: ${(error as Error).message}`, { cause: error });
  }
}

/** `base`: what the names begin with. */
export async function* localArchive({ path }: LocalSource, base: string): AsyncGenerator<Buffer> {
  yield* members(path, base, new Map());
  yield tarEnd;
}

async function* members(path: string, name: string, linked: Map<string, string>): AsyncGenerator<Buffer> {
  const status = await lstat(path);
  const type = typeOf(status);
  if (type === null) return; // a socket: a tar has none
  const identity = `${status.dev}:${status.ino}`;
  const known = type === 'file' && status.nlink > 1 ? linked.get(identity) : undefined;
  if (type === 'file' && status.nlink > 1 && known === undefined && linked.size < maxLinked) linked.set(identity, name);
  const linkName = known ?? (type === 'symlink' ? await readlink(path) : '');
  const sizeBytes = type === 'file' && known === undefined ? status.size : 0;
  const device = type === 'character' || type === 'block';
  yield encodeTarHeader({
    name: Buffer.from(type === 'directory' && !name.endsWith('/') ? `${name}/` : name), type: known === undefined ? type : 'link', linkName: Buffer.from(linkName), mode: status.mode & 0o7777,
    uid: status.uid, gid: status.gid, mtimeSeconds: Math.floor(status.mtimeMs / 1_000), sizeBytes, major: device ? (status.rdev >>> 8) & 0xfff : 0,
    minor: device ? (status.rdev & 0xff) | ((status.rdev >>> 12) & 0xfff00) : 0, capability: Buffer.alloc(0),
  });
  if (sizeBytes > 0) yield* bytesOf(path, sizeBytes);
  if (type !== 'directory') return;
  for (const child of (await readdir(path)).toSorted()) yield* members(posix.join(path, child), `${name === '/' ? '' : name}/${child}`, linked);
}

/** Just as many as were told, whatever the file has become meanwhile. */
async function* bytesOf(path: string, sizeBytes: number): AsyncGenerator<Buffer> {
  const file = await open(path);
  try {
    let left = sizeBytes;
    for await (const chunk of file.createReadStream({ autoClose: false, end: sizeBytes - 1 }) as AsyncIterable<Buffer>) {
      left -= chunk.length;
      yield chunk;
    }
    if (left > 0) throw new CliError(`${path} became shorter while it was sent`);
    yield tarPadding(sizeBytes);
  } finally {
    await file.close();
  }
}

function typeOf(status: Stats): TarType | null {
  if (status.isFile()) return 'file';
  if (status.isDirectory()) return 'directory';
  if (status.isSymbolicLink()) return 'symlink';
  if (status.isFIFO()) return 'fifo';
  if (status.isCharacterDevice()) return 'character';
  return status.isBlockDevice() ? 'block' : null;
}
