// The envelope of every message in the log: one message is one decision, with the whole state after it. Checks form, decides nothing.
import type { AggregateKind, EventOf, StateOf } from '@pouch/domain';

/** Version of the envelope; a reader refuses a higher one rather than guess. */
export const messageVersion = 1;

/** One decision as it stands in the log. `events` may hold types that this version does not know: they are passed over. */
export interface Message<K extends AggregateKind = AggregateKind> {
  readonly v: typeof messageVersion;
  /** Command id, unique per decision; also the Msg-Id. */
  readonly id: string;
  readonly kind: K;
  readonly events: readonly EventOf<K>[];
  /** The aggregate after `events`. */
  readonly snapshot: StateOf<K>;
  readonly meta: Meta;
}

export interface Meta {
  /** Clock of the process that decided, in ms since 1970. */
  readonly atMs: number;
  readonly service: 'api' | 'scheduler' | 'agent';
  /** Who wanted it: a user of the API, or the service itself. */
  readonly actor: string;
  /** Id of the message that led to this one; null for what a person asked. */
  readonly cause: string | null;
}

/** A message with its place in the log. */
export interface Recorded<K extends AggregateKind = AggregateKind> {
  /** Stream sequence, from 1. */
  readonly seq: number;
  readonly subject: string;
  /** Server's clock at the append, in ms since 1970. */
  readonly storedAtMs: number;
  readonly message: Message<K>;
}

export class MalformedMessageError extends Error {
  readonly code = 'malformed-message';
}

/** Checks the outer form of a decoded JSON value. Unknown event types and members pass; a snapshot is trusted to be what `kind` says. */
export function toMessage(value: unknown): Message {
  const bad = (what: string) => new MalformedMessageError(`a log message ${what}`);
  if (typeof value !== 'object' || value === null) throw bad('is not an object');
  const { v, id, kind, events, snapshot, meta } = value as Partial<Record<keyof Message, unknown>>;
  if (v !== messageVersion) throw bad(`has version ${JSON.stringify(v)}; this version of Pouch reads ${messageVersion}`);
  if (typeof id !== 'string' || id === '') throw bad('has no id');
  if (typeof kind !== 'string') throw bad('has no kind');
  if (!Array.isArray(events) || events.some((event) => typeof event !== 'object' || event === null || typeof event.type !== 'string')) throw bad('has no events with types');
  if (typeof snapshot !== 'object' || snapshot === null) throw bad('has no snapshot');
  if (typeof meta !== 'object' || meta === null) throw bad('has no meta');
  return value as Message;
}
