// Trying again, bounded: exponential back-off with jitter for operations that may go through later.
import { setTimeout as delay } from 'node:timers/promises';

export interface RetryOptions {
  /** Tries in all, the first one included. */
  readonly attempts: number;
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
  readonly retryIf: (error: unknown) => boolean;
  readonly signal?: AbortSignal;
}

/** Calls `operation` until it succeeds, its error is not to be retried, or the attempts are used up; then throws the last error. */
export async function retry<T>(operation: (attempt: number) => Promise<T>, { attempts, firstDelayMs, maxDelayMs, retryIf, signal }: RetryOptions): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await operation(attempt);
    } catch (error) {
      if (attempt >= attempts || !retryIf(error) || signal?.aborted === true) throw error;
      const ceilingMs = Math.min(maxDelayMs, firstDelayMs * 2 ** (attempt - 1));
      await delay(ceilingMs * (0.5 + Math.random() / 2), undefined, signal === undefined ? {} : { signal });
    }
  }
}
