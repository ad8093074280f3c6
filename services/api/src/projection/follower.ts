// Keeps one projection file in step with the log: compares before it begins, applies batch by batch, prunes in between, and begins again when the
// log was away. Runs in the projector's thread; says what it does through `post` and ends when the file is of no use or it is told to.
import { setTimeout as delay } from 'node:timers/promises';
import { everySubject, type Message } from '@pouch/contracts';
import type { EventLog } from '@pouch/eventlog';
import { messageOf, OperatingError, type Clock } from '@pouch/process';
import { checkAgainstLog, distill, isDamage, maxCompared, ProjectionFileError, Projector, prune, type LogEntry, type Retention } from '@pouch/projections';
import { maxToldSubjects, type FromProjector } from './protocol.ts';

/** What the projection needs of the log. */
export type FollowedLog = Pick<EventLog<Message>, 'identity' | 'messageIdAt' | 'follow'>;

export interface FollowerOptions {
  readonly file: string;
  /** Nobody relies on the file before it has caught up. */
  readonly aside?: boolean;
  readonly retention: Retention;
  readonly log: FollowedLog;
  readonly clock: Clock;
  readonly post: (message: FromProjector) => void;
  /** Between two looks at the log's end and identity. */
  readonly checkIntervalMs?: number;
  readonly pruneIntervalMs?: number;
}

const firstRetryMs = 100;
const maxRetryMs = 1_000;
/** A look at the log that had no answer is repeated after this: until one has, nobody can say that the projection is as new as the log. */
const lookAgainMs = 500;
/** Entries of one transaction while catching up; about 2 MB. */
const catchUpBatch = 1_000;
/** A transaction costs about as much as ten messages in it: while very many come, as many as come in this time share one. */
const gatherMs = 10;
/** Malformed messages of one batch that are told one by one. */
const maxToldMalformed = 10;

/** The file does not belong to the log, or is damaged. */
class UnusableError extends Error {}

/** Runs until the signal, or until the file is found unusable, which it says. Rejects with errors that a new thread may get over (disk full). */
export async function runFollower(options: FollowerOptions, signal: AbortSignal): Promise<void> {
  const { post } = options;
  let projector: Projector | null = null;
  try {
    projector = Projector.open(options.file);
    if (options.aside === true) projector.hurry();
    await new Follower(projector, options).run(signal);
  } catch (error) {
    if (!isUnusable(error)) throw error;
    post({ type: 'unusable', reason: messageOf(error) });
  } finally {
    projector?.close();
  }
}

class Follower {
  readonly #projector: Projector;
  readonly #options: FollowerOptions;
  #logSeq = 0;
  #following = false;
  /** While catching up: entries that wait to be a batch worth a transaction. */
  #gathered: LogEntry[] = [];

