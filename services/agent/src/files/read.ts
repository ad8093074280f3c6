// Files of a container as a tar, at the reader's pace: what the helper tells, member by member. Looks at no path itself.
import type { Writable } from 'node:stream';
import type { PathStat } from '@pouch/contracts';
import { entryOf, FilesError, FilesOp, FileType, type FileEntry, type FilesHelper } from '@pouch/native';
import { encodeTarHeader, tarEnd, tarPadding, type TarType } from '@pouch/oci';
import { write } from '../streams/frames.ts';
import { baseName, memberName } from './names.ts';

/** Files with several names that are remembered by their inode; the names of further ones are told as files of their own. */
const maxLinked = 65_536;

const types: Readonly<Record<number, TarType>> = {
  [FileType.regular]: 'file', [FileType.symbolicLink]: 'symlink', [FileType.directory]: 'directory', [FileType.character]: 'character', [FileType.block]: 'block', [FileType.fifo]: 'fifo',
};

/** What the helper told of the path itself. */
export function pathStat(path: string, { mode, sizeBytes, mtimeSeconds, mtimeNanoseconds, link }: FileEntry): PathStat {
  return { name: baseName(path), sizeBytes, mode, mtimeSeconds, mtimeNanoseconds, linkTarget: link.toString() };
}

/** Writes one line of JSON with the path's `PathStat`, then the tar. `path`: as `askedPath` has it. Resolves when all is written; throws before the first byte where there is nothing. */
export async function readFiles(helper: FilesHelper, path: string, to: Writable, signal: AbortSignal): Promise<void> {
  await helper.send(FilesOp.read, Buffer.from(path));
  const found = pathStat(path, await helper.expectEntry(FilesOp.found));
  await write(to, Buffer.from(`${JSON.stringify(found)}\n`), signal);
  const members = new Members(baseName(path));
  for (;;) {
    const { op, payload } = await helper.next();
    if (op === FilesOp.end) break;
    const bytes = op === FilesOp.entry ? members.header(entryOf(payload)) : op === FilesOp.data ? members.bytes(payload) : null;
    if (bytes === null) throw new FilesError('HELPER_DIED', `pouch-files said ${op} while files were read`);
    for (const part of bytes) await write(to, part, signal);
  }
  await write(to, tarEnd, signal);
}

/** Turns what the helper tells into blocks of a tar. */
class Members {
  readonly #base: string;
  /** Names of files that have several, by what tells them apart. */
  readonly #linked = new Map<string, Buffer>();
  #left = 0;
  #size = 0;
  /** A further name: the tar has its bytes already. */
  #skipping = false;

  constructor(base: string) {
    this.#base = base;
  }

  header(entry: FileEntry): Buffer[] {
    const type = types[entry.mode & FileType.mask];
    if (type === undefined) return [];
    const name = Buffer.from(memberName(this.#base, entry.path.toString('latin1'), type === 'directory'), 'latin1');
    const known = type === 'file' && entry.links > 1 ? this.#linked.get(entry.identity) : undefined;
    if (type === 'file' && entry.links > 1 && known === undefined && this.#linked.size < maxLinked) this.#linked.set(entry.identity, name);
    this.#left = this.#size = type === 'file' ? entry.sizeBytes : 0;
    this.#skipping = known !== undefined;
    const device = type === 'character' || type === 'block';
    return [encodeTarHeader({
      name, type: known === undefined ? type : 'link', linkName: known ?? entry.link, mode: entry.mode & 0o7777, uid: entry.uid, gid: entry.gid, mtimeSeconds: entry.mtimeSeconds,
      sizeBytes: known === undefined ? this.#size : 0, major: device ? entry.major : 0, minor: device ? entry.minor : 0, capability: known === undefined ? entry.capability : Buffer.alloc(0),
    })];
  }

  bytes(data: Buffer): Buffer[] {
    this.#left -= data.length;
    if (this.#left < 0) throw new FilesError('HELPER_DIED', 'pouch-files read more than a file has');
    if (this.#skipping) return [];
    return this.#left === 0 ? [data, tarPadding(this.#size)] : [data];
  }
}
