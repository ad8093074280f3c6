// Trying again while nobody leads the log: how long, and with what pauses. Only for what may be done twice, or what its owner makes safe to repeat.
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '@pouch/process';
import { LogUnavailable } from './errors.ts';

const retryFirstMs = 20;
const retryMaxMs = 250;

/** Pause after the `attempt`th failure, counted from 0. */
export function backOffMs(attempt: number): number {
  return Math.min(retryMaxMs, retryFirstMs * 2 ** Math.min(attempt, 10)) * (0.5 + Math.random() / 2);
}

/** Repeats `work` while it rejects with LogUnavailable, for `patienceMs` at most; then rejects with the last of them. Anything else ends it at once. */
export async function patiently<T>({ clock, patienceMs }: { readonly clock: Clock; readonly patienceMs: number }, work: () => Promise<T>): Promise<T> {
  const deadlineMs = clock.monotonicMs() + patienceMs;
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const pauseMs = backOffMs(attempt);
      if (!(error instanceof LogUnavailable) || clock.monotonicMs() + pauseMs > deadlineMs) throw error;
      await delay(pauseMs);
    }
  }
}
