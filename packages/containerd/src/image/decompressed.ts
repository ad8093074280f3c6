// Archives as they come from clients, plain or compressed with gzip or zstd, with bounded memory.
import { Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { ImageError } from './image-error.ts';

/** By the first four bytes. */
export function compressionOf(head: Buffer): 'none' | 'gzip' | 'zstd' {
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip';
  return head.length >= 4 && head.readUInt32LE(0) === 0xfd2fb528 ? 'zstd' : 'none';
}

/** The plain bytes of an archive that may be compressed. Throws ImageError `invalid-archive`. */
export async function* decompressed(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = source[Symbol.asyncIterator]();
  let head: Buffer = Buffer.alloc(0);
  while (head.length < 6) {
    const { done, value } = await iterator.next();
    if (done === true) break;
    head = Buffer.concat([head, value]);
  }
  const whole = (async function* () {
    try {
      if (head.length > 0) yield head;
      for (let item = await iterator.next(); item.done !== true; item = await iterator.next()) yield item.value;
    } finally {
      await iterator.return?.();
    }
  })();
  const compression = compressionOf(head);
  if (compression === 'none') {
    if (head.subarray(0, 3).toString('latin1') === 'BZh' || head.subarray(1, 4).toString('latin1') === '7zX') {
      throw new ImageError('invalid-archive', 'invalid archive: it is compressed with bzip2 or xz; only gzip and zstd are read');
    }
    yield* whole;
    return;
  }
  const input = Readable.from(whole, { objectMode: false });
  const output = input.pipe(compression === 'gzip' ? createGunzip() : createZstdDecompress());
  input.on('error', (error) => { output.destroy(error); });
  try {
    for await (const chunk of output) yield chunk as Buffer;
  } catch (error) {
    if (error instanceof Error && /^(?:Z_|ERR_ZLIB|ZSTD_)/.test((error as NodeJS.ErrnoException).code ?? '')) {
      throw new ImageError('invalid-archive', `invalid archive: its ${compression} compression is damaged: ${error.message}`, error);
    }
    throw error;
  } finally {
    output.destroy();
    input.destroy();
  }
}
