// Reads a tar from an untrusted stream, entry by entry, with bounded memory: ustar, pax (path, linkpath, size) and GNU long names.
// Writes nothing; what an entry's name may be is checked here, because nobody may use one that is not.
import { ImageError } from './image-error.ts';

const BLOCK = 512;
const MAX_META_BYTES = 1 << 20; // pax header or long name
const MAX_NAME_BYTES = 4096;

/** One entry. `body` must be read to its end before the next entry is asked for; what is left of it is skipped. */
export type TarEntry = { name: string; type: 'file' | 'directory' | 'symlink' | 'link' | 'other'; linkName: string; size: number; body: AsyncIterable<Uint8Array> };

function refuse(why: string): never {
  throw new ImageError('invalid-archive', `invalid tar: ${why}`);
}

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
        refuse(`it ends in the middle of ${where}`);
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

/** Yields the entries. Throws ImageError `invalid-archive`; closes the source in any case. */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry, void, undefined> {
  const bytes = new ByteSource(source);
  try {
    let extra: { path?: string; linkpath?: string; size?: string } = {};
    for (let first = true; ; first = false) {
      const block = await bytes.exactly(BLOCK, 'a header');
      if (block === undefined) {
        if (first) refuse('it is empty');
        return; // some writers leave the closing blocks out
      }
      if (block.every((byte) => byte === 0)) return await drain(bytes);
      const header = parseHeader(block, first);
      if (header.flag === 'x' || header.flag === 'L' || header.flag === 'K' || header.flag === 'g') {
        if (header.size > MAX_META_BYTES) refuse(`an extended header claims ${header.size} bytes`);
        const data = await bytes.exactly(padded(header.size), 'an extended header') ?? (header.size === 0 ? Buffer.alloc(0) : refuse('it ends before an extended header'));
        if (header.flag === 'x') extra = { ...extra, ...parsePax(data.subarray(0, header.size)) };
        if (header.flag === 'L') extra.path = utf8(untilNul(data.subarray(0, header.size)));
        if (header.flag === 'K') extra.linkpath = utf8(untilNul(data.subarray(0, header.size)));
        continue; // a global pax header ('g') says nothing that is used here
      }
      const size = extra.size === undefined ? header.size : Number(extra.size);
      if (!Number.isSafeInteger(size) || size < 0) refuse('an entry has an absurd size');
      const name = safePath(extra.path ?? header.name, 'an entry');
      const type = TYPES[header.flag] ?? 'other';
      const length = type === 'file' ? size : 0;
      const body = bodyOf(bytes, length, name);
      yield { name, type, linkName: extra.linkpath ?? header.linkName, size: length, body };
      for await (const rest of body) void rest; // skips what the reader left
      if (type === 'file' && padded(size) > size && await bytes.exactly(padded(size) - size, `the padding of ${name}`) === undefined) refuse(`it ends after ${name}`);
      extra = {};
    }
  } finally {
    await bytes.close();
  }
}

const TYPES: Readonly<Record<string, TarEntry['type']>> = { '0': 'file', '\0': 'file', '7': 'file', '1': 'link', '2': 'symlink', '5': 'directory' };

/** A relative path without `.`, `..`, empty parts or control characters; throws for one that leaves the archive. */
export function safePath(path: string, what: string): string {
  const shown = JSON.stringify(path.slice(0, 200));
  if (Buffer.byteLength(path) > MAX_NAME_BYTES) refuse(`the name of ${what} is longer than ${MAX_NAME_BYTES} bytes`);
  if (/[\0-\x1f\x7f]/.test(path)) refuse(`${what} has control characters in its name ${shown}`);
  if (path.startsWith('/')) refuse(`${what} has the absolute path ${shown}`);
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) refuse(`${what} has the path ${shown}, which leaves the archive`);
  return parts.join('/');
}

async function* bodyOf(bytes: ByteSource, size: number, name: string): AsyncGenerator<Uint8Array, void, undefined> {
  let left = size;
  while (left > 0) {
    const part = await bytes.some(left);
    if (part === undefined) refuse(`it ends in the middle of ${name} (${left} of ${size} bytes are missing)`);
    left -= part.length;
    // The count goes down before the yield, so a reader that stops early leaves the source where the rest begins.
    yield part;
  }
}

// What follows the end mark is padding; a sender is let finish, but not for ever.
async function drain(bytes: ByteSource): Promise<void> {
  let left = 1 << 20;
  for (let part = await bytes.some(left); part !== undefined && left > 0; part = await bytes.some(left)) left -= part.length;
}

function parseHeader(block: Buffer, first: boolean): { name: string; linkName: string; size: number; flag: string } {
  let sum = 0;
  for (const [at, byte] of block.entries()) sum += at >= 148 && at < 156 ? 32 : byte;
  if (sum !== octal(block, 148, 8)) refuse(first ? 'its first block is no tar header' : 'a header has a wrong checksum');
  const prefix = block.toString('latin1', 257, 263) === 'ustar\0' ? utf8(untilNul(block.subarray(345, 500))) : '';
  const name = utf8(untilNul(block.subarray(0, 100)));
  return { name: prefix === '' ? name : `${prefix}/${name}`, linkName: utf8(untilNul(block.subarray(157, 257))), size: octal(block, 124, 12), flag: String.fromCharCode(block[156]!) };
}

/** An octal number, or GNU's base-256 form for large ones; NaN if it is neither. */
function octal(block: Buffer, from: number, length: number): number {
  const field = block.subarray(from, from + length);
  if ((field[0]! & 0x80) !== 0) return field.reduce((value, byte, at) => value * 256 + (at === 0 ? byte & 0x7f : byte), 0);
  const text = untilNul(field).toString('latin1').trim();
  return text === '' ? 0 : /^[0-7]+$/.test(text) ? parseInt(text, 8) : NaN;
}

function parsePax(data: Buffer): Record<string, string> {
  const found: Record<string, string> = {};
  for (let at = 0; at < data.length;) {
    const space = data.indexOf(32, at);
    const length = space < 0 ? NaN : Number(data.toString('latin1', at, space));
    if (!Number.isInteger(length) || length < space - at + 3 || at + length > data.length) refuse('a pax header is malformed');
    const record = data.subarray(space + 1, at + length - 1);
    const equals = record.indexOf(61);
    const key = record.toString('latin1', 0, Math.max(equals, 0));
    if (key === 'path' || key === 'linkpath' || key === 'size') found[key] = utf8(record.subarray(equals + 1));
    at += length;
  }
  return found;
}

function padded(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

function untilNul(field: Buffer): Buffer {
  const end = field.indexOf(0);
  return end < 0 ? field : field.subarray(0, end);
}

function utf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return refuse('a name is not valid UTF-8');
  }
}
