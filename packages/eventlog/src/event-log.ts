// The log as everyone sees it: append with an expectation, read, follow. Both the JetStream one and the one in memory implement it.
// Types only; it knows no event and no aggregate.

/** What is asked of a message: an id that is the same whenever the same decision is tried again. The rest is the caller's. */
export interface Identified {
  readonly id: string;
}

/** A message as it stands in the log, undecoded. */
export interface LogEntry {
  /** Stream sequence, from 1, ascending; gaps are ordinary. */
  readonly seq: number;
  readonly subject: string;
  /** The server's clock at the append, ms since 1970. */
  readonly storedAtMs: number;
  /** UTF-8 JSON as it was published. Not to be kept for long: it holds the chunk that it came in. */
  readonly payload: Uint8Array;
}

/** A message with its place in the log. */
export interface Recorded<M extends Identified> {
  readonly seq: number;
  readonly subject: string;
  readonly storedAtMs: number;
  readonly message: M;
}

export interface LogIdentity {
  /** Random, made with the stream; survives restarts, differs after a loss of the data. */
  readonly streamId: string;
  readonly createdAtMs: number;
  /** Sequence of the oldest message that is there. */
  readonly firstSeq: number;
  /** Sequence of the newest message that ever was; 0 for none. */
  readonly lastSeq: number;
  readonly messages: number;
  /** Server that leads the stream, where several keep it; null: none does now, and who told this may be behind. */
  readonly leader?: string | null;
  /** The servers that have all that the leader has, by its own word; where several keep the log. */
  readonly current?: readonly string[];
  /** When it was put back from a backup, ms since 1970; absent: it never was. */
  readonly restoredAtMs?: number;
}

export interface Appended {
  readonly seq: number;
  /** It was there already: an earlier try went through. */
  readonly duplicate: boolean;
}

/** Where to begin: at a sequence (inclusive), with the newest message of each subject, or with what comes from now on. */
export type From = { readonly seq: number } | 'last-per-subject' | 'new';

export interface FollowOptions<M extends Identified> {
  /** One subject, wildcards allowed. */
  readonly filter: string;
  readonly from: From;
  /** The stream that `from.seq` is of; another one ends the subscription with LogChangedError. Default: the one that is there at the start. */
  readonly streamId?: string;
  /** Gets batches of 1 to `maxBatch` in ascending order, each sequence once; the next only after its promise. Messages that cannot be decoded are logged and left out. */
  readonly onMessages?: (messages: readonly Recorded<M>[]) => void | Promise<void>;
  /** A sequence that the log is known to have reached, e.g. in an earlier life: see `identity`. */
  readonly atLeast?: number;
  /** The same without decoding; give one of the two. */
  readonly onEntries?: (entries: readonly LogEntry[]) => void | Promise<void>;
  /** Everything that the log held has been handled; again after each interruption. */
  readonly onCaughtUp?: () => void;
  /** Nothing comes for now (connection lost, consumer gone); it goes on by itself without a gap. */
  readonly onInterrupted?: (reason: string) => void;
  /** The end of the subscription: LogChangedError, LogSetupError, or what the handler threw. Called at most once. */
  readonly onFailed: (error: Error) => void;
  /** Default 1,000. */
  readonly maxBatch?: number;
  /**
   * For a handler whose batches cost much, whatever is in them: live, and only while many messages come, each batch begins this much after the end of the one before.
   * Default 0. The log in memory does not know it.
   */
  readonly gatherMs?: number;
}

export interface Subscription {
  /** Sequence of the last message handed over; before the first, the one before the start (0 where that is not a number). */
  readonly lastSeq: number;
  readonly caughtUp: boolean;
  /** The log that it follows, as it was when it was last looked at; null before the first look, which comes before anything is handed over. */
  readonly log: LogIdentity | null;
  /** Ends it; the promise waits for a handler that is at work. Safe to call twice. */
  stop(): Promise<void>;
}

export interface ReadOptions {
  /** Inclusive; default 1. */
  readonly fromSeq?: number;
  /** Inclusive; default what the log's last sequence is at the start. */
  readonly untilSeq?: number;
  /** Default everything. */
  readonly filter?: string;
  /** Default 1,000. */
  readonly maxBatch?: number;
}

export interface EventLog<M extends Identified> {
  /** Whether the log could be reached when last looked; changes are told by `onStateChange`. */
  readonly available: boolean;
  onStateChange(listener: (available: boolean) => void): () => void;
  /** Resolves when the log is connected and set up. Rejects with LogUnavailable after `timeoutMs`, with LogSetupError where it can never be. */
  ready(timeoutMs: number): Promise<LogIdentity>;
  /**
   * Rejects with LogUnavailable, LogSetupError. `atLeast`: a sequence that the log is known to have reached. In a cluster a server that is behind may answer for a while,
   * so an end before that is LogUnavailable first, and believed only when it stays so.
   */
  identity(atLeast?: number): Promise<LogIdentity>;
  /**
   * Appends if the last sequence on `subject` is `expectedSeq` (0: none). Idempotent by `message.id`. Answers or rejects within the log's append timeout:
   * ConflictError, LogUnavailable (`outcome` says whether it may be in the log all the same), MessageTooLargeError, LogSetupError.
   */
  append(request: { readonly subject: string; readonly message: M; readonly expectedSeq: number }): Promise<Appended>;
  /** The newest message of a subject. Rejects with LogUnavailable, MalformedEntryError. */
  last(subject: string): Promise<Recorded<M> | null>;
  /** One message; null where there is none (any more). */
  entry(seq: number): Promise<LogEntry | null>;
  /** Id of a message, to compare with what was read of it before; null where there is none (any more). */
  messageIdAt(seq: number): Promise<string | null>;
  /** What stands in the log up to now, batch by batch as they are taken. Rejects with LogUnavailable when nothing comes for long. */
  read(options?: ReadOptions): AsyncGenerator<readonly LogEntry[]>;
  /** Decodes what `read` gives. Throws MalformedEntryError. */
  decode(entry: LogEntry): Recorded<M>;
  follow(options: FollowOptions<M>): Subscription;
  /** Removes the messages of a subject but for the newest `keep` (default 0). */
  purge(subject: string, options?: { readonly keep?: number }): Promise<{ readonly purged: number }>;
  close(): Promise<void>;
}
