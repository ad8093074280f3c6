// The shape of every decision: accepted with events, or refused with a code and a sentence. Holds no rule of its own.

/** What `decide` answers: the events that happened, or why nothing may happen. An accepted decision may carry no event. */
export type Decision<E> = { readonly ok: true; readonly events: readonly E[] } | { readonly ok: false; readonly refusal: Refusal };

/** Why a command may not happen. `code` is stable and for programs, `message` is one sentence for a person. */
export interface Refusal {
  readonly code: RefusalCode;
  readonly message: string;
  /** For `in-progress`: the command that is already doing what was asked; its outcome answers both. */
  readonly commandId?: string;
}

export type RefusalCode =
  | 'not-found'
  | 'already-exists'
  | 'already-running'
  | 'already-stopped'
  | 'not-running'
  | 'paused'
  | 'not-paused'
  | 'running'
  | 'in-progress'
  | 'in-use'
  | 'too-many-requests'
  | 'removing'
  | 'removed'
  | 'stale'
  | 'no-change';

export function accept<E>(...events: readonly E[]): Decision<E> {
  return { ok: true, events };
}

export function refuse<E>(code: RefusalCode, message: string, commandId?: string): Decision<E> {
  return { ok: false, refusal: commandId === undefined ? { code, message } : { code, message, commandId } };
}

/** Ends every switch over a union: a case that was forgotten is a type error, and a crash if it gets here. */
export function assertNever(value: never): never {
  throw new TypeError(`unexpected case: ${JSON.stringify(value)}`);
}
