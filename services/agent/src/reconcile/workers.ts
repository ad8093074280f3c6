// Runs work for one container at a time and for a bounded number of containers at once. It does not know what the work is.
type Logger = Record<'error', (fields: object, message: string) => void>;

export interface WorkersOptions {
  /** Containers worked on at once. */
  readonly limit: number;
  /** Must handle what it expects to fail; a rejection is logged and the container is left until it is woken again. */
  readonly work: (key: string) => Promise<void>;
  readonly logger: Logger;
}

export class Workers {
  readonly #options: WorkersOptions;
  /** Woken and waiting for a place, in order. A key stands here once, so it is bounded by the number of containers. */
  readonly #waiting = new Set<string>();
  readonly #running = new Set<string>();
  #stopped = false;
  #idle: (() => void)[] = [];

  constructor(options: WorkersOptions) {
    this.#options = options;
  }

  /** Something has changed for `key`. While it is worked on, it will be worked on once more. */
  wake(key: string): void {
    if (this.#stopped) return;
    this.#waiting.add(key);
    this.#next();
  }

  /** No further work begins; resolves once what runs has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#waiting.clear();
    await this.idle();
  }

  /** Resolves when nothing waits and nothing runs. */
  async idle(): Promise<void> {
    if (this.#running.size === 0 && this.#waiting.size === 0) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #next(): void {
    for (const key of this.#waiting) {
      if (this.#running.size >= this.#options.limit) return;
      if (this.#running.has(key)) continue;
      this.#waiting.delete(key);
      this.#running.add(key);
      void this.#run(key);
    }
  }

  async #run(key: string): Promise<void> {
    try {
      await this.#options.work(key);
    } catch (error) {
      this.#options.logger.error({ containerId: key, err: error }, 'work on a container failed');
    }
    this.#running.delete(key);
    this.#next();
    if (this.#running.size > 0 || this.#waiting.size > 0) return;
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }
}
