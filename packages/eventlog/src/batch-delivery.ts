// Between a source that pushes and a handler that takes its time: hands over batches, one at a time, coalescing what came in the same tick, and for who wants it what
// comes shortly after. It does not bound itself: the source asks `room` before it fetches more.
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '@pouch/process';

export interface BatchDeliveryOptions<T> {
  readonly handle: (batch: readonly T[]) => void | Promise<void>;
  readonly maxBatch: number;
  /** Items that may wait at most. */
  readonly maxWaiting: number;
  /** While much comes, a batch begins no sooner than `ms` after the end of the one before: asked before each. Default 0: at once. */
  readonly gathering?: { readonly clock: Clock; readonly ms: () => number };
  /** A batch has been handled, so there may be room again. */
  readonly onHandled: (batch: readonly T[]) => void;
  /** Everything has been handled for now. */
  readonly onEmpty: () => void;
  /** The handler threw; nothing is delivered any more. */
  readonly onError: (error: Error) => void;
}

/** So many items within the last moments are much: some 350 in a second. What one person does is less, and is never waited with. */
const much = 24;
/** What came this long ago counts half. */
const halfLifeMs = 50;

export class BatchDelivery<T> {
  readonly #options: BatchDeliveryOptions<T>;
  #waiting: T[] = [];
  /** Items of `#waiting` that have been handed over. */
  #taken = 0;
  #running: Promise<void> | null = null;
  #stopped = false;
  /** Items handed over lately, each the less the longer ago. */
  #lately = 0;
  #handledAtMs = 0;

  constructor(options: BatchDeliveryOptions<T>) {
    this.#options = options;
  }

  /** How many more may come. */
  get room(): number {
    return Math.max(0, this.#options.maxWaiting - (this.#waiting.length - this.#taken));
  }

  get empty(): boolean {
    return this.#waiting.length === this.#taken && this.#running === null;
  }

  push(item: T): void {
    if (this.#stopped) return;
    this.#waiting.push(item);
    this.#running ??= this.#run();
  }

  /** No batch is handed over after this; resolves when the one at work is done. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#waiting = [];
    this.#taken = 0;
    await this.#running;
  }

  async #run(): Promise<void> {
    // To the end of the tick, so that a burst that arrived in one chunk is one batch.
    await Promise.resolve();
    const { handle, maxBatch, onHandled, onEmpty, onError } = this.#options;
    try {
      while (!this.#stopped && this.#taken < this.#waiting.length) {
        const restMs = this.#restMs();
        if (restMs > 0) {
          await delay(restMs);
          continue;
        }
        const batch = this.#waiting.slice(this.#taken, this.#taken + maxBatch);
        this.#taken += batch.length;
        if (this.#taken === this.#waiting.length) {
          this.#waiting = [];
          this.#taken = 0;
        } else if (this.#taken > 4 * maxBatch) {
          this.#waiting = this.#waiting.slice(this.#taken);
          this.#taken = 0;
        }
        const handled = handle(batch);
        if (handled !== undefined) await handled;
        if (this.#stopped) break;
        this.#note(batch.length);
        onHandled(batch);
      }
    } catch (error) {
      this.#stopped = true;
      onError(error instanceof Error ? error : new Error(String(error)));
    } finally {
      this.#running = null;
    }
    if (!this.#stopped) onEmpty();
  }

  /** How long the next batch waits for more to come. */
  #restMs(): number {
    const { gathering, maxBatch } = this.#options;
    const gatherMs = gathering?.ms() ?? 0;
    if (gathering === undefined || gatherMs === 0 || this.#waiting.length - this.#taken >= maxBatch) return 0;
    const sinceMs = gathering.clock.monotonicMs() - this.#handledAtMs;
    // Rounded up: a timer that fires a fraction early would be set anew.
    return this.#lately * 2 ** (-sinceMs / halfLifeMs) < much ? 0 : Math.ceil(gatherMs - sinceMs);
  }

  #note(count: number): void {
    const nowMs = this.#options.gathering?.clock.monotonicMs() ?? 0;
    this.#lately = this.#lately * 2 ** (-(nowMs - this.#handledAtMs) / halfLifeMs) + count;
    this.#handledAtMs = nowMs;
  }
}
