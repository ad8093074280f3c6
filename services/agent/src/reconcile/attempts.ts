// What was tried for which request, and when: in memory for planning, in SQLite so that nothing is tried twice after a crash.
import type { Store } from '../store/store.ts';

const none: ReadonlyMap<string, number> = new Map();

export class Attempts {
  readonly #store: Store;
  readonly #attempts = new Map<string, Map<string, number>>();

  constructor(store: Store) {
    this.#store = store;
    for (const { containerId, commandId, atMs } of store.attempts()) this.#of(containerId).set(commandId, atMs);
  }

  get(containerId: string): ReadonlyMap<string, number> {
    return this.#attempts.get(containerId) ?? none;
  }

  /** Notes an attempt. False: it had been noted before. */
  note(containerId: string, attemptId: string, atMs: number): boolean {
    const attempts = this.#of(containerId);
    if (attempts.has(attemptId)) return false;
    this.#store.attempt(containerId, attemptId, atMs);
    attempts.set(attemptId, atMs);
    return true;
  }

  /** No request is open any more. */
  drop(containerId: string): void {
    if (this.#attempts.delete(containerId)) this.#store.dropAttempts(containerId);
  }

  #of(containerId: string): Map<string, number> {
    const present = this.#attempts.get(containerId);
    if (present !== undefined) return present;
    const made = new Map<string, number>();
    this.#attempts.set(containerId, made);
    return made;
  }
}
