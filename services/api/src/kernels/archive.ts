// Looks into the tar of a kernel while it passes by: that it holds `image` and nothing but its modules, what kind of kernel the image is, and its digest.
// Keeps a bounded beginning of the image and changes no byte. Names and sizes are a stranger's: each is checked before it counts.
import { createHash } from 'node:crypto';
import type { KernelRecord } from '@pouch/domain';
import { HttpError } from '../errors.ts';

export type KernelImage = Omit<KernelRecord, 'archive'>;

const block = 512;
const maxEntries = 50_000;
/** Long names and pax headers. */
const maxMetaBytes = 64 * 1024;
const maxImageBytes = 512 * 2 ** 20;
/** The header of a bzImage points to its release within this. */
const headBytes = 128 * 1024;
const linuxVersion = Buffer.from('Linux version ');
const maxReleaseBytes = 128;

interface Entry {
  readonly kind: 'image' | 'module' | 'meta' | 'other';
  readonly flag: string;
  left: number;
  padding: number;
}

/** Feed it all of the archive by `pass`, then ask for `image`. */
export class KernelArchive {
  readonly #hash = createHash('sha256');
  #header = Buffer.alloc(0);
  #entry: Entry | null = null;
  #meta: Buffer[] = [];
  /** From a GNU or pax header, of the next entry. */
  #longName: string | null = null;
  #longSize: number | null = null;
  #entries = 0;
  #ended = false;
  #found = false;
  #imageBytes = 0;
  #modules = 0;
  #head = Buffer.alloc(0);
  /** End of what was searched for the release, so that it is found across two chunks. */
  #tail = Buffer.alloc(0);
  #release: string | null = null;

  /** The same bytes, looked at. Throws an HttpError 400 for what is no kernel's archive. */
  async *pass(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      this.#push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
      yield chunk;
    }
    if (this.#entry !== null || this.#header.length > 0) throw bad('it ends in the middle of a file');
  }

