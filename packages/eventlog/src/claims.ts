// Names held by somebody: one holder at a time over the whole cluster. A claim is let go or taken over only by the revision that was read,
// so nobody removes what is another's by now.
import type { Logger } from '@pouch/process';
import { NatsBucket, type Bucket } from './bucket.ts';
import type { NatsLink } from './connection.ts';
import { MemoryBucket, type MemoryBucketOptions } from './memory-bucket.ts';

export interface Claim<V> {
  readonly key: string;
  /** Null: it cannot be read, so it is nobody's that we know. */
  readonly value: V | null;
  readonly revision: number;
}

export type Claimed<V> = { readonly ok: true; readonly revision: number } | { readonly ok: false; readonly taken: Claim<V> };

/** `V`: any JSON that names the holder; two holders must never have equal values. All methods reject with LogUnavailable. */
export interface Claims<V> {
  /** Takes a free name. Claiming again with an equal value is the same claim. */
  claim(key: string, value: V): Promise<Claimed<V>>;
  /** Takes a name from the claim with that revision. */
  takeOver(key: string, value: V, revision: number): Promise<Claimed<V>>;
  /** Lets go of the claim with that revision; false: it is another one, or none, by now. */
  release(key: string, revision: number): Promise<boolean>;
  get(key: string): Promise<Claim<V> | null>;
  /** Every claim, batch by batch. */
  list(): AsyncGenerator<readonly Claim<V>[]>;
}

/** How often a name that is let go at the very moment is tried for again. */
const maxTries = 5;

export class BucketClaims<V> implements Claims<V> {
  readonly #bucket: Bucket;

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  async claim(key: string, value: V): Promise<Claimed<V>> {
    return await this.#take(key, value, 0);
  }

  async takeOver(key: string, value: V, revision: number): Promise<Claimed<V>> {
    return await this.#take(key, value, revision);
  }

  async release(key: string, revision: number): Promise<boolean> {
    return await this.#bucket.remove(key, revision);
  }

  async get(key: string): Promise<Claim<V> | null> {
    const entry = await this.#bucket.get(key);
    return entry === null ? null : { key, value: parsed<V>(entry.value), revision: entry.revision };
  }

  async *list(): AsyncGenerator<readonly Claim<V>[]> {
    for await (const entries of this.#bucket.list()) yield entries.map(({ key, value, revision }) => ({ key, value: parsed<V>(value), revision }));
  }

  async #take(key: string, value: V, expected: number): Promise<Claimed<V>> {
    const text = JSON.stringify(value);
    let revision = expected;
    for (let attempt = 0; ; attempt++) {
      const written = await this.#bucket.put(key, text, revision);
      if (written !== null) return { ok: true, revision: written };
      const present = await this.#bucket.get(key);
      if (present !== null) {
        if (present.value === text) return { ok: true, revision: present.revision };
        return { ok: false, taken: { key, value: parsed<V>(present.value), revision: present.revision } };
      }
      // It was let go in between: it is free.
      if (attempt === maxTries) return { ok: false, taken: { key, value: null, revision: 0 } };
      revision = 0;
    }
  }
}

function parsed<V>(text: string): V | null {
  try {
    return JSON.parse(text) as V;
  } catch {
    // Somebody else wrote it: a claim all the same, without a holder that we know.
    return null;
  }
}

export interface ClaimsOptions {
  readonly link: NatsLink;
  readonly logger: Logger;
  /** Default `names`. */
  readonly bucket?: string;
  readonly replicas?: number;
  readonly storage?: 'file' | 'memory';
  /** For every request. Default 2,000. */
  readonly timeoutMs?: number;
  /** As of a bucket. */
  readonly patienceMs?: number;
}

/** Claims in a bucket of NATS, made when first used. */
export function openClaims<V>(options: ClaimsOptions): Claims<V> {
  return new BucketClaims<V>(new NatsBucket({ bucket: 'names', ttlMs: 0, ...options }));
}

/** Claims in memory. */
export class MemoryClaims<V> extends BucketClaims<V> {
  constructor(options: MemoryBucketOptions = {}) {
    super(new MemoryBucket(options));
  }
}
