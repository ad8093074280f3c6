// The log over JetStream. It keeps no message and decides nothing; what it adds to JetStream is that every call ends in a bounded time with
// an answer that can be trusted, and that a stream which was lost is made anew under another identity.
import { setTimeout as delay } from 'node:timers/promises';
import { systemClock, type Clock, type Logger } from '@pouch/process';
import { connectNats, type NatsAddress, type NatsLink } from './connection.ts';
import { decodeEntry, decodeKnown, encodeMessage } from './decode.ts';
import { ConflictError, LogSetupError, LogUnavailable } from './errors.ts';
import type { Appended, EventLog, FollowOptions, Identified, LogEntry, LogIdentity, ReadOptions, Recorded, Subscription } from './event-log.ts';
import { Follower } from './follower.ts';
import { Heads } from './heads.ts';
import { headerOf, JetStreamError, milliseconds, newestMessage, payloadOf, purgeSubject, storedMessage, type StoredMessage } from './jetstream-api.ts';
import { backOffMs, patiently } from './patience.ts';
import { checkSize, publishOnce } from './publish.ts';
import { Reached } from './reached.ts';
import { readByFollowing } from './read.ts';
import { ensureStream, identityOf, type StreamSettings } from './stream-setup.ts';

export interface EventLogOptions<M extends Identified> extends Partial<NatsAddress> {
  /** A connection that is there already; it is not closed with the log. Else `servers` says where to connect. */
  readonly link?: NatsLink;
  /** Name of the connection. Default `log`. */
  readonly name?: string;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** Default `EVT`. */
  readonly streamName?: string;
  /** Default everything under `evt.`. */
  readonly subjects?: readonly string[];
  /** Default: as the link says. */
  readonly replicas?: number;
  /** Default `file`. */
  readonly storage?: 'file' | 'memory';
  /** Newest messages kept of each aggregate. Default 200. */
  readonly maxMessagesPerSubject?: number;
  /** Default two minutes; must be longer than the patience. */
  readonly duplicateWindowMs?: number;
  /** How long a call goes on trying while there is no connection or nobody leads the stream; after this it has an answer, or that of its last request. Default 2,000. */
  readonly patienceMs?: number;
  /** For every single request. Default 2,000. */
  readonly requestTimeoutMs?: number;
  /** How long the end of a log that several servers keep must be seen before one that was known, until that is believed. Default 30,000. */
  readonly rewindProofMs?: number;
  /** Checks the form of a decoded value, e.g. `toMessage` of the contracts; throws where it is none. Default: it must have an id. */
  readonly check?: (value: unknown) => M;
}

/** Of one try of an append; an answer takes a few milliseconds, with fsync on a busy disk some hundred. */
const ackShare = 0.6;

export class NatsEventLog<M extends Identified> implements EventLog<M> {
  readonly link: NatsLink;
  readonly #options: EventLogOptions<M>;
  readonly #settings: StreamSettings;
  readonly #clock: Clock;
  readonly #patienceMs: number;
  readonly #requestTimeoutMs: number;
  readonly #followers = new Set<Subscription>();
  /** Of the connection in which the stream was last made sure of. */
  #setUpEpoch = 0;
  #settingUp: Promise<LogIdentity> | null = null;
  readonly #reached: Reached;
  readonly #heads: Heads;
  #streamId: string | null = null;

