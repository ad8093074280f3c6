// Writes an endless answer to one HTTP client: waits for those who read slowly, gives up on those who do not read. Knows nothing of what it writes.
import type { ServerResponse } from 'node:http';

export interface StreamLimits {
  /** Bytes that may wait unread in this process before the writer waits. */
  readonly highWaterBytes: number;
  /** A client that takes none of them for this long is cut. */
  readonly stallMs: number;
}

export const defaultStreamLimits: StreamLimits = { highWaterBytes: 256 * 1024, stallMs: 15_000 };

/** `stalled`: the client does not read; whoever writes says so and ends it. `gone`: nobody is there. */
export type WriteOutcome = 'written' | 'stalled' | 'gone';

/** Clients that were told that they are cut get this long to take what waits. */
const lastWordsMs = 10_000;

export class StreamWriter {
  readonly #response: ServerResponse;
  readonly #limits: StreamLimits;
  readonly #gone = new AbortController();

  /** `response`: its head is not sent yet. */
  constructor(response: ServerResponse, limits: StreamLimits = defaultStreamLimits) {
    this.#response = response;
    this.#limits = limits;
    response.once('close', () => this.#gone.abort());
    // A reset connection is an ordinary end here, told by `close`.
    response.on('error', () => this.#gone.abort());
    if (response.destroyed) this.#gone.abort();
  }

  /** Aborted when the client has gone. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /** Sends the head at once: clients wait for it before they show anything. */
  begin(headers: Readonly<Record<string, number | string | string[] | undefined>>): void {
    for (const [name, value] of Object.entries(headers)) if (value !== undefined) this.#response.setHeader(name, value);
    this.#response.writeHead(200);
    this.#response.flushHeaders();
    this.#response.socket?.setNoDelay(true);
  }

  /** Resolves when there is room again. */
  async write(chunk: string | Uint8Array): Promise<WriteOutcome> {
    if (this.signal.aborted) return 'gone';
    this.#response.write(chunk);
    return this.#response.writableLength <= this.#limits.highWaterBytes ? 'written' : await this.#drained();
  }

  /** Writes only where it does not have to wait: for heartbeats. */
  nudge(chunk: string): void {
    if (!this.signal.aborted && this.#response.writableLength === 0) this.#response.write(chunk);
  }

  /** Ends the answer, `lastWords` first. A client that does not take them in time is disconnected. */
  end(lastWords = ''): void {
    if (this.signal.aborted) return;
    const timer = setTimeout(() => this.#response.destroy(), lastWordsMs);
    timer.unref();
    this.#response.once('close', () => clearTimeout(timer));
    this.#response.end(lastWords);
  }

  /** Waits until half of the mark is free. Progress of any kind begins the time anew. */
  async #drained(): Promise<WriteOutcome> {
    const response = this.#response;
    let waiting = response.writableLength;
    for (;;) {
      const event = await new Promise<'drain' | 'gone' | 'time'>((resolve) => {
        const done = (what: 'drain' | 'gone' | 'time') => () => {
          clearTimeout(timer);
          response.off('drain', onDrain);
          this.signal.removeEventListener('abort', onGone);
          resolve(what);
        };
        const onDrain = done('drain');
        const onGone = done('gone');
        const timer = setTimeout(done('time'), this.#limits.stallMs);
        response.once('drain', onDrain);
        this.signal.addEventListener('abort', onGone, { once: true });
        if (this.signal.aborted) onGone();
      });
      if (event === 'gone') return 'gone';
      const left = response.writableLength;
      if (left <= this.#limits.highWaterBytes / 2) return 'written';
      if (event === 'time' && left >= waiting) return 'stalled';
      waiting = left;
    }
  }
}
