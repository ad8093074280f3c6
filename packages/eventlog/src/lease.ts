// A lease: one holder at a time, for as long as it renews. Whoever wants it tries all the time; so a standby takes over by itself.
// It is a hint of leadership, no proof: a holder that was paused may not know yet. The expected sequences of the log fence it.
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { systemClock, type Clock, type Logger } from '@pouch/process';
import { NatsBucket, type Bucket } from './bucket.ts';
import type { NatsLink } from './connection.ts';

export interface LeaseOptions {
  /** A bucket whose entries live for `ttlMs`. */
  readonly bucket: Bucket;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** What is held, e.g. `scheduler`. */
  readonly name: string;
  /** Shown to those who ask who holds it. */
  readonly holder: string;
  /** Of the bucket. Default 2,000. */
  readonly ttlMs?: number;
  /** How often a standby tries, and a holder renews at least. Default 200. */
  readonly pollMs?: number;
  /** It is held from now on. `epoch` rises from holder to holder; `signal` aborts when it is lost or let go. Must not throw. */
  readonly onAcquired: (term: Term) => void;
  /** It is not held any more: stop at once. Called once per term. */
  readonly onLost: (reason: string) => void;
}

export interface Term {
  readonly epoch: number;
  readonly signal: AbortSignal;
}

export interface LeaseHolder {
  readonly holder: string;
  /** Unique for each process that tries. */
  readonly token: string;
}

/** Of the lifetime of an entry after which a holder that could not renew says itself that it has lost: before a standby can have it. */
const trustedShare = 0.75;
const renewShare = 0.25;

export class Lease {
  readonly #options: LeaseOptions;
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #pollMs: number;
  readonly #value: string;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  #term: { readonly epoch: number; readonly ended: AbortController; revision: number; renewedAtMs: number; watch: NodeJS.Timeout } | null = null;

  /** Tries from now on, until `stop`. */
  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#ttlMs = options.ttlMs ?? 2_000;
    this.#pollMs = options.pollMs ?? 200;
    this.#value = JSON.stringify({ holder: options.holder, token: randomUUID() } satisfies LeaseHolder);
    this.#running = this.#run();
  }

  /** Revision at which it was acquired; null: it is not held by us. */
  get epoch(): number | null {
    return this.#term?.epoch ?? null;
  }

  /** Who holds it, as far as is known. Rejects with LogUnavailable. */
  async current(): Promise<LeaseHolder | null> {
    const entry = await this.#options.bucket.get(this.#options.name);
    if (entry === null) return null;
    try {
      return JSON.parse(entry.value) as LeaseHolder;
    } catch {
      // Not ours, but it is held.
      return { holder: 'unknown', token: '' };
    }
  }

  /** Lets go, so that a standby has it at once, and ends. Safe to call twice. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    const term = this.#term;
    if (term === null) return;
    this.#end('let go');
    try {
      await this.#options.bucket.remove(this.#options.name, term.revision);
    } catch (error) {
      this.#options.logger.debug({ err: error, lease: this.#options.name }, 'the lease could not be let go and runs out by itself');
    }
  }

  async #run(): Promise<void> {
    const { logger, name } = this.#options;
    const { signal } = this.#stopping;
    let told = false;
    while (!signal.aborted) {
      const startedAtMs = this.#clock.monotonicMs();
      try {
        const term = this.#term;
        const revision = await this.#write(term?.revision ?? 0);
        told = false;
        // Stopped meanwhile: `stop` lets go of what was written.
        if (revision !== null) this.#written(revision, startedAtMs);
        else if (term !== null && this.#term === term) this.#end('it was taken by another holder');
      } catch (error) {
        if (!told) logger.warn({ err: error, lease: name }, 'the lease cannot be reached');
        told = true;
      }
      const pauseMs = this.#term === null ? this.#pollMs : Math.max(this.#pollMs, this.#ttlMs * renewShare);
      try {
        await delay(pauseMs, undefined, { signal });
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    }
  }

  /** Null: it is another's. */
  async #write(expected: number): Promise<number | null> {
    const { bucket, name } = this.#options;
    const revision = await bucket.put(name, this.#value, expected);
    if (revision !== null) return revision;
    // A write of ours whose answer was lost, or a term of ours that was given up too early.
    const present = await bucket.get(name);
    return present?.value === this.#value ? await bucket.put(name, this.#value, present.revision) : null;
  }

  #written(revision: number, startedAtMs: number): void {
    const term = this.#term;
    if (term !== null) {
      term.revision = revision;
      term.renewedAtMs = startedAtMs;
      return;
    }
    const { logger, name, onAcquired } = this.#options;
    const ended = new AbortController();
    const watch = setInterval(() => this.#look(), Math.max(10, this.#pollMs / 2));
    this.#term = { epoch: revision, ended, revision, renewedAtMs: startedAtMs, watch };
    logger.info({ lease: name, epoch: revision }, 'lease acquired');
    if (!this.#stopping.signal.aborted) onAcquired({ epoch: revision, signal: ended.signal });
  }

  /** A holder that hears nothing must give up before the entry has run out. */
  #look(): void {
    const term = this.#term;
    if (term !== null && this.#clock.monotonicMs() - term.renewedAtMs > this.#ttlMs * trustedShare) this.#end('it could not be renewed in time');
  }

  #end(reason: string): void {
    const term = this.#term;
    if (term === null) return;
    this.#term = null;
    clearInterval(term.watch);
    this.#options.logger.info({ lease: this.#options.name, epoch: term.epoch, reason }, 'lease lost');
    term.ended.abort();
    this.#options.onLost(reason);
  }
}

export interface OpenLeaseOptions extends Omit<LeaseOptions, 'bucket'> {
  readonly link: NatsLink;
  /** Default `leases`. */
  readonly bucket?: string;
  readonly replicas?: number;
}

/** A lease in a bucket of NATS (on disk: epochs must rise over restarts), which is made when first used; all leases of one bucket must have the same `ttlMs`. */
export function openLease({ link, bucket = 'leases', replicas, ttlMs = 2_000, ...options }: OpenLeaseOptions): Lease {
  const { logger } = options;
  const storage = new NatsBucket({ link, logger, bucket, ttlMs, timeoutMs: ttlMs / 2, ...(replicas === undefined ? {} : { replicas }) });
  return new Lease({ ...options, ttlMs, bucket: storage });
}