  constructor(options: EventLogOptions<M>) {
    const { link, servers = 'nats://127.0.0.1:4222', credentials, credentialsFile, inboxPrefix, caFile, name = 'log', logger, clock = systemClock } = options;
    this.#options = options;
    this.#clock = clock;
    this.#reached = new Reached(clock, options.rewindProofMs);
    this.#heads = new Heads(clock);
    this.#patienceMs = options.patienceMs ?? 2_000;
    this.#requestTimeoutMs = options.requestTimeoutMs ?? 2_000;
    this.link = link ?? connectNats({ servers, name, logger, clock, ...(credentials === undefined ? {} : { credentials }), ...(credentialsFile === undefined ? {} : { credentialsFile }), ...(inboxPrefix === undefined ? {} : { inboxPrefix }), ...(caFile === undefined ? {} : { caFile }) });
    this.#settings = {
      name: options.streamName ?? 'EVT',
      subjects: options.subjects ?? ['evt.>'],
      replicas: options.replicas ?? this.link.replicas,
      storage: options.storage ?? 'file',
      maxMessagesPerSubject: options.maxMessagesPerSubject ?? 200,
      duplicateWindowMs: options.duplicateWindowMs ?? 120_000,
      maxAgeMs: 0,
    };
  }

  get available(): boolean {
    return this.link.connected;
  }

  onStateChange(listener: (available: boolean) => void): () => void {
    return this.link.onChange(listener);
  }

  async ready(timeoutMs: number): Promise<LogIdentity> {
    const deadlineMs = this.#clock.monotonicMs() + timeoutMs;
    for (let attempt = 0; ; attempt++) {
      const remainingMs = deadlineMs - this.#clock.monotonicMs();
      if (!(await this.link.whenConnected(remainingMs))) throw new LogUnavailable(`the log cannot be reached within ${timeoutMs} ms`);
      try {
        return await this.#setUp();
      } catch (error) {
        if (!(error instanceof LogUnavailable) || remainingMs <= 0) throw error;
        await delay(backOffMs(attempt));
      }
    }
  }

  async identity(atLeast = 0): Promise<LogIdentity> {
    this.#reached.note(atLeast);
    return await this.#patiently(async () => {
      if (!(await this.link.whenConnected(this.#requestTimeoutMs))) throw new LogUnavailable('NATS cannot be reached');
      return await this.#setUp();
    });
  }

  async append({ subject, message, expectedSeq }: { readonly subject: string; readonly message: M; readonly expectedSeq: number }): Promise<Appended> {
    const payload = encodeMessage(message);
    const deadlineMs = this.#clock.monotonicMs() + this.#patienceMs;
    let unknown = false;
    let failure: unknown;
    for (let attempt = 0; ; attempt++) {
      const remainingMs = deadlineMs - this.#clock.monotonicMs();
      if (remainingMs <= 0) break;
      try {
        await this.#usable(remainingMs);
        checkSize(subject, payload.length, (await this.link.connection()).info?.max_payload);
        if (unknown) {
          const seq = await this.#ours(subject, message.id, expectedSeq, deadlineMs);
          if (seq !== null) return { seq, duplicate: true };
        }
        const timeoutMs = Math.max(1, Math.min(this.#requestTimeoutMs, (deadlineMs - this.#clock.monotonicMs()) * ackShare));
        const appended = await publishOnce(this.link, { stream: this.#settings.name, subject, payload, expectedSeq, messageId: message.id, timeoutMs });
        this.#heads.reached(subject, appended.seq);
        return appended;
      } catch (error) {
        if (error instanceof ConflictError && error.headSeq !== null) this.#heads.ends(subject, error.headSeq);
        if (!(error instanceof LogUnavailable) && !(error instanceof ConflictError && unknown)) throw error;
        failure = error;
        if (error instanceof ConflictError) {
          // It may be with that very try which was not answered; where nobody can say now, that is asked again.
          const seq = await this.#ours(subject, message.id, expectedSeq, deadlineMs).catch((reason: unknown) => {
            if (!(reason instanceof LogUnavailable)) throw reason;
            return undefined;
          });
          if (typeof seq === 'number') return { seq, duplicate: true };
          // Without a sequence: a message of the subject is under way, and it may be this one. What becomes of it is waited for.
          if (seq === null && error.headSeq !== null) throw error;
        }
        unknown ||= error instanceof LogUnavailable && error.outcome === 'unknown';
        // The stream may be gone; it is looked for again.
        this.#setUpEpoch = 0;
      }
      const restMs = deadlineMs - this.#clock.monotonicMs();
      if (restMs > 0) await delay(Math.min(restMs, backOffMs(attempt)));
    }
    throw new LogUnavailable(unknown ? 'the log did not acknowledge in time: whether it took the message is not known' : 'the log cannot be reached now', { cause: failure, outcome: unknown ? 'unknown' : 'not-sent' });
  }

  async last(subject: string): Promise<Recorded<M> | null> {
    const stored = await this.#patiently(() => this.#stored({ last_by_subj: subject }, this.#requestTimeoutMs));
    return stored === null ? null : this.decode(entryOf(stored));
  }

  async entry(seq: number): Promise<LogEntry | null> {
    if (seq < 1) return null; // JetStream takes it for no question at all
    const stored = await this.#patiently(() => this.#stored({ seq }, this.#requestTimeoutMs));
    return stored === null ? null : entryOf(stored);
  }

  async messageIdAt(seq: number): Promise<string | null> {
    if (seq < 1) return null; // as above
    const stored = await this.#stored({ seq }, this.#requestTimeoutMs);
    return stored === null ? null : idOfStored(stored);
  }

  read(options: ReadOptions = {}): AsyncGenerator<readonly LogEntry[]> {
    return readByFollowing({ options: { filter: this.#settings.subjects[0] ?? '>', ...options }, identity: () => this.identity(), follow: (follow) => this.follow(follow) });
  }

  decode(entry: LogEntry): Recorded<M> {
    return decodeEntry(entry, this.#options.check);
  }

  follow(options: FollowOptions<M>): Subscription {
    const { filter, from, streamId, onMessages, onEntries, maxBatch = 1_000, gatherMs = 0, atLeast = 0 } = options;
    const { logger, check } = this.#options;
    this.#reached.note(atLeast);
    const follower: Subscription = new Follower({
      link: this.link,
      clock: this.#clock,
      logger,
      stream: this.#settings.name,
      filter,
      from,
      streamId,
      replicas: 1,
      maxBatch,
      gatherMs,
      requestTimeoutMs: this.#requestTimeoutMs,
      identity: () => this.#setUp(),
      messageIdAt: (seq, subject) => this.#idAt(seq, subject),
      idOf: (entry) => idInPayload(entry.payload),
      handle: (entries) => {
        this.#reached.note(entries.at(-1)?.seq ?? 0);
        if (onEntries !== undefined) return onEntries(entries);
        const messages = decodeKnown(entries, check, logger);
        return messages.length === 0 ? undefined : onMessages?.(messages);
      },
      onCaughtUp: () => options.onCaughtUp?.(),
      onInterrupted: (reason) => options.onInterrupted?.(reason),
      onFailed: (error) => {
        this.#followers.delete(follower);
        options.onFailed(error);
      },
    });
    this.#followers.add(follower);
    const followers = this.#followers;
    return {
      get lastSeq() { return follower.lastSeq; },
      get caughtUp() { return follower.caughtUp; },
      get log() { return follower.log; },
      async stop() {
        followers.delete(follower);
        await follower.stop();
      },
    };
  }

  async purge(subject: string, { keep = 0 }: { readonly keep?: number } = {}): Promise<{ readonly purged: number }> {
    await this.#usable(this.#requestTimeoutMs);
    return { purged: await purgeSubject(this.link, this.#settings.name, { filter: subject, ...(keep > 0 ? { keep } : {}) }, this.#requestTimeoutMs) };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#followers].map((follower) => follower.stop()));
    this.#followers.clear();
    if (this.#options.link === undefined) await this.link.close();
  }

  async #patiently<T>(work: () => Promise<T>): Promise<T> {
    return await patiently({ clock: this.#clock, patienceMs: this.#patienceMs }, work);
  }

  /** Connected, and the stream made sure of in this connection; rejects with LogUnavailable after `timeoutMs`. */
  async #usable(timeoutMs: number): Promise<void> {
    if (!(await this.link.whenConnected(timeoutMs))) throw new LogUnavailable('NATS cannot be reached');
    if (this.#setUpEpoch !== this.link.epoch) await this.#setUp();
  }

  /** Looks at the stream, and makes it where it is missing. Callers at the same time share one look. */
  async #setUp(): Promise<LogIdentity> {
    this.#settingUp ??= (async () => {
      if (!this.link.connected) throw new LogUnavailable('NATS cannot be reached');
      const epoch = this.link.epoch;
      const identity = this.#reached.checked(identityOf(await ensureStream(this.link, this.#settings, this.#requestTimeoutMs)));
      if (this.#streamId !== identity.streamId) this.#heads.clear();
      this.#streamId = identity.streamId;
      this.#setUpEpoch = epoch;
      return identity;
    })().finally(() => {
      this.#settingUp = null;
    });
    return await this.#settingUp;
  }

  async #stored(which: Parameters<typeof storedMessage>[2], timeoutMs: number): Promise<StoredMessage | null> {
    await this.#usable(timeoutMs);
    try {
      if (this.#settings.replicas === 'keep' && 'last_by_subj' in which) {
        const newest = await newestMessage(this.link, this.#settings.name, which.last_by_subj, timeoutMs);
        if (this.#reached.several) this.#heads.check(which.last_by_subj, newest?.seq ?? 0);
        return newest;
      }
      return await storedMessage(this.link, this.#settings.name, which, timeoutMs);
    } catch (error) {
      if (!(error instanceof JetStreamError)) throw error;
      this.#setUpEpoch = 0;
      throw new LogUnavailable(error.message, { cause: error });
    }
  }

  /** Who may not ask by sequence asks for the subject's newest: an older one than was seen means that the stream has lost its end, a newer one says nothing. */
  async #idAt(seq: number, subject: string): Promise<string | null> {
    if (this.#settings.replicas !== 'keep') return await this.messageIdAt(seq);
    const head = await this.#stored({ last_by_subj: subject }, this.#requestTimeoutMs);
    // Any replica answers, also one that is behind: of several an older one says nothing either.
    return head === null || head.seq > seq || (head.seq < seq && this.#reached.several) ? null : idOfStored(head);
  }

  /**
   * Where an earlier try of an append stands in the log; null where it does not. By its expectation it can only be the subject's first message after `expectedSeq`: others may have come
   * on top of it, and a server of a cluster then answers with a conflict instead of looking at its id. Who may not ask by sequence sees only whether it is the newest.
   */
  async #ours(subject: string, id: string, expectedSeq: number, deadlineMs: number): Promise<number | null> {
    const timeoutMs = Math.max(1, Math.min(this.#requestTimeoutMs, deadlineMs - this.#clock.monotonicMs()));
    const found = await this.#stored(this.#settings.replicas === 'keep' ? { last_by_subj: subject } : { seq: expectedSeq + 1, next_by_subj: subject }, timeoutMs);
    if (found === null || idOfStored(found) !== id) return null;
    this.#heads.reached(subject, found.seq);
    return found.seq;
  }
}

function entryOf(stored: StoredMessage): LogEntry {
  return { seq: stored.seq, subject: stored.subject, storedAtMs: milliseconds(stored.time), payload: payloadOf(stored) };
}

const idOfStored = (stored: StoredMessage): string | null => headerOf(stored, 'Nats-Msg-Id') ?? idInPayload(payloadOf(stored));

function idInPayload(payload: Uint8Array): string | null {
  try {
    return decodeEntry({ seq: 0, subject: '', storedAtMs: 0, payload }).message.id;
  } catch {
    // Not a message of ours: it has no id to compare.
    return null;
  }
}

/**
 * The log at `servers` (or over `link`), set up in the background: returns at once, whether NATS is there or not. Await `ready` to know.
 * LogSetupError comes from every call where the server or the stream cannot be used.
 */
export function openEventLog<M extends Identified>(options: EventLogOptions<M>): NatsEventLog<M> {
  if ((options.duplicateWindowMs ?? 120_000) <= 2 * (options.patienceMs ?? 2_000)) throw new LogSetupError('the duplicate window must be longer than twice the patience');
  return new NatsEventLog(options);
}
