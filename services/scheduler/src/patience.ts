// What no host can take now and is to be tried again later, with the reason: tried once in a while instead of at every message, and shown to
// those who ask. Decides nothing.
import type { Clock } from '@pouch/process';

const retryAfterMs = 1_000;
/** Told to those who ask; more are only counted by being tried. */
const maxTold = 64;

export interface PutOff {
  readonly containerId: string;
  readonly name: string;
  readonly reason: string;
}

export class Patience {
  readonly #clock: Clock;
  readonly #putOff = new Map<string, PutOff & { readonly dueMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  isDue(containerId: string): boolean {
    const entry = this.#putOff.get(containerId);
    return entry === undefined || entry.dueMs <= this.#clock.monotonicMs();
  }

  putOff(containerId: string, name: string, reason: string): void {
    this.#putOff.set(containerId, { containerId, name, reason, dueMs: this.#clock.monotonicMs() + retryAfterMs });
  }

  has(containerId: string): boolean {
    return this.#putOff.has(containerId);
  }

  forget(containerId: string): void {
    this.#putOff.delete(containerId);
  }

  /** Keeps only what is asked for still, so that it never grows beyond it. */
  keepOnly(isWanted: (containerId: string) => boolean): void {
    for (const id of this.#putOff.keys()) if (!isWanted(id)) this.#putOff.delete(id);
  }

  told(): readonly PutOff[] {
    return [...this.#putOff.values()].slice(0, maxTold).map(({ containerId, name, reason }) => ({ containerId, name, reason }));
  }
}
