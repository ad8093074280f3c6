// How a host comes to have credentials: join tokens, which let somebody have a host admitted a few times, and members, the hosts that were.
// A token's secret and the credentials themselves are never here; who signs them is not either.
import { accept, assertNever, refuse, type Decision } from '../decision.ts';
import type { HostId } from '../ids.ts';
import { isExpired } from './token.ts';

export interface JoinToken {
  /** Its name. */
  readonly id: string;
  readonly name: string;
  readonly state: 'active' | 'removed';
  /** SHA-256 of the secret, 64 hex digits; the secret has 256 random bits. */
  readonly hash: string;
  /** The only host that it admits, also in place of one of that name that is there; null: any new one. */
  readonly host: HostId | null;
  /** How many hosts it may admit yet. */
  readonly usesLeft: number;
  /** Keys of those that it has admitted. */
  readonly admitted: readonly string[];
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  readonly sinceMs: number;
}

export type JoinTokenEvent =
  | { readonly type: 'JoinTokenCreated'; readonly name: string; readonly hash: string; readonly host: HostId | null; readonly uses: number; readonly expiresAtMs: number; readonly atMs: number }
  | { readonly type: 'JoinTokenUsed'; readonly hostId: HostId; readonly publicKey: string; readonly atMs: number }
  | { readonly type: 'JoinTokenRevoked'; readonly atMs: number };

export type JoinTokenCommand =
  | { readonly type: 'CreateJoinToken'; readonly name: string; readonly hash: string; readonly host: HostId | null; readonly uses: number; readonly expiresAtMs: number }
  /** `hash`: of the secret that was shown; who compares it does so in constant time. */
  | { readonly type: 'UseJoinToken'; readonly hash: string; readonly hostId: HostId; readonly publicKey: string }
  | { readonly type: 'RevokeJoinToken' };

export const maxJoinTokenUses = 100;

export function decideJoinToken(state: JoinToken | null, command: JoinTokenCommand, nowMs: number): Decision<JoinTokenEvent> {
  switch (command.type) {
    case 'CreateJoinToken': {
      const { type: _type, ...token } = command;
      if (state?.state === 'active') return refuse('already-exists', `there is a join token ${command.name} already; revoke it first or give this one another name`);
      return accept({ type: 'JoinTokenCreated', ...token, atMs: nowMs });
    }
    case 'UseJoinToken': {
      const { hash, hostId, publicKey } = command;
      // Whether there is such a token, and whether it is the secret that is wrong, is nobody's business.
      if (state?.state !== 'active' || state.hash !== hash) return refuse('not-found', 'the join token is not known: it is wrong, revoked, or of another cluster');
      // Asked again by who has not heard the answer.
      if (state.admitted.includes(publicKey)) return accept();
      if (isExpired(state, nowMs)) return refuse('stale', 'the join token has expired: make a new one');
      if (state.host !== null && state.host !== hostId) return refuse('in-use', `the join token is for host ${state.host}, not for ${hostId}`);
      return state.usesLeft > 0 ? accept({ type: 'JoinTokenUsed', hostId, publicKey, atMs: nowMs }) : refuse('stale', 'the join token has been used up: make a new one');
    }
    case 'RevokeJoinToken':
      return state?.state === 'active' ? accept({ type: 'JoinTokenRevoked', atMs: nowMs }) : refuse('not-found', 'no such join token');
    default:
      return assertNever(command);
  }
}

export function evolveJoinToken(state: JoinToken | null, event: JoinTokenEvent): JoinToken | null {
  if (event.type === 'JoinTokenCreated') {
    const { name, hash, host, uses, expiresAtMs, atMs } = event;
    return { id: name, name, state: 'active', hash, host, usesLeft: uses, admitted: [], createdAtMs: atMs, expiresAtMs, sinceMs: atMs };
  }
  if (state === null) return null;
  switch (event.type) {
    case 'JoinTokenUsed':
      return { ...state, usesLeft: state.usesLeft - 1, admitted: [...state.admitted, event.publicKey] };
    case 'JoinTokenRevoked':
      return { ...state, state: 'removed', sinceMs: event.atMs };
    default:
      return state;
  }
}

/** A key whose credentials are void, and since when. */
export interface RevokedKey {
  readonly publicKey: string;
  readonly atMs: number;
}

const maxRevokedTold = 100;

/** A host that was admitted by a join token. It is kept after its end: what is revoked must stay so. */
export interface Member {
  /** The host's id. */
  readonly id: HostId;
  readonly name: HostId;
  readonly state: 'active' | 'revoked';
  readonly publicKey: string;
  /** Name of the token that admitted it. */
  readonly token: string;
  /** The newest of them; NATS servers keep all. */
  readonly revoked: readonly RevokedKey[];
  readonly sinceMs: number;
}

export type MemberEvent =
  /** In place of an earlier key of this host, which is void then. */
  | { readonly type: 'MemberAdmitted'; readonly hostId: HostId; readonly publicKey: string; readonly token: string; readonly atMs: number }
  | { readonly type: 'MemberRevoked'; readonly atMs: number };

export type MemberCommand =
  /** `replace`: also where the host has credentials already. */
  | { readonly type: 'AdmitMember'; readonly hostId: HostId; readonly publicKey: string; readonly token: string; readonly replace: boolean }
  | { readonly type: 'RevokeMember' };

export function decideMember(state: Member | null, command: MemberCommand, nowMs: number): Decision<MemberEvent> {
  switch (command.type) {
    case 'AdmitMember': {
      const { hostId, publicKey, token, replace } = command;
      if (state?.state === 'active' && state.publicKey === publicKey) return accept();
      if (state?.revoked.some((key) => key.publicKey === publicKey) === true) return refuse('stale', 'this key has been revoked: join with a new one');
      if (state?.state === 'active' && !replace) return refuse('already-exists', alreadyThere(hostId));
      return accept({ type: 'MemberAdmitted', hostId, publicKey, token, atMs: nowMs });
    }
    case 'RevokeMember':
      return state?.state === 'active' ? accept({ type: 'MemberRevoked', atMs: nowMs }) : accept();
    default:
      return assertNever(command);
  }
}

export const alreadyThere = (hostId: HostId): string => `there is a host ${hostId} already: give this one another id (--host-id), remove that one (pouch cluster hosts rm ${hostId}), or let this one take its place with a token made for it (pouch cluster join-token --for ${hostId})`;

export function evolveMember(state: Member | null, event: MemberEvent): Member | null {
  switch (event.type) {
    case 'MemberAdmitted': {
      const { hostId, publicKey, token, atMs } = event;
      const before = state?.state === 'active' ? [...state.revoked, { publicKey: state.publicKey, atMs }] : state?.revoked ?? [];
      return { id: hostId, name: hostId, state: 'active', publicKey, token, revoked: before.slice(-maxRevokedTold), sinceMs: atMs };
    }
    case 'MemberRevoked':
      return state === null ? null : { ...state, state: 'revoked', revoked: [...state.revoked, { publicKey: state.publicKey, atMs: event.atMs }].slice(-maxRevokedTold), sinceMs: event.atMs };
    default:
      return state;
  }
}
