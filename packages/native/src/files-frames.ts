// The frames of pouch-files, as c/files/files.h draws them: bytes to frames and back, entries to bytes and back. Pure; starts nothing.

/** Bytes of the largest payload, so also of one DATA. */
export const maxPayloadBytes = 64 * 1024;
/** Bytes of the longest path or link. */
export const maxPathBytes = 4_095;
const headerBytes = 8;
const entryBytes = 72;

export const FilesOp = { go: 1, stat: 2, read: 3, extract: 4, entry: 5, data: 6, times: 7, end: 8, opened: 16, found: 17, ready: 18, error: 19 } as const;
export type FilesOp = (typeof FilesOp)[keyof typeof FilesOp];

/** Types of files in `mode`, as stat(2) has them; `hardLink` is ours: a further name. */
export const FileType = { mask: 0o170000, fifo: 0o010000, character: 0o020000, directory: 0o040000, block: 0o060000, regular: 0o100000, symbolicLink: 0o120000, socket: 0o140000, hardLink: 0o170000 } as const;

export interface FilesFrame {
  readonly op: number;
  readonly payload: Buffer;
}

/** One file. Names are bytes: Linux knows no encoding of them. */
export interface FileEntry {
  /** With the type, see `FileType`. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  /** Of a device. */
  readonly major: number;
  readonly minor: number;
  /** Since 1970. */
  readonly mtimeSeconds: number;
  readonly mtimeNanoseconds: number;
  readonly sizeBytes: number;
  /** Device and inode, which tell further names of one file. */
  readonly identity: string;
  /** Relative to what was asked for; empty: that itself. */
  readonly path: Buffer;
  readonly link: Buffer;
  /** The attribute security.capability; empty: none. */
  readonly capability: Buffer;
}

/** What is said of a file that is to be made. */
export type NewFile = Omit<FileEntry, 'links' | 'identity'>;

export function encodeFilesFrame(op: FilesOp, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const frame = Buffer.alloc(headerBytes + payload.length);
  frame.writeUInt32LE(payload.length, 0);
  frame.writeUInt8(op, 4);
  frame.set(payload, headerBytes);
  return frame;
}

export function encodeFileEntry(entry: NewFile): Buffer {
  const { path, link, capability } = entry;
  const bytes = Buffer.alloc(entryBytes);
  for (const [at, number] of [entry.mode, entry.uid, entry.gid, 0, entry.major, entry.minor, entry.mtimeNanoseconds].entries()) bytes.writeUInt32LE(number, 4 * at);
  bytes.writeBigInt64LE(BigInt(entry.mtimeSeconds), 32);
  bytes.writeBigUInt64LE(BigInt(entry.sizeBytes), 40);
  bytes.writeUInt16LE(path.length, 64);
  bytes.writeUInt16LE(link.length, 66);
  bytes.writeUInt16LE(capability.length, 68);
  return Buffer.concat([bytes, path, link, capability]);
}

/** Null for what is no entry. */
export function decodeFileEntry(payload: Buffer): FileEntry | null {
  if (payload.length < entryBytes) return null;
  const number = (index: number): number => payload.readUInt32LE(4 * index);
  const [path, link, capability] = [payload.readUInt16LE(64), payload.readUInt16LE(66), payload.readUInt16LE(68)];
  if (entryBytes + path + link + capability !== payload.length) return null;
  const part = (from: number, length: number): Buffer => payload.subarray(entryBytes + from, entryBytes + from + length);
  return {
    mode: number(0), uid: number(1), gid: number(2), links: number(3), major: number(4), minor: number(5), mtimeNanoseconds: number(6),
    mtimeSeconds: Number(payload.readBigInt64LE(32)), sizeBytes: Number(payload.readBigUInt64LE(40)), identity: payload.toString('hex', 48, 64),
    path: part(0, path), link: part(path, link), capability: part(path + link, capability),
  };
}

/** Splits a stream into frames. A length beyond the maximum is an error. */
export class FilesFrames {
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): FilesFrame[] {
    const frames: FilesFrame[] = [];
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= headerBytes) {
      const length = bytes.readUInt32LE(0);
      if (length > maxPayloadBytes) throw new RangeError(`a frame of ${length} bytes`);
      if (bytes.length < headerBytes + length) break;
      frames.push({ op: bytes.readUInt8(4), payload: bytes.subarray(headerBytes, headerBytes + length) });
      bytes = bytes.subarray(headerBytes + length);
    }
    this.#rest = bytes;
    return frames;
  }

  /** Whether the stream may end here. */
  get whole(): boolean {
    return this.#rest.length === 0;
  }
}
