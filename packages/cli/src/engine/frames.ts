// Takes Docker's multiplexed stream apart: frames of 8 bytes of header (stream, 0, 0, 0, big-endian length) and a payload. Payloads are
// passed on as they come and never collected, so that a frame of any length takes no memory.

export type FrameSink = (stream: 'stdout' | 'stderr', chunk: Uint8Array) => void;

export class FrameError extends Error {
  readonly code = 'bad-frame';
}

/** Feed it chunks cut anywhere. Stream 3 is the daemon's own error and ends in an exception with its text. */
export class Demultiplexer {
  private readonly header = new Uint8Array(8);
  private headerBytes = 0;
  private remaining = 0;
  private stream: 'stdout' | 'stderr' | 'error' = 'stdout';
  private errorText = '';
  private readonly sink: FrameSink;

  constructor(sink: FrameSink) {
    this.sink = sink;
  }

  /** True between frames: a stream that ends elsewhere was cut. */
  get atBoundary(): boolean {
    return this.headerBytes === 0 && this.remaining === 0;
  }

  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.remaining === 0) {
        const take = Math.min(8 - this.headerBytes, chunk.length - at);
        this.header.set(chunk.subarray(at, at + take), this.headerBytes);
        this.headerBytes += take;
        at += take;
        if (this.headerBytes === 8) this.readHeader();
        continue;
      }
      const take = Math.min(this.remaining, chunk.length - at);
      this.payload(chunk.subarray(at, at + take));
      this.remaining -= take;
      at += take;
      if (this.remaining === 0 && this.stream === 'error') throw new FrameError(this.errorText);
    }
  }

  private readHeader(): void {
    this.headerBytes = 0;
    this.remaining = new DataView(this.header.buffer).getUint32(4);
    const kind = this.header[0] as number;
    // 0 is stdin's echo, which Docker's own client writes to stdout.
    if (kind === 0 || kind === 1) this.stream = 'stdout';
    else if (kind === 2) this.stream = 'stderr';
    else if (kind === 3) this.stream = 'error';
    else throw new FrameError(`the output is not a multiplexed stream (frame of kind ${kind})`);
  }

  private payload(part: Uint8Array): void {
    if (this.stream !== 'error') return this.sink(this.stream, part);
    if (this.errorText.length < 64 * 1024) this.errorText += Buffer.from(part).toString('utf8');
  }
}
