// What the API refused, for the audit log: like ones are told together with their number, so that a flood is a few messages. Decides no access.
import { accept, type Decision } from '../decision.ts';

/** One kind of refused request. */
export interface RefusedAccess {
  /** 401: who it is was not known. 403: it was, and may not. */
  readonly status: 401 | 403;
  /** Method and route, e.g. `POST /containers/create`; never the path itself, which may hold names. */
  readonly route: string;
  /** The rule of the policy, or `role`, `credentials`, `origin`. */
  readonly rule: string;
  /** The sentence that was answered. */
  readonly reason: string;
  readonly count: number;
  readonly firstAtMs: number;
  readonly lastAtMs: number;
}

export interface Refusals {
  readonly id: typeof refusalsId;
  readonly name: typeof refusalsId;
  readonly state: 'present';
  /** Of all time. */
  readonly total: number;
  readonly sinceMs: number;
}

/** One aggregate: refusals are few by their making, and its retention bounds them in the log. */
export const refusalsId = 'api';
/** Kinds in one message; more are counted in `others`. */
export const maxRefusalsTold = 32;

/** Of one actor, who is the message's. */
export type RefusalEvent = { readonly type: 'AccessRefused'; readonly refusals: readonly RefusedAccess[]; readonly others: number; readonly atMs: number };
export type RefusalCommand = { readonly type: 'TellRefusals'; readonly refusals: readonly RefusedAccess[]; readonly others: number };

export function decideRefusals(_state: Refusals | null, { refusals, others }: RefusalCommand, nowMs: number): Decision<RefusalEvent> {
  if (refusals.length === 0 && others === 0) return accept();
  const told = refusals.slice(0, maxRefusalsTold);
  const rest = refusals.slice(maxRefusalsTold).reduce((sum, { count }) => sum + count, 0);
  return accept({ type: 'AccessRefused', refusals: told, others: others + rest, atMs: nowMs });
}

export function evolveRefusals(state: Refusals | null, event: RefusalEvent): Refusals | null {
  if (event.type !== 'AccessRefused') return state;
  const count = event.refusals.reduce((sum, refusal) => sum + refusal.count, event.others);
  return { id: refusalsId, name: refusalsId, state: 'present', total: (state?.total ?? 0) + count, sinceMs: state?.sinceMs ?? event.atMs };
}
