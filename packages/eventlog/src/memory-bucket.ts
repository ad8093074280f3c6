// A bucket in memory, with the same rules as the one over JetStream; for tests, several claims or leases may share one. Nothing survives it.
import { systemClock, type Clock } from '@pouch/process';
import type { Bucket, BucketEntry } from './bucket.ts';
import { LogUnavailable } from './errors.ts';
import { encodeKey } from './keys.ts';

export interface MemoryBucketOptions {
  readonly clock?: Clock;
  /** Default 0: entries stay. */
  readonly ttlMs?: number;
}

export class MemoryBucket implements Bucket {
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #entries = new Map<string, BucketEntry & { readonly atMs: number }>();
  #revision = 0;
  /** For tests: false makes every call reject with LogUnavailable. */
  available = true;

  constructor({ clock = systemClock, ttlMs = 0 }: MemoryBucketOptions = {}) {
    this.#clock = clock;
    this.#ttlMs = ttlMs;
  }

  async get(key: string): Promise<BucketEntry | null> {
    await this.#turn();
    return this.#present(key);
  }

  async put(key: string, value: string, expected: number): Promise<number | null> {
    await this.#turn();
    if ((this.#present(key)?.revision ?? 0) !== expected) return null;
    const revision = ++this.#revision;
    this.#entries.set(key, { key, value, revision, atMs: this.#clock.now() });
    return revision;
  }

  async remove(key: string, expected: number): Promise<boolean> {
    await this.#turn();
    if ((this.#present(key)?.revision ?? 0) !== expected) return false;
    this.#revision += 1;
    this.#entries.delete(key);
    return true;
  }

  async *list(): AsyncGenerator<readonly BucketEntry[]> {
    await this.#turn();
    const entries = [...this.#entries.keys()].flatMap((key) => this.#present(key) ?? []).sort((a, b) => a.revision - b.revision);
    for (let at = 0; at < entries.length; at += 1_000) yield entries.slice(at, at + 1_000);
  }

  async #turn(): Promise<void> {
    await Promise.resolve();
    if (!this.available) throw new LogUnavailable('the bucket was taken away');
  }

  #present(key: string): BucketEntry | null {
    encodeKey(key);
    const entry = this.#entries.get(key);
    if (entry === undefined) return null;
    if (this.#ttlMs === 0 || this.#clock.now() < entry.atMs + this.#ttlMs) return { key, value: entry.value, revision: entry.revision };
    this.#entries.delete(key);
    return null;
  }
}
