// What a probe writes: the first bytes of both streams as they come, the rest into nothing, so that nobody waits for a reader.
import type { Readable } from 'node:stream';

export class ProbeOutput {
  readonly #maxBytes: number;
  readonly #chunks: Buffer[] = [];
  readonly #ended: Promise<unknown>;
  #kept = 0;
  #isCut = false;

  constructor(streams: readonly Readable[], maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#ended = Promise.all(streams.map((stream) => {
      stream.on('data', (chunk: Buffer) => { this.#take(chunk); });
      return new Promise<void>((resolve) => { stream.once('end', resolve).once('close', resolve).once('error', () => resolve()); });
    }));
  }

  #take(chunk: Buffer): void {
    const part = chunk.subarray(0, this.#maxBytes - this.#kept);
    this.#isCut ||= part.length < chunk.length;
    this.#kept += part.length;
    if (part.length > 0) this.#chunks.push(part);
  }

  /** Waits for the ends of the streams, for at most so long. */
  async read(withinMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([this.#ended, new Promise((resolve) => { timer = setTimeout(resolve, withinMs); })]);
    clearTimeout(timer);
  }

  /** With `...` where it is not all, as Docker has it. A character that was cut is no character. */
  get text(): string {
    return `${Buffer.concat(this.#chunks).toString('utf8')}${this.#isCut ? '...' : ''}`;
  }
}
