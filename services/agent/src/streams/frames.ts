// Docker's stream framing: 8-byte headers that tell stdout from stderr, or raw bytes with a terminal.
import type { Writable } from 'node:stream';

const streamType = { stdout: 1, stderr: 2 } as const;

/** `data` as it goes to a client: with a header, or as it is when the container has a terminal. */
export function frame(stream: 'stdout' | 'stderr', data: Buffer, raw: boolean): Buffer {
  if (raw) return data;
  const framed = Buffer.allocUnsafe(8 + data.length);
  framed.writeUInt32BE(streamType[stream] << 24 >>> 0, 0);
  framed.writeUInt32BE(data.length, 4);
  data.copy(framed, 8);
  return framed;
}

/** Writes and waits while the reader is slow. Rejects once the stream has failed or `signal` is aborted. */
export async function write(stream: Writable, data: Buffer, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  if (stream.destroyed || stream.writableEnded) throw new StreamClosedError();
  if (stream.write(data)) return;
  await new Promise<void>((resolve, reject) => {
    const settle = (): void => {
      stream.off('drain', drained);
      stream.off('close', closed);
      signal?.removeEventListener('abort', closed);
    };
    const drained = (): void => { settle(); resolve(); };
    const closed = (): void => { settle(); reject(new StreamClosedError()); };
    stream.once('drain', drained);
    stream.once('close', closed);
    signal?.addEventListener('abort', closed, { once: true });
  });
}

/** The reader has gone. Not a failure of anything here. */
export class StreamClosedError extends Error {
  readonly code = 'stream-closed';
  constructor() {
    super('the reader has gone');
    this.name = 'StreamClosedError';
  }
}
