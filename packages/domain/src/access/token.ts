// A bearer token of the API: a name, a role, and the hash of what its holder shows. The token itself is never here.
import { accept, assertNever, refuse, type Decision } from '../decision.ts';
import type { Role } from './role.ts';

export interface Token {
  /** Its name. */
  readonly id: string;
  readonly name: string;
  readonly state: 'active' | 'removed';
  readonly role: Role;
  /** SHA-256 of the whole token, 64 hex digits; a token has 256 random bits, so that nothing slower is needed. */
  readonly hash: string;
  readonly createdAtMs: number;
  /** Null: never. */
  readonly expiresAtMs: number | null;
  readonly sinceMs: number;
}

export type TokenEvent =
  | { readonly type: 'TokenCreated'; readonly name: string; readonly role: Role; readonly hash: string; readonly expiresAtMs: number | null; readonly atMs: number }
  | { readonly type: 'TokenRevoked'; readonly atMs: number };

export type TokenCommand =
  | { readonly type: 'CreateToken'; readonly name: string; readonly role: Role; readonly hash: string; readonly expiresAtMs: number | null }
  | { readonly type: 'RevokeToken' };

export function decideToken(state: Token | null, command: TokenCommand, nowMs: number): Decision<TokenEvent> {
  switch (command.type) {
    case 'CreateToken': {
      const { name, role, hash, expiresAtMs } = command;
      if (state?.state === 'active' && !isExpired(state, nowMs)) return refuse('already-exists', `there is a token ${name} already; revoke it first or give this one another name`);
      return accept({ type: 'TokenCreated', name, role, hash, expiresAtMs, atMs: nowMs });
    }
    case 'RevokeToken':
      return state === null || state.state === 'removed' ? refuse('not-found', 'no such token') : accept({ type: 'TokenRevoked', atMs: nowMs });
    default:
      return assertNever(command);
  }
}

export function evolveToken(state: Token | null, event: TokenEvent): Token | null {
  switch (event.type) {
    case 'TokenCreated': {
      const { name, role, hash, expiresAtMs, atMs } = event;
      return { id: name, name, state: 'active', role, hash, createdAtMs: atMs, expiresAtMs, sinceMs: atMs };
    }
    case 'TokenRevoked':
      return state === null ? null : { ...state, state: 'removed', sinceMs: event.atMs };
    default:
      return state;
  }
}

export function isExpired({ expiresAtMs }: Pick<Token, 'expiresAtMs'>, nowMs: number): boolean {
  return expiresAtMs !== null && nowMs >= expiresAtMs;
}
