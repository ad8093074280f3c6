// Reads a tar from an untrusted stream, member by member, with bounded memory: ustar, pax and GNU long names. It writes nothing, and judges no name:
// whoever uses one must.
import { capabilityRecord, tarBlockBytes, type TarHeader, type TarType } from './header.ts';

const maxMetaBytes = 1 << 20; // pax header or long name
/** What follows the end mark is read up to this. */
const maxRestBytes = 1 << 20;
const maxCapabilityBytes = 64;

/** The stream is no tar, or ends too early. `message` can be shown to a person. */
export class TarError extends Error {
  override readonly name = 'TarError';
  readonly code = 'invalid-archive';

  constructor(why: string) {
    super(`invalid tar: ${why}`);
  }
}

/** `body` must be read to its end before the next member is asked for; what is left of it is skipped. `other`: a kind that is not known, or a sparse file. */
export type TarMember = Omit<TarHeader, 'type'> & { readonly type: TarType | 'other'; readonly body: AsyncIterable<Uint8Array> };

const types: Readonly<Record<string, TarType>> = { '0': 'file', '\0': 'file', '7': 'file', '1': 'link', '2': 'symlink', '3': 'character', '4': 'block', '5': 'directory', '6': 'fifo' };

/** Takes exact numbers of bytes out of a stream of chunks. */
class ByteSource {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array(0);
  constructor(source: AsyncIterable<Uint8Array>) { this.#iterator = source[Symbol.asyncIterator](); }

  /** The next bytes, at most `limit`; undefined at the end. */
  async some(limit: number): Promise<Uint8Array | undefined> {
    while (this.#chunk.length === 0) {
      const { done, value } = await this.#iterator.next();
      if (done === true) return undefined;
      this.#chunk = value;
    }
    const part = this.#chunk.subarray(0, limit);
    this.#chunk = this.#chunk.subarray(part.length);
    return part;
  }

  /** Exactly `count` bytes; undefined if the stream ends before the first. */
  async exactly(count: number, where: string): Promise<Buffer | undefined> {
    const parts: Uint8Array[] = [];
    let have = 0;
    while (have < count) {
      const part = await this.some(count - have);
      if (part === undefined) {
        if (have === 0) return undefined;
        throw new TarError(`it ends in the middle of ${where}`);
      }
      parts.push(part);
      have += part.length;
    }
    return Buffer.concat(parts, count);
  }

  async close(): Promise<void> {
    await this.#iterator.return?.();
  }
}

/** Yields the members. Throws TarError; closes the source in any case. */
export async function* readTarMembers(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarMember, void, undefined> {
  const bytes = new ByteSource(source);
  try {
    let extra = new Map<string, Buffer>();
    for (let first = true; ; first = false) {
      const block = await bytes.exactly(tarBlockBytes, 'a header');
      if (block === undefined) {
        if (first) throw new TarError('it is empty');
        return; // some writers leave the closing blocks out
      }
      if (block.every((byte) => byte === 0)) return await drain(bytes);
      const header = parseHeader(block, first);
      if (header.flag === 'x' || header.flag === 'L' || header.flag === 'K' || header.flag === 'g') {
        if (header.sizeBytes > maxMetaBytes) throw new TarError(`an extended header claims ${header.sizeBytes} bytes`);
        const data = (await bytes.exactly(padded(header.sizeBytes), 'an extended header') ?? (header.sizeBytes === 0 ? Buffer.alloc(0) : ends('before an extended header'))).subarray(0, header.sizeBytes);
        if (header.flag === 'x') extra = new Map([...extra, ...parsePax(data)]);
        if (header.flag === 'L') extra.set('path', untilNul(data));
        if (header.flag === 'K') extra.set('linkpath', untilNul(data));
        continue; // a global pax header ('g') says nothing that is used here
      }
      const member = { ...header, ...overridden(extra) };
      const type = [...extra.keys()].some((key) => key.startsWith('GNU.sparse.')) ? 'other' : (types[header.flag] ?? 'other');
      // What is of no known kind has its bytes behind it all the same (pax, "typeflag").
      const sizeBytes = type === 'file' || type === 'other' ? sound(member.sizeBytes, 'size') : 0;
      for (const [value, what] of [[member.uid, 'owner'], [member.gid, 'group'], [member.mode, 'mode']] as const) sound(value, what);
      const shown = member.name.toString('utf8', 0, 200);
      const body = bodyOf(bytes, sizeBytes, shown);
      const { name, linkName, mode, uid, gid, mtimeSeconds, major, minor, capability } = member;
      // An old way to write a directory.
      const directory = type === 'file' && header.flag === '\0' && name.at(-1) === 47;
      yield { name, type: directory ? 'directory' : type, linkName, mode: mode & 0o7777, uid, gid, mtimeSeconds, sizeBytes, major, minor, capability, body };
      for await (const rest of body) void rest; // skips what the reader left
      if (padded(sizeBytes) > sizeBytes && await bytes.exactly(padded(sizeBytes) - sizeBytes, `the padding of ${shown}`) === undefined) ends(`after ${shown}`);
      extra = new Map();
    }
  } finally {
    await bytes.close();
  }
}

function ends(where: string): never {
  throw new TarError(`it ends ${where}`);
}

function sound(value: number, what: string): number {
  if (!Number.isSafeInteger(value) || value < 0) throw new TarError(`an entry has an absurd ${what}`);
  return value;
}

async function* bodyOf(bytes: ByteSource, size: number, name: string): AsyncGenerator<Uint8Array, void, undefined> {
  let left = size;
  while (left > 0) {
    const part = await bytes.some(left);
    if (part === undefined) throw new TarError(`it ends in the middle of ${name} (${left} of ${size} bytes are missing)`);
    left -= part.length;
    // The count goes down before the yield, so a reader that stops early leaves the source where the rest begins.
    yield part;
  }
}

// What follows the end mark is padding; a sender is let finish, but not for ever.
async function drain(bytes: ByteSource): Promise<void> {
  let left = maxRestBytes;
  for (let part = await bytes.some(left); part !== undefined && left > 0; part = await bytes.some(left)) left -= part.length;
}

type Header = Omit<TarHeader, 'type'> & { readonly flag: string };

function parseHeader(block: Buffer, first: boolean): Header {
  let sum = 0;
  for (const [at, byte] of block.entries()) sum += at >= 148 && at < 156 ? 32 : byte;
  if (sum !== octal(block, 148, 8)) throw new TarError(first ? 'its first block is no tar header' : 'a header has a wrong checksum');
  const ustar = block.toString('latin1', 257, 262) === 'ustar';
  const prefix = block.toString('latin1', 257, 263) === 'ustar\0' ? untilNul(block.subarray(345, 500)) : Buffer.alloc(0);
  const name = untilNul(block.subarray(0, 100));
  return {
    name: prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from('/'), name]), linkName: untilNul(block.subarray(157, 257)),
    mode: octal(block, 100, 8), uid: octal(block, 108, 8), gid: octal(block, 116, 8), sizeBytes: octal(block, 124, 12), mtimeSeconds: octal(block, 136, 12),
    major: ustar ? octal(block, 329, 8) : 0, minor: ustar ? octal(block, 337, 8) : 0, capability: Buffer.alloc(0), flag: String.fromCharCode(block[156] ?? 0),
  };
}

