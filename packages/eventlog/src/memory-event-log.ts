// The log in memory, for tests and for trying things out: the same rules as JetStream's, held against the same contract tests. Nothing survives it.
import { randomUUID } from 'node:crypto';
import { nullLogger, systemClock, type Clock, type Logger } from '@pouch/process';
import { BatchDelivery } from './batch-delivery.ts';
import { decodeEntry, decodeKnown, encodeMessage } from './decode.ts';
import { ConflictError, LogChangedError, LogUnavailable } from './errors.ts';
import type { Appended, EventLog, FollowOptions, Identified, LogEntry, LogIdentity, ReadOptions, Recorded, Subscription } from './event-log.ts';
import { checkSize } from './publish.ts';
import { readByFollowing } from './read.ts';
import { subjectMatches } from './subjects.ts';

export interface MemoryEventLogOptions<M extends Identified> {
  readonly clock?: Clock;
  readonly logger?: Logger;
  /** Default 200. */
  readonly maxMessagesPerSubject?: number;
  /** Default two minutes. */
  readonly duplicateWindowMs?: number;
  /** Default 1 MiB, as nats-server has it. */
  readonly maxPayloadBytes?: number;
  readonly check?: (value: unknown) => M;
}

interface Kept extends LogEntry {
  readonly id: string;
}

interface Tail {
  /** Feeds what has come to the subscription. */
  readonly feed: () => void;
  readonly interrupt: (reason: string) => void;
  readonly fail: (error: Error) => void;
}

const maxWaiting = 4_096;

export class MemoryEventLog<M extends Identified> implements EventLog<M> {
  readonly #options: MemoryEventLogOptions<M>;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #tails = new Set<Tail>();
  readonly #listeners = new Set<(available: boolean) => void>();
  /** Ascending by sequence. */
  #entries: Kept[] = [];
  readonly #bySubject = new Map<string, Kept[]>();
  readonly #ids = new Map<string, { readonly seq: number; readonly atMs: number }>();
  #lastSeq = 0;
  #streamId: string = randomUUID();
  #createdAtMs: number;
  #available = true;