  constructor(projector: Projector, options: FollowerOptions) {
    this.#projector = projector;
    this.#options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    let retryMs = firstRetryMs;
    while (!signal.aborted) {
      const before = this.#projector.checkpoint?.seq ?? 0;
      try {
        await this.#session(signal);
      } catch (error) {
        // Only the log's own troubles are waited out here; everything else is for a new thread or a new file.
        if (!(error instanceof OperatingError) || error instanceof ProjectionFileError) throw error;
        this.#options.post({ type: 'log-unavailable', error: messageOf(error) });
      }
      if (signal.aborted) return;
      retryMs = (this.#projector.checkpoint?.seq ?? 0) > before ? firstRetryMs : Math.min(maxRetryMs, retryMs * 2);
      await pause(retryMs, signal);
    }
  }

  /** From one comparison with the log to its going away. */
  async #session(signal: AbortSignal): Promise<void> {
    this.#following = false;
    this.#gathered = [];
    const streamId = await this.#compare();
    this.#tellState();
    const ended = new AbortController();
    const all = AbortSignal.any([signal, ended.signal]);
    const stop = () => ended.abort();
    const followed = this.#follow(streamId, all).finally(stop);
    // Whichever ends first ends the other, and the file is closed only after both.
    const outcomes = await Promise.allSettled([this.#watch(all).finally(stop), followed]);
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason as Error;
  }

  /** Resolves after the signal; rejects with LogChangedError, LogSetupError, or what applying threw. */
  async #follow(streamId: string, signal: AbortSignal): Promise<void> {
    const { log, post } = this.#options;
    const failed = Promise.withResolvers<void>();
    const subscription = log.follow({
      filter: everySubject,
      from: { seq: (this.#projector.checkpoint?.seq ?? 0) + 1 },
      streamId,
      gatherMs,
      onEntries: (entries) => this.#take(entries),
      onCaughtUp: () => {
        this.#flush();
        this.#tellState();
      },
      onInterrupted: (reason) => {
        this.#flush();
        post({ type: 'log-unavailable', error: reason });
      },
      onFailed: failed.reject,
    });
    const onAbort = () => failed.resolve();
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      await failed.promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
      await subscription.stop();
    }
  }

  /** Binds a new file to the stream; throws UnusableError where a file does not fit. Answers the stream's identity. */
  async #compare(): Promise<string> {
    const { log } = this.#options;
    const { checkpoint } = this.#projector;
    const recent = this.#projector.recent(maxCompared);
    const { streamId, lastSeq } = await log.identity(checkpoint?.seq ?? 0);
    this.#logSeq = lastSeq;
    if (checkpoint === null) {
      this.#projector.begin(streamId);
      return streamId;
    }
    const check = await checkAgainstLog(checkpoint, recent, { identity: streamId, lastSeq, messageIdAt: (seq) => log.messageIdAt(seq) });
    if (!check.same) throw new UnusableError(check.reason);
    return streamId;
  }

  /** Looks at the log while it is followed: its end, whether it is still the same, and what may be pruned. */
  async #watch(signal: AbortSignal): Promise<void> {
    const { checkIntervalMs = 5_000, pruneIntervalMs = 60_000, clock } = this.#options;
    let prunedAt = clock.monotonicMs();
    for (let pauseMs = checkIntervalMs; ; ) {
      await pause(pauseMs, signal);
      if (signal.aborted) return;
      pauseMs = checkIntervalMs;
      try {
        await this.#compare();
        this.#tellState();
      } catch (error) {
        if (!(error instanceof OperatingError)) throw error;
        // The follower itself may still get through, or come to the same end: here it is only said.
        this.#options.post({ type: 'log-unavailable', error: messageOf(error) });
        pauseMs = Math.min(checkIntervalMs, lookAgainMs);
        continue;
      }
      if (clock.monotonicMs() - prunedAt < pruneIntervalMs) continue;
      await this.#prune(signal);
      prunedAt = clock.monotonicMs();
    }
  }

  /** Live, every batch is shown at once; while catching up, one transaction for many is several times as fast. */
  #take(entries: readonly LogEntry[]): void {
    if (this.#following) return this.#apply(entries);
    this.#gathered.push(...entries);
    if (this.#gathered.length >= catchUpBatch || (entries.at(-1)?.seq ?? 0) >= this.#logSeq) this.#flush();
  }

  #flush(): void {
    const entries = this.#gathered;
    if (entries.length === 0) return;
    this.#gathered = [];
    this.#apply(entries);
  }

  #apply(entries: readonly LogEntry[]): void {
    const { post } = this.#options;
    const { seq, subjects, statuses, messages, malformed } = this.#projector.apply(entries.map(distill));
    if (messages === 0) return;
    post({ type: 'committed', seq, messages, ...(!this.#following && subjects.length > maxToldSubjects ? { subjects: null, statuses: [] } : { subjects, statuses }) });
    for (const told of malformed.slice(0, maxToldMalformed)) post({ type: 'malformed', ...told });
    if (malformed.length > 0) this.#count();
    if (!this.#following) this.#tellState();
  }

  #tellState(): void {
    const seq = this.#projector.checkpoint?.seq ?? 0;
    const logSeq = Math.max(this.#logSeq, seq);
    const following = seq >= this.#logSeq;
    if (following && !this.#following) {
      this.#projector.settle();
      this.#count();
    }
    this.#following = following;
    this.#options.post({ type: following ? 'following' : 'catching-up', logSeq });
  }

  #count(): void {
    const { malformed = 0, unknown = 0 } = this.#projector.checkpoint ?? {};
    this.#options.post({ type: 'counted', malformed, unknown });
  }

  async #prune(signal: AbortSignal): Promise<void> {
    const { retention, clock, post } = this.#options;
    let deleted = 0;
    for (let more = true; more && !signal.aborted; ) {
      const step = prune(this.#projector, retention, clock.now());
      deleted += step.deleted;
      more = step.more;
      // Batches that came meanwhile go first.
      await pause(2, signal);
    }
    if (deleted > 0) post({ type: 'pruned', deleted });
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch (error) {
    // Told to end: whoever paused looks at the signal.
    if (!signal.aborted) throw error;
  }
}

function isUnusable(error: unknown): boolean {
  return error instanceof UnusableError || error instanceof ProjectionFileError || isDamage(error);
}