/** An octal number, or GNU's base-256 form for large ones; NaN if it is neither. */
function octal(block: Buffer, from: number, length: number): number {
  const field = block.subarray(from, from + length);
  const [lead = 0] = field;
  // Base 256: of two's complement where it is negative, which only a time can be.
  if (lead === 0xff) return -field.reduce((value, byte) => value * 256 + (255 - byte), 0) - 1;
  if ((lead & 0x80) !== 0) return field.reduce((value, byte, at) => value * 256 + (at === 0 ? byte & 0x7f : byte), 0);
  const text = untilNul(field).toString('latin1').trim();
  return text === '' ? 0 : /^[0-7]+$/.test(text) ? parseInt(text, 8) : NaN;
}

/** What a pax header, or GNU's long name, says instead of the block's fields. */
function overridden(extra: ReadonlyMap<string, Buffer>): Partial<Header> {
  const number = (key: string): number | undefined => {
    const text = extra.get(key)?.toString('latin1');
    return text === undefined ? undefined : /^-?\d{1,20}(\.\d*)?$/.test(text) ? Math.floor(Number(text)) : NaN;
  };
  const [uid, gid, mtimeSeconds, sizeBytes] = [number('uid'), number('gid'), number('mtime'), number('size')];
  const [name, linkName, capability] = [extra.get('path'), extra.get('linkpath'), extra.get(capabilityRecord)];
  if (capability !== undefined && capability.length > maxCapabilityBytes) throw new TarError('an entry has absurd capabilities');
  return {
    ...(name === undefined ? {} : { name }), ...(linkName === undefined ? {} : { linkName }), ...(capability === undefined ? {} : { capability }), ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }), ...(mtimeSeconds === undefined ? {} : { mtimeSeconds }), ...(sizeBytes === undefined ? {} : { sizeBytes }),
  };
}

function parsePax(data: Buffer): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (let at = 0; at < data.length;) {
    const space = data.indexOf(32, at);
    const length = space < 0 ? NaN : Number(data.toString('latin1', at, space));
    if (!Number.isInteger(length) || length < space - at + 3 || at + length > data.length) throw new TarError('a pax header is malformed');
    const record = data.subarray(space + 1, at + length - 1);
    const equals = record.indexOf(61);
    found.set(record.toString('latin1', 0, Math.max(equals, 0)), record.subarray(equals + 1));
    at += length;
  }
  return found;
}

function padded(size: number): number {
  return Math.ceil(size / tarBlockBytes) * tarBlockBytes;
}

function untilNul(field: Buffer): Buffer {
  const end = field.indexOf(0);
  return end < 0 ? field : field.subarray(0, end);
}
