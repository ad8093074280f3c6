// A tar into a container, at the helper's pace: each member is looked at here and made there. Looks at no path itself.
import { decompressed } from '@pouch/containerd';
import { encodeFileEntry, FilesOp, FileType, maxPayloadBytes, type FilesHelper, type NewFile } from '@pouch/native';
import { readTarMembers, type TarMember, type TarType } from '@pouch/oci';
import { OperatingError } from '@pouch/process';
import { linkedPlace, placeOf } from './names.ts';

export interface Extraction {
  /** As `askedPath` has it. */
  readonly path: string;
  readonly noOverwriteDirNonDir: boolean;
  /** Everything is this user's; null: as the tar says. */
  readonly owner: { readonly uid: number; readonly gid: number } | null;
}

/** Directories whose times are set again when all that is in them has been made; of further ones they are as it happens. */
const maxTimes = 65_536;
const noOverwrite = 1;
const owned = 2;
const maxSeconds = 2 ** 40;

const types: Readonly<Record<TarType, number>> = {
  file: FileType.regular, link: FileType.hardLink, symlink: FileType.symbolicLink, character: FileType.character, block: FileType.block, directory: FileType.directory, fifo: FileType.fifo,
};

/** Asks whether the directory is there and can be written to. Nothing has been made when it fails. */
export async function beginExtraction(helper: FilesHelper, { path, noOverwriteDirNonDir, owner }: Extraction): Promise<void> {
  const numbers = Buffer.alloc(12);
  numbers.writeUInt32LE((noOverwriteDirNonDir ? noOverwrite : 0) | (owner === null ? 0 : owned), 0);
  numbers.writeUInt32LE(owner?.uid ?? 0, 4);
  numbers.writeUInt32LE(owner?.gid ?? 0, 8);
  await helper.send(FilesOp.extract, Buffer.concat([numbers, Buffer.from(path)]));
  await helper.expect(FilesOp.ready);
}

/** Makes what the tar holds. Where it is refused half-way, what came before stays, as Docker has it; a half file does not. */
export async function extract(helper: FilesHelper, source: AsyncIterable<Uint8Array>): Promise<void> {
  const over = { failed: false };
  const ended = helper.expect(FilesOp.end);
  ended.catch(() => { over.failed = true; });
  const sent = send(helper, source, over);
  sent.catch(() => undefined); // seen below, unless the helper has failed first
  // A helper that fails is told at once, also while the sender says nothing; the source then ends with its pipe.
  await Promise.race([sent, ended]);
  await ended;
}

async function send(helper: FilesHelper, source: AsyncIterable<Uint8Array>, over: { readonly failed: boolean }): Promise<void> {
  const times: NewFile[] = [];
  for await (const member of readTarMembers(decompressed(source))) {
    if (over.failed) break;
    const file = fileOf(member);
    await helper.send(FilesOp.entry, encodeFileEntry(file));
    if (member.type === 'directory' && times.length < maxTimes) times.push(file);
    for await (const chunk of member.body) {
      if (over.failed) break;
      for (let at = 0; at < chunk.length; at += maxPayloadBytes) await helper.send(FilesOp.data, chunk.subarray(at, at + maxPayloadBytes));
    }
  }
  // The innermost first: setting one's times changes no other's.
  for (const directory of times.reverse()) if (!over.failed && directory.path.length > 0) await helper.send(FilesOp.times, encodeFileEntry(directory));
  if (!over.failed) await helper.send(FilesOp.end);
}

function fileOf({ name, type, linkName, mode, uid, gid, mtimeSeconds, sizeBytes, major, minor, capability }: TarMember): NewFile {
  const shown = JSON.stringify(name.toString('utf8', 0, 200));
  if (type === 'other') throw new OperatingError('bad-parameter', `the archive has ${shown}, which is of no kind that is known here`);
  if (uid > 0xfffffffe || gid > 0xfffffffe) throw new OperatingError('bad-parameter', `the archive has ${shown}, whose owner is no user id`);
  if (major > 0xffffffff || minor > 0xffffffff || !(major >= 0) || !(minor >= 0)) throw new OperatingError('bad-parameter', `the archive has ${shown}, whose device number is none`);
  const path = placeOf(name.toString('latin1'));
  const link = type === 'link' ? linkedPlace(linkName.toString('latin1')) : type === 'symlink' ? linkName.toString('latin1') : '';
  if (type !== 'directory' && path === '') throw new OperatingError('bad-parameter', `the archive has ${shown}, which would take the place of the directory that it is extracted in`);
  if (type === 'symlink' && (link === '' || link.length > 4_095)) throw new OperatingError('bad-parameter', `the archive has ${shown}, a symbolic link to nothing that can be`);
  return {
    mode: (types[type] | (mode & 0o7777)) >>> 0, uid, gid, major, minor, mtimeSeconds: Math.abs(mtimeSeconds) < maxSeconds ? mtimeSeconds : 0, mtimeNanoseconds: 0, sizeBytes,
    path: Buffer.from(path, 'latin1'), link: Buffer.from(link, 'latin1'), capability,
  };
}