  image(): KernelImage {
    if (!this.#found) throw bad('it holds no file `image`');
    return { digest: `sha256:${this.#hash.digest('hex')}`, sizeBytes: this.#imageBytes, ...this.#kind(), moduleCount: this.#modules };
  }

  #push(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0 && !this.#ended) {
      if (this.#entry === null) {
        const part = rest.subarray(0, block - this.#header.length);
        this.#header = Buffer.concat([this.#header, part]);
        rest = rest.subarray(part.length);
        if (this.#header.length < block) return;
        this.#begin(this.#header);
        this.#header = Buffer.alloc(0);
        continue;
      }
      const entry: Entry = this.#entry;
      const body = rest.subarray(0, entry.left);
      this.#take(entry, body);
      entry.left -= body.length;
      rest = rest.subarray(body.length);
      const skipped = Math.min(entry.padding, entry.left > 0 ? 0 : rest.length);
      entry.padding -= skipped;
      rest = rest.subarray(skipped);
      if (entry.left === 0 && entry.padding === 0) this.#end(entry);
    }
  }

  #begin(header: Buffer): void {
    if (header.every((byte) => byte === 0)) {
      this.#ended = true; // what follows is padding
      return;
    }
    if (++this.#entries > maxEntries) throw bad(`it has more than ${maxEntries} entries`);
    let sum = 0;
    for (const [at, byte] of header.entries()) sum += at >= 148 && at < 156 ? 32 : byte;
    if (sum !== octal(header.subarray(148, 156))) throw bad('it is no tar, or damaged: a header has a wrong checksum');
    const flag = String.fromCharCode(header[156] ?? 0);
    const isMeta = 'xgLK'.includes(flag);
    const size = isMeta ? octal(header.subarray(124, 136)) : this.#longSize ?? octal(header.subarray(124, 136));
    if (!Number.isSafeInteger(size) || size < 0) throw bad('a file in it has an absurd size');
    if (isMeta) {
      if (size > maxMetaBytes) throw bad('an extended header in it is too large');
      this.#start({ kind: 'meta', flag, left: size, padding: paddingOf(size) });
      return;
    }
    const isFile = flag === '0' || flag === '\0' || flag === '7';
    const name = this.#longName ?? nameIn(header);
    this.#longName = null;
    this.#longSize = null;
    const kind = this.#kindOf(name, isFile);
    const length = isFile ? size : 0;
    if (kind === 'image' && length > maxImageBytes) throw bad(`the image has more than ${maxImageBytes / 2 ** 20} MiB`);
    this.#start({ kind, flag, left: length, padding: paddingOf(length) });
  }

  #start(entry: Entry): void {
    this.#entry = entry;
    if (entry.left === 0 && entry.padding === 0) this.#end(entry);
  }

  #kindOf(path: string, isFile: boolean): Entry['kind'] {
    const parts = path.split('/').filter((part) => part !== '' && part !== '.');
    if (path.startsWith('/') || parts.includes('..')) throw bad(`${shown(path)} would leave the archive`);
    if (parts.length === 1 && parts[0] === 'image' && isFile) {
      if (this.#found) throw bad('it holds two files `image`');
      this.#found = true;
      return 'image';
    }
    if (parts.length === 0 || parts[0] === 'modules') {
      if (isFile && parts.length > 1) this.#modules += 1;
      return 'module';
    }
    throw bad(`${shown(path)} does not belong there: only \`image\` and what is under \`modules/\` do`);
  }

  #take(entry: Entry, body: Buffer): void {
    if (entry.kind === 'meta') this.#meta.push(Buffer.from(body));
    if (entry.kind !== 'image') return;
    this.#hash.update(body);
    this.#imageBytes += body.length;
    if (this.#head.length < headBytes) this.#head = Buffer.concat([this.#head, body.subarray(0, headBytes - this.#head.length)]);
    if (this.#release === null) this.#search(body);
  }

  #end(entry: Entry): void {
    this.#entry = null;
    if (entry.kind !== 'meta') return;
    const data = Buffer.concat(this.#meta);
    this.#meta = [];
    if (entry.flag === 'L') this.#longName = text(data);
    if (entry.flag !== 'x') return;
    for (const [, key, value = ''] of data.toString('utf8').matchAll(/\d+ (path|size)=([^\n]*)\n/g)) {
      if (key === 'path') this.#longName = value;
      else this.#longSize = Number(value);
    }
  }

  /** An uncompressed kernel says its release in its own words somewhere. */
  #search(body: Buffer): void {
    const searched = Buffer.concat([this.#tail, body]);
    const at = searched.indexOf(linuxVersion);
    if (at >= 0 && searched.length - at > linuxVersion.length + maxReleaseBytes) this.#release = releaseIn(searched.subarray(at + linuxVersion.length));
    this.#tail = Buffer.from(at >= 0 && this.#release === null ? searched.subarray(at) : searched.subarray(-(linuxVersion.length + maxReleaseBytes)));
  }

  #kind(): { format: KernelImage['format']; release: string | null } {
    const head = this.#head;
    if (head.length > 0x210 && head.toString('latin1', 0x202, 0x206) === 'HdrS') {
      // Documentation/x86/boot: kernel_version, less 0x200.
      const at = head.readUInt16LE(0x20e);
      return { format: 'bzImage', release: at === 0 || at + 0x200 >= head.length ? null : releaseIn(head.subarray(at + 0x200)) };
    }
    if (head.length > 64 && head.readUInt32BE(0) === 0x7f454c46) return { format: 'vmlinux', release: this.#release };
    throw bad('the image is neither a bzImage nor an uncompressed vmlinux');
  }
}

function bad(problem: string): HttpError {
  return new HttpError(400, `the body: it must be a tar of a kernel; ${problem}`);
}

function releaseIn(bytes: Buffer): string | null {
  return /^[\x21-\x7e]{1,100}/.exec(bytes.toString('latin1', 0, maxReleaseBytes))?.[0] ?? null;
}

const shown = (path: string): string => JSON.stringify(path.slice(0, 120));
const paddingOf = (size: number): number => (block - (size % block)) % block;
const text = (field: Buffer): string => field.toString('utf8', 0, field.includes(0) ? field.indexOf(0) : field.length);

function nameIn(header: Buffer): string {
  const prefix = header.toString('latin1', 257, 263) === 'ustar\0' ? text(header.subarray(345, 500)) : '';
  const name = text(header.subarray(0, 100));
  return prefix === '' ? name : `${prefix}/${name}`;
}

/** An octal number, or GNU's base-256 form; NaN if it is neither. */
function octal(field: Buffer): number {
  if (((field[0] ?? 0) & 0x80) !== 0) return field.reduce((value, byte, at) => value * 256 + (at === 0 ? byte & 0x7f : byte), 0);
  const digits = text(field).trim();
  return digits === '' ? 0 : /^[0-7]+$/.test(digits) ? parseInt(digits, 8) : Number.NaN;
}
