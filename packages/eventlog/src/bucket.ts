// A key-value bucket reduced to what claims and leases need: read, write and remove, each with the revision that is expected.
// The form of its stream is that of NATS KV (ADR-8), so `nats kv` reads it too. Keys here are any text; see `encodeKey`.
import { systemClock, type Clock, type Logger } from '@pouch/process';
import type { NatsLink } from './connection.ts';
import { ConflictError, LogUnavailable } from './errors.ts';
import { Follower } from './follower.ts';
import { headerOf, JetStreamError, payloadOf, purgeSubject, storedMessage } from './jetstream-api.ts';
import { decodeKey, encodeKey } from './keys.ts';
import { patiently } from './patience.ts';
import { publishOnce } from './publish.ts';
import { readByFollowing } from './read.ts';
import { ensureStream, identityOf, type StreamSettings } from './stream-setup.ts';
import type { LogIdentity } from './event-log.ts';

export interface BucketEntry {
  readonly key: string;
  /** Undecoded text. */
  readonly value: string;
  /** Rises with every write to the bucket; the optimistic lock on the key. */
  readonly revision: number;
}

export interface Bucket {
  /** Null: there is none. Rejects with LogUnavailable. */
  get(key: string): Promise<BucketEntry | null>;
  /** Writes if the key's revision is `expected` (0: it is not there) and answers with the new one; null: it is another. Rejects with LogUnavailable. */
  put(key: string, value: string, expected: number): Promise<number | null>;
  /** Removes if the key's revision is `expected`; false: it is another. Rejects with LogUnavailable. */
  remove(key: string, expected: number): Promise<boolean>;
  /** All of it, batch by batch. Rejects with LogUnavailable. */
  list(): AsyncGenerator<readonly BucketEntry[]>;
}

export interface BucketOptions {
  readonly link: NatsLink;
  readonly logger: Logger;
  readonly bucket: string;
  /** Entries older than this go; 0: none do. */
  readonly ttlMs: number;
  readonly replicas?: number;
  readonly storage?: 'file' | 'memory';
  /** For every request. Default 2,000. */
  readonly timeoutMs?: number;
  /** How long a call goes on trying while there is no connection or nobody leads the stream. Default 0: it is tried once. */
  readonly patienceMs?: number;
}

/** Removed entries leave a mark, which is purged after; one that is still there counts as nothing. */
interface Read extends BucketEntry {
  readonly removed: boolean;
}

export class NatsBucket implements Bucket {
  readonly #options: BucketOptions;
  readonly #settings: StreamSettings;
  readonly #prefix: string;
  readonly #timeoutMs: number;
  readonly #patience: { readonly clock: Clock; readonly patienceMs: number };
  #setUpEpoch = 0;

