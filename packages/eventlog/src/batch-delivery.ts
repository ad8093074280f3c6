// Between a source that pushes and a handler that takes its time: hands over batches, one at a time, coalescing what came in the same tick.
// It does not bound itself: the source asks `room` before it fetches more.

export interface BatchDeliveryOptions<T> {
  readonly handle: (batch: readonly T[]) => void | Promise<void>;
  readonly maxBatch: number;
  /** Items that may wait at most. */
  readonly maxWaiting: number;
  /** A batch has been handled, so there may be room again. */
  readonly onHandled: (batch: readonly T[]) => void;
  /** Everything has been handled for now. */
  readonly onEmpty: () => void;
  /** The handler threw; nothing is delivered any more. */
  readonly onError: (error: Error) => void;
}

export class BatchDelivery<T> {
  readonly #options: BatchDeliveryOptions<T>;
  #waiting: T[] = [];
  /** Items of `#waiting` that have been handed over. */
  #taken = 0;
  #running: Promise<void> | null = null;
  #stopped = false;

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
}
