// The one way in which anything gets into the log: load the head, decide, append with the expectation, and decide again when somebody was faster.
// The rules are the caller's `decide`; this file has none.
import { fold, type AggregateKind, type Decision, type EventOf, type Refusal, type StateOf } from '@pouch/domain';
import { messageVersion, type Message, type Meta } from '@pouch/contracts';
import { OperatingError } from '@pouch/process';
import { ConflictError, LogUnavailable, type Outcome } from './errors.ts';
import type { EventLog, Identified } from './event-log.ts';

/** The log of Pouch: messages with the envelope of the contracts. */
export type PouchLog = EventLog<Message>;

/** Others appended each time in between. */
export class ContentionError extends OperatingError {
  /** One of those others may have been an earlier try of this very message. */
  readonly outcome: Outcome = 'unknown';

  constructor(subject: string, attempts: number, cause: unknown) {
    super('contention', `${subject}: ${attempts} decisions in a row were overtaken by others`, { retryable: true, cause });
  }
}

/** The head of a subject as it is thought to be: `seq` 0 and null for none. */
export interface Head<S> {
  readonly seq: number;
  readonly snapshot: S | null;
}

/** What a decision on a head leads to: a message to append, nothing to do, or a refusal. */
export type Choice<M, R> = { readonly append: M } | { readonly nothing: true } | { readonly refuse: R };

export type ChosenOutcome<M, R> =
  /** It is in the log at `seq`. `duplicate`: an earlier try had put it there. */
  | { readonly outcome: 'appended'; readonly seq: number; readonly message: M; readonly duplicate: boolean }
  | { readonly outcome: 'nothing'; readonly seq: number; readonly head: M | null }
  | { readonly outcome: 'refused'; readonly seq: number; readonly refusal: R };

export interface AppendDecisionOptions<M extends Identified, S, R> {
  readonly log: EventLog<M>;
  readonly subject: string;
  /** Command id; a message that `choose` gives must have it, the same at each attempt. */
  readonly id: string;
  /** A guess of the head, e.g. from following: a stale one costs one more round, never a wrong answer. */
  readonly cached?: Head<S> | undefined;
  readonly snapshotOf: (message: M) => S;
  readonly choose: (snapshot: S | null) => Choice<M, R>;
  /** Default 10. */
  readonly attempts?: number;
}

/** Rejects with ContentionError after the attempts, and with what the log's `last` and `append` reject with; once something was sent, the outcome of a LogUnavailable is `unknown`. */
export async function appendDecision<M extends Identified, S, R>(options: AppendDecisionOptions<M, S, R>): Promise<ChosenOutcome<M, R>> {
  const sent = { any: false };
  try {
    return await decideAndAppend(options, sent);
  } catch (error) {
    // E.g. it was appended, and reading what stands there failed: whoever takes that for "not sent" undoes what belongs to it.
    if (!(error instanceof LogUnavailable) || !sent.any || error.outcome === 'unknown') throw error;
    throw new LogUnavailable(error.message, { cause: error, outcome: 'unknown', retryAfterMs: error.retryAfterMs });
  }
}

async function decideAndAppend<M extends Identified, S, R>({ log, subject, id, cached, snapshotOf, choose, attempts = 10 }: AppendDecisionOptions<M, S, R>, sent: { any: boolean }): Promise<ChosenOutcome<M, R>> {
  let guess = cached;
  let overtaken: unknown;
  for (let attempt = 0; attempt < attempts; attempt++) {
    let head: M | null = null;
    let seq = guess?.seq ?? 0;
    let snapshot: S | null = guess?.snapshot ?? null;
    const guessed = guess !== undefined;
    guess = undefined;
    if (!guessed) {
      const recorded = await log.last(subject);
      head = recorded?.message ?? null;
      seq = recorded?.seq ?? 0;
      snapshot = head === null ? null : snapshotOf(head);
      if (head?.id === id) return { outcome: 'appended', seq, message: head, duplicate: true };
    }
    const choice = choose(snapshot);
    if (!('append' in choice)) {
      // What is not appended is not checked by the log either: a guess is no ground to answer no.
      if (guessed) continue;
      return 'refuse' in choice ? { outcome: 'refused', seq, refusal: choice.refuse } : { outcome: 'nothing', seq, head };
    }
    if (choice.append.id !== id) throw new TypeError(`${subject}: the message has another id than the command`);
    try {
      const appended = await log.append({ subject, message: choice.append, expectedSeq: seq });
      if (!appended.duplicate) return { outcome: 'appended', seq: appended.seq, message: choice.append, duplicate: false };
      sent.any = true;
      // An earlier try, possibly decided on another head: what stands there is the truth.
      const entry = await log.entry(appended.seq);
      return { outcome: 'appended', seq: appended.seq, message: entry === null ? choice.append : log.decode(entry).message, duplicate: true };
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
      sent.any = true;
      overtaken = error;
    }
  }
  throw new ContentionError(subject, attempts, overtaken);
}

export interface ExecuteOptions<K extends AggregateKind> {
  readonly log: PouchLog;
  readonly kind: K;
  readonly subject: string;
  /** Unique per decision, the same whenever it is tried again. */
  readonly commandId: string;
  readonly meta: Meta;
  readonly cached?: Head<StateOf<K>> | undefined;
  /** The domain's decide with the command and the time filled in. */
  readonly decide: (state: StateOf<K> | null) => Decision<EventOf<K>>;
  /** Default 10. */
  readonly attempts?: number;
}

export type Executed<K extends AggregateKind> =
  | {
      readonly ok: true;
      /** Sequence of the message, or of the head where nothing had to happen (0: there is none). */
      readonly seq: number;
      readonly snapshot: StateOf<K> | null;
      readonly events: readonly EventOf<K>[];
      /** Whether a message was appended (by this or an earlier try). */
      readonly appended: boolean;
    }
  | { readonly ok: false; readonly seq: number; readonly refusal: Refusal };

/** Decides a command on an aggregate and appends what follows from it. Rejects like `appendDecision`. */
export async function execute<K extends AggregateKind>({ log, kind, subject, commandId, meta, cached, decide, attempts }: ExecuteOptions<K>): Promise<Executed<K>> {
  const outcome = await appendDecision<Message<K>, StateOf<K>, Refusal>({
    // The subject holds messages of this kind only: it is made from the same ids.
    log: log as unknown as EventLog<Message<K>>,
    subject,
    id: commandId,
    cached,
    ...(attempts === undefined ? {} : { attempts }),
    snapshotOf: (message) => message.snapshot,
    choose: (state) => {
      const decision = decide(state);
      if (!decision.ok) return { refuse: decision.refusal };
      if (decision.events.length === 0) return { nothing: true };
      const snapshot = fold(kind, state, decision.events);
      if (snapshot === null) throw new TypeError(`${subject}: the events of a decision lead to no state`);
      return { append: { v: messageVersion, id: commandId, kind, events: decision.events, snapshot, meta } };
    },
  });
  switch (outcome.outcome) {
    case 'appended':
      return { ok: true, seq: outcome.seq, snapshot: outcome.message.snapshot, events: outcome.message.events, appended: true };
    case 'nothing':
      return { ok: true, seq: outcome.seq, snapshot: outcome.head?.snapshot ?? null, events: [], appended: false };
    case 'refused':
      return { ok: false, seq: outcome.seq, refusal: outcome.refusal };
  }
}