  constructor(options: BucketOptions) {
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? 2_000;
    this.#patience = { clock: systemClock, patienceMs: options.patienceMs ?? 0 };
    this.#prefix = `$KV.${options.bucket}.`;
    this.#settings = {
      name: `KV_${options.bucket}`,
      subjects: [`${this.#prefix}>`],
      replicas: options.replicas ?? options.link.replicas,
      storage: options.storage ?? 'file',
      maxMessagesPerSubject: 1,
      duplicateWindowMs: 120_000,
      maxAgeMs: options.ttlMs,
    };
  }

  async get(key: string): Promise<BucketEntry | null> {
    const read = await this.#read(key);
    return read === null || read.removed ? null : { key, value: read.value, revision: read.revision };
  }

  async put(key: string, value: string, expected: number): Promise<number | null> {
    const revision = await this.#write(key, value, expected);
    if (revision !== null || expected !== 0) return revision;
    // What stands in the way may be the mark of a removal.
    const read = await this.#read(key);
    if (read !== null && !read.removed) return null;
    return await this.#write(key, value, read?.revision ?? 0);
  }

  async remove(key: string, expected: number): Promise<boolean> {
    const revision = await this.#write(key, '', expected, 'DEL');
    if (revision === null) return false;
    // Else every key that ever was would leave its mark. A newer entry has a higher sequence and stays.
    void purgeSubject(this.#options.link, this.#settings.name, { filter: this.#subject(key), seq: revision + 1 }, this.#timeoutMs).catch((error: unknown) => {
      this.#options.logger.debug({ err: error, bucket: this.#options.bucket, key }, 'the mark of a removed key stays for now');
    });
    return true;
  }

  list(): AsyncGenerator<readonly BucketEntry[]> {
    return this.#list();
  }

  async *#list(): AsyncGenerator<readonly BucketEntry[]> {
    const { link, logger } = this.#options;
    const identity = async (): Promise<LogIdentity> => await this.#setUp();
    await this.#usable();
    const batches = readByFollowing({
      options: { filter: `${this.#prefix}>` },
      identity,
      follow: (options) => new Follower({
        link, logger, identity,
        clock: systemClock,
        stream: this.#settings.name,
        filter: options.filter,
        from: options.from,
        streamId: options.streamId,
        replicas: 1,
        maxBatch: options.maxBatch ?? 1_000,
        requestTimeoutMs: this.#timeoutMs,
        messageIdAt: () => Promise.resolve(null),
        idOf: () => null,
        handle: (entries) => options.onEntries?.(entries),
        onCaughtUp: () => options.onCaughtUp?.(),
        onInterrupted: () => undefined,
        onFailed: options.onFailed,
      }),
    });
    for await (const batch of batches) {
      // An empty value is the mark of a removal: values are JSON, never empty.
      const entries = batch.flatMap(({ subject, payload, seq }) => {
        const key = decodeKey(subject.slice(this.#prefix.length));
        return key === null || payload.length === 0 ? [] : [{ key, value: Buffer.from(payload).toString('utf8'), revision: seq }];
      });
      if (entries.length > 0) yield entries;
    }
  }

  #subject(key: string): string {
    return this.#prefix + encodeKey(key);
  }

  async #usable(): Promise<void> {
    const { link } = this.#options;
    if (!(await link.whenConnected(this.#timeoutMs))) throw new LogUnavailable('NATS cannot be reached');
    if (this.#setUpEpoch !== link.epoch) await this.#setUp();
  }

  async #setUp(): Promise<LogIdentity> {
    const { epoch } = this.#options.link;
    const identity = identityOf(await ensureStream(this.#options.link, this.#settings, this.#timeoutMs));
    this.#setUpEpoch = epoch;
    return identity;
  }

  async #read(key: string): Promise<Read | null> {
    return await patiently(this.#patience, () => this.#readOnce(key));
  }

  async #readOnce(key: string): Promise<Read | null> {
    await this.#usable();
    try {
      const stored = await storedMessage(this.#options.link, this.#settings.name, { last_by_subj: this.#subject(key) }, this.#timeoutMs);
      if (stored === null) return null;
      return { key, value: payloadOf(stored).toString('utf8'), revision: stored.seq, removed: headerOf(stored, 'KV-Operation') !== null };
    } catch (error) {
      this.#setUpEpoch = 0;
      throw error instanceof JetStreamError ? new LogUnavailable(error.message, { cause: error }) : error;
    }
  }

  /** Where an answer is lost, what stands there is looked at. Null: the key's revision is another, and not by this write. */
  async #write(key: string, value: string, expected: number, kvOperation?: 'DEL'): Promise<number | null> {
    const request = { stream: this.#settings.name, subject: this.#subject(key), payload: Buffer.from(value), expectedSeq: expected, timeoutMs: this.#timeoutMs, ...(kvOperation === undefined ? {} : { kvOperation }) };
    let unknown = false;
    /** Values name their holder, so equal ones are ours. */
    const done = async (): Promise<number | null> => {
      const read = await this.#readOnce(key);
      return read !== null && read.revision > expected && (kvOperation === undefined ? !read.removed && read.value === value : read.removed) ? read.revision : null;
    };
    return await patiently(this.#patience, async () => {
      await this.#usable();
      try {
        return (await publishOnce(this.#options.link, request)).seq;
      } catch (error) {
        if (error instanceof ConflictError) return unknown ? await done() : null;
        this.#setUpEpoch = 0;
        if (!(error instanceof LogUnavailable)) throw error;
        unknown ||= error.outcome === 'unknown';
        const revision = unknown ? await done().catch(() => null) : null;
        if (revision !== null) return revision;
        throw unknown && error.outcome !== 'unknown' ? new LogUnavailable(error.message, { cause: error, outcome: 'unknown' }) : error;
      }
    });
  }
}
