// Those who wait for the projection to show something: a sequence, or a container in some state. Bounded in number; each has an end of its own
// (outcome, time, or its client gone). Reads nothing itself.
import { OperatingError } from '@pouch/process';

export interface WaitOptions {
  /** Null: as long as it takes, which only the signal ends. */
  readonly timeoutMs: number | null;
  /** Ends the wait, e.g. when the client has gone; the promise is rejected with its reason. */
  readonly signal?: AbortSignal;
}

/** For waits that look at a container: what need not be looked at, for looking is reading. */
export interface ContainerWaitOptions<T> extends WaitOptions {
  /** Before the projection shows this sequence there is nothing to see. */
  readonly afterSeq?: number;
  /** What it means that a container or a placement has come to this status. Default: it is worth a look. */
  readonly onStatus?: (status: string) => StatusMeans<T>;
}

/** `sleep`: nothing yet; `look`: what it is has to be read; else the outcome itself. */
export type StatusMeans<T> = 'sleep' | 'look' | { readonly outcome: T };

/** Waiters at once in one process; each costs about 1 KB. */
export const maxWaiters = 20_000;

export class TooManyWaitersError extends OperatingError {
  constructor() {
    super('too-many-waiters', `${maxWaiters} requests wait already`, { retryable: true });
  }
}

/** The projection has not come as far as was asked in time: the log cannot be followed, or it is being built again. */
export class ProjectionBehindError extends OperatingError {
  constructor(message: string) {
    super('projection-behind', message, { retryable: true });
  }
}

/** What was waited for did not come about in time. */
export class WaitTimeoutError extends OperatingError {
  constructor(message: string) {
    super('timeout', message, { retryable: true });
  }
}

interface Waiter {
  readonly key: string;
  /** Looks again; true when it has ended. `status`: what it was woken by. */
  readonly look: (status: string | null) => boolean;
  readonly fail: (error: Error) => void;
}

/** Waiters by key; a key is what a change speaks of, so that a change wakes only those whom it may concern. */
export class Waiters {
  readonly #byKey = new Map<string, Set<Waiter>>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /**
   * Calls `look` now and at each wake of `key` until it answers other than undefined. Rejects with what `look` throws, with
   * `timedOut()` after the time, with the signal's reason, or with TooManyWaitersError.
   */
  wait<T>(key: string, look: () => T | undefined, { timeoutMs, signal, onStatus }: WaitOptions & Pick<ContainerWaitOptions<T>, 'onStatus'>, timedOut: () => Error): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (signal?.aborted === true) return reject(signal.reason as Error);
      const settle = (status: string | null): boolean => {
        try {
          const means = status === null ? 'look' : (onStatus?.(status) ?? 'look');
          const outcome = means === 'sleep' ? undefined : means === 'look' ? look() : means.outcome;
          if (outcome === undefined) return false;
          end();
          resolve(outcome);
        } catch (error) {
          end();
          reject(error instanceof Error ? error : new Error(String(error)));
        }
        return true;
      };
      let timer: NodeJS.Timeout | undefined;
      const fail = (error: Error) => {
        end();
        reject(error);
      };
      const waiter: Waiter = { key, look: settle, fail };
      const onAbort = () => fail(signal?.reason as Error);
      const end = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#remove(waiter);
      };
      if (settle(null)) return;
      if (this.#count >= maxWaiters) return reject(new TooManyWaitersError());
      this.#add(waiter);
      signal?.addEventListener('abort', onAbort, { once: true });
      if (timeoutMs !== null) {
        timer = setTimeout(() => fail(timedOut()), Math.min(timeoutMs, 2 ** 31 - 1));
      }
    });
  }

  /** `status`: what the key's container came to, where that is known. */
  wake(key: string, status: string | null = null): void {
    for (const waiter of [...(this.#byKey.get(key) ?? [])]) waiter.look(status);
  }

  wakeAll(): void {
    for (const key of [...this.#byKey.keys()]) this.wake(key);
  }

  /** Ends all waits, e.g. because the process closes. */
  failAll(error: Error): void {
    for (const set of [...this.#byKey.values()]) for (const waiter of [...set]) waiter.fail(error);
  }

  #add(waiter: Waiter): void {
    const set = this.#byKey.get(waiter.key) ?? new Set();
    this.#byKey.set(waiter.key, set.add(waiter));
    this.#count += 1;
  }

  #remove(waiter: Waiter): void {
    const set = this.#byKey.get(waiter.key);
    if (set?.delete(waiter) !== true) return;
    this.#count -= 1;
    if (set.size === 0) this.#byKey.delete(waiter.key);
  }
}
