// Takes compressed kernels and modules apart. gzip, zstd and LZ4's legacy frame in this process; xz and bzip2 by the programs of those names.
// It must not allocate more than `maxBytes` because a file says so.
import { spawn } from 'node:child_process';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { MachineError } from './errors.ts';

/** No kernel or module that anybody boots is bigger uncompressed. */
export const maxBytes = 512 << 20;

export type Compression = 'gzip' | 'xz' | 'zstd' | 'lz4' | 'bzip2' | 'lzma' | 'lzo';

const magics: readonly (readonly [Compression, string])[] = [
  ['gzip', '1f8b08'], ['xz', 'fd377a585a00'], ['zstd', '28b52ffd'], ['lz4', '02214c18'], ['bzip2', '425a68'], ['lzma', '5d0000'], ['lzo', '894c5a4f'],
];

/** What compressed `data`, by its first bytes; undefined when nothing known did. */
export function compressionOf(data: Buffer): Compression | undefined {
  const start = data.subarray(0, 8).toString('hex');
  return magics.find(([, magic]) => start.startsWith(magic))?.[0];
}

/** Bytes of `data` uncompressed; whatever follows the compressed stream (a kernel's length field) is left. */
export async function decompress(data: Buffer, compression: Compression): Promise<Buffer> {
  try {
    switch (compression) {
      case 'gzip': return gunzipSync(data, { maxOutputLength: maxBytes });
      case 'zstd': return zstdDecompressSync(data, { maxOutputLength: maxBytes });
      case 'lz4': return lz4Legacy(data);
      case 'xz': return await byProgram('xz', ['--decompress', '--stdout', '--single-stream', '--format=xz'], data);
      case 'lzma': return await byProgram('xz', ['--decompress', '--stdout', '--format=lzma'], data);
      case 'bzip2': return await byProgram('bzip2', ['--decompress', '--stdout'], data);
      case 'lzo': return await byProgram('lzop', ['--decompress', '--stdout'], data);
    }
  } catch (cause) {
    if (cause instanceof MachineError) throw cause;
    throw new MachineError('bad-kernel', `${compression} data cannot be decompressed: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

/** LZ4's legacy frame: the magic, then blocks of a 32-bit length and at most 8 MiB each uncompressed. */
function lz4Legacy(data: Buffer): Buffer {
  const blocks: Buffer[] = [];
  let total = 0;
  for (let at = 4; at + 4 <= data.length;) {
    const size = data.readUInt32LE(at);
    if (size === 0 || at + 4 + size > data.length) break; // the kernel's build appends the uncompressed length
    const block = lz4Block(data.subarray(at + 4, at + 4 + size));
    total += block.length;
    if (total > maxBytes) throw new RangeError('too big');
    blocks.push(block);
    at += 4 + size;
  }
  return Buffer.concat(blocks);
}

/** One LZ4 block (lz4_Block_format.md): tokens of literals and matches. */
export function lz4Block(source: Buffer, maxOutputBytes = 8 << 20): Buffer {
  const output = Buffer.allocUnsafe(maxOutputBytes);
  let at = 0;
  let to = 0;
  const length = (first: number): number => {
    let sum = first;
    if (first !== 15) return sum;
    for (let byte = 255; byte === 255;) {
      byte = source.readUInt8(at++);
      sum += byte;
    }
    return sum;
  };
  while (at < source.length) {
    const token = source.readUInt8(at++);
    const literals = length(token >> 4);
    if (at + literals > source.length || to + literals > output.length) throw new RangeError('LZ4 literals beyond the block');
    source.copy(output, to, at, at + literals);
    at += literals;
    to += literals;
    if (at >= source.length) break;
    const distance = source.readUInt16LE(at);
    at += 2;
    const match = length(token & 15) + 4;
    if (distance === 0 || distance > to || to + match > output.length) throw new RangeError('LZ4 match beyond the block');
    if (distance >= match) output.copy(output, to, to - distance, to - distance + match);
    else for (let index = 0; index < match; index++) output[to + index] = output[to - distance + index] as number; // overlapping: a repeated pattern
    to += match;
  }
  return output.subarray(0, to);
}

async function byProgram(program: string, args: readonly string[], data: Buffer): Promise<Buffer> {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], timeout: 120_000, killSignal: 'SIGKILL' });
  return await new Promise<Buffer>((resolve, reject) => {
    const output: Buffer[] = [];
    let total = 0;
    let words = '';
    child.once('error', (cause) => reject(new MachineError('missing-program', `${program} is needed for this kernel and cannot be started`, { cause })));
    child.stdout.on('data', (piece: Buffer) => {
      total += piece.length;
      if (total > maxBytes) child.kill('SIGKILL');
      else output.push(piece);
    });
    child.stderr.on('data', (piece: Buffer) => { words = (words + piece.toString()).slice(0, 1024); });
    child.stdin.on('error', () => { /* the program has read what it wanted: bytes follow the stream in a kernel */ });
    child.once('close', (code) => {
      if (output.length > 0 && (code === 0 || total > 0)) resolve(Buffer.concat(output)); // trailing bytes make bzip2 and lzma complain after all is out
      else reject(new MachineError('bad-kernel', `${program} cannot decompress this: ${words.trim() || `exit code ${code}`}`));
    });
    child.stdin.end(data);
  });
}