  constructor(options: MemoryEventLogOptions<M> = {}) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger ?? nullLogger;
    this.#createdAtMs = this.#clock.now();
  }

  get available(): boolean {
    return this.#available;
  }

  /** For tests: takes the log away, or brings it back. */
  setAvailable(available: boolean): void {
    if (available === this.#available) return;
    this.#available = available;
    for (const listener of [...this.#listeners]) listener(available);
    for (const tail of [...this.#tails]) available ? tail.feed() : tail.interrupt('the log was taken away');
  }

  /** For tests: loses everything and begins anew under another identity, as after a loss of the data. */
  recreate(): void {
    this.#entries = [];
    this.#bySubject.clear();
    this.#ids.clear();
    this.#lastSeq = 0;
    this.#streamId = randomUUID();
    this.#createdAtMs = this.#clock.now();
    for (const tail of [...this.#tails]) tail.fail(new LogChangedError('recreated', 'the stream was made anew'));
  }

  onStateChange(listener: (available: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  ready(): Promise<LogIdentity> {
    return this.identity();
  }

  async identity(): Promise<LogIdentity> {
    this.#mustBeAvailable();
    return await Promise.resolve(this.#identity());
  }

  async append({ subject, message, expectedSeq }: { readonly subject: string; readonly message: M; readonly expectedSeq: number }): Promise<Appended> {
    const payload = encodeMessage(message);
    await Promise.resolve();
    this.#mustBeAvailable();
    checkSize(subject, payload.length, this.#options.maxPayloadBytes ?? 1_048_576);
    const nowMs = this.#clock.now();
    for (const [id, { atMs }] of this.#ids) {
      if (atMs > nowMs - (this.#options.duplicateWindowMs ?? 120_000)) break;
      this.#ids.delete(id);
    }
    const known = this.#ids.get(message.id);
    if (known !== undefined) return { seq: known.seq, duplicate: true };
    const present = this.#bySubject.get(subject) ?? [];
    const headSeq = present.at(-1)?.seq ?? 0;
    if (headSeq !== expectedSeq) throw new ConflictError({ subject, expectedSeq, headSeq });
    const entry: Kept = { seq: ++this.#lastSeq, subject, storedAtMs: nowMs, payload, id: message.id };
    this.#ids.set(message.id, { seq: entry.seq, atMs: nowMs });
    this.#entries.push(entry);
    this.#bySubject.set(subject, [...present, entry]);
    if (present.length + 1 > (this.#options.maxMessagesPerSubject ?? 200)) this.#removeOldest(subject, 1);
    for (const tail of [...this.#tails]) tail.feed();
    return { seq: entry.seq, duplicate: false };
  }

  async last(subject: string): Promise<Recorded<M> | null> {
    await Promise.resolve();
    this.#mustBeAvailable();
    const entry = this.#bySubject.get(subject)?.at(-1);
    return entry === undefined ? null : this.decode(entry);
  }

  async entry(seq: number): Promise<LogEntry | null> {
    await Promise.resolve();
    this.#mustBeAvailable();
    const entry = this.#entries[this.#indexOf(seq)];
    return entry?.seq === seq ? entry : null;
  }

  async messageIdAt(seq: number): Promise<string | null> {
    return ((await this.entry(seq)) as Kept | null)?.id ?? null;
  }

  read(options: ReadOptions = {}): AsyncGenerator<readonly LogEntry[]> {
    return readByFollowing({ options, identity: () => this.identity(), follow: (follow) => this.follow(follow) });
  }

  decode(entry: LogEntry): Recorded<M> {
    return decodeEntry(entry, this.#options.check);
  }

  follow(options: FollowOptions<M>): Subscription {
    const { filter, from, streamId, onMessages, onEntries, maxBatch = 1_000 } = options;
    let takenSeq = from === 'new' ? this.#lastSeq : from === 'last-per-subject' ? 0 : from.seq - 1;
    let handledSeq = takenSeq;
    let caughtUp = false;
    let log: LogIdentity | null = null;
    /** With `last-per-subject`: up to here only the heads of that moment. */
    const heads = from === 'last-per-subject' ? new Set([...this.#bySubject.values()].map((entries) => entries.at(-1)?.seq)) : null;
    const headsUntilSeq = this.#lastSeq;
    const delivery = new BatchDelivery<LogEntry>({
      handle: (entries) => {
        if (onEntries !== undefined) return onEntries(entries);
        const messages = decodeKnown(entries, this.#options.check, this.#logger);
        return messages.length === 0 ? undefined : onMessages?.(messages);
      },
      maxBatch,
      maxWaiting,
      onHandled: (batch) => {
        handledSeq = batch.at(-1)?.seq ?? handledSeq;
        tail.feed();
      },
      onEmpty: () => tail.feed(),
      onError: (error) => tail.fail(error),
    });
    const tail: Tail = {
      feed: () => {
        if (!this.#available || !this.#tails.has(tail)) return;
        for (let at = this.#indexOf(takenSeq + 1); at < this.#entries.length && delivery.room > 0; at++) {
          const entry = this.#entries[at] as Kept;
          takenSeq = entry.seq;
          if (!subjectMatches(filter, entry.subject) || (heads !== null && entry.seq <= headsUntilSeq && !heads.has(entry.seq))) continue;
          delivery.push(entry);
        }
        if (caughtUp || !delivery.empty || delivery.room === 0) return;
        caughtUp = true;
        options.onCaughtUp?.();
      },
      interrupt: (reason) => {
        caughtUp = false;
        options.onInterrupted?.(reason);
      },
      fail: (error) => {
        if (!this.#tails.delete(tail)) return;
        void delivery.stop();
        options.onFailed(error);
      },
    };
    this.#tails.add(tail);
    // Never in the caller's own turn, as with a server.
    setImmediate(() => {
      if (streamId !== undefined && streamId !== this.#streamId) tail.fail(new LogChangedError('recreated', 'the stream is another one'));
      else if (takenSeq > this.#lastSeq) tail.fail(new LogChangedError('rewound', `the stream ends at ${this.#lastSeq}`));
      else {
        log = this.#identity();
        tail.feed();
      }
    });
    return {
      get lastSeq() { return handledSeq; },
      get caughtUp() { return caughtUp; },
      get log() { return log; },
      stop: async () => {
        this.#tails.delete(tail);
        await delivery.stop();
      },
    };
  }

  async purge(subject: string, { keep = 0 }: { readonly keep?: number } = {}): Promise<{ readonly purged: number }> {
    await Promise.resolve();
    this.#mustBeAvailable();
    let purged = 0;
    for (const [present, entries] of [...this.#bySubject]) {
      const surplus = subjectMatches(subject, present) ? entries.length - keep : 0;
      if (surplus > 0) this.#removeOldest(present, surplus);
      purged += Math.max(0, surplus);
    }
    return { purged };
  }

  async close(): Promise<void> {
    this.#tails.clear();
    await Promise.resolve();
  }

  #identity(): LogIdentity {
    return { streamId: this.#streamId, createdAtMs: this.#createdAtMs, firstSeq: this.#entries[0]?.seq ?? this.#lastSeq + 1, lastSeq: this.#lastSeq, messages: this.#entries.length };
  }

  #removeOldest(subject: string, count: number): void {
    const present = this.#bySubject.get(subject) ?? [];
    const gone = new Set(present.slice(0, count));
    if (count >= present.length) this.#bySubject.delete(subject);
    else this.#bySubject.set(subject, present.slice(count));
    this.#entries = this.#entries.filter((entry) => !gone.has(entry));
  }

  /** Index of the first entry at or after a sequence. */
  #indexOf(seq: number): number {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#entries[middle]?.seq ?? 0) < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #mustBeAvailable(): void {
    if (!this.#available) throw new LogUnavailable('the log was taken away');
  }
}
