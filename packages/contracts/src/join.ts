// What a host that wants to join says to an api, over NATS, and what it is answered. Types, subjects, and the outer form of a join token.
import { isAccessName } from '@pouch/domain';

export const joinRequestSubject = (token: string): string => `join.request.${token}`;
export const everyJoinRequest = 'join.request.*';
/** An api may write there unasked: the leave to answer once was seen to be gone, in a cluster of three nats-server 2.10.27, by the time of the answer. */
export const everyJoinAnswer = '_INBOX.joiner.>';

/** `token`: the secret of the token that the subject names. Keys are public: `memberKey` of NATS, `sealKey` for the answer, X25519, DER (SPKI) in base64. */
export interface JoinRequest {
  readonly v: 1;
  readonly token: string;
  readonly hostId: string;
  readonly memberKey: string;
  readonly sealKey: string;
}

/** `sealed`: base64 of a JoinGrant that only the asker can open. */
export type JoinAnswer = { readonly ok: true; readonly sealed: string } | { readonly ok: false; readonly message: string };

/** What a host gets. */
export interface JoinGrant {
  /** Its signed permissions, of use with its own key only. */
  readonly jwt: string;
  /** Where NATS is, as URLs; those of this machine only where the cluster has told none to be reached at. */
  readonly servers: readonly string[];
  /** Text of the file of the cluster's keys for secrets; null: there are none. */
  readonly secretsKey: string | null;
}

/** What a join token holds: enough to reach NATS with the one right to ask, and to know the right server. */
export interface JoinToken {
  readonly name: string;
  readonly secret: string;
  /** SHA-256 of the certificate of the servers' authority (DER), hex. */
  readonly caDigest: string;
  /** Credentials of the asker. */
  readonly jwt: string;
  readonly seed: string;
}

export const joinTokenPrefix = 'pouchjoin_';
const maxTokenChars = 8_192;

export function formatJoinToken({ name, secret, caDigest, jwt, seed }: JoinToken): string {
  return joinTokenPrefix + Buffer.from(JSON.stringify([name, secret, caDigest, jwt, seed])).toString('base64url');
}

/** Null: it is none. */
export function parseJoinToken(text: string): JoinToken | null {
  if (!text.startsWith(joinTokenPrefix) || text.length > maxTokenChars) return null;
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(text.slice(joinTokenPrefix.length), 'base64url').toString());
  } catch {
    return null; // cut off, or something else
  }
  if (!Array.isArray(parts) || parts.length !== 5 || !parts.every((part) => typeof part === 'string')) return null;
  const [name, secret, caDigest, jwt, seed] = parts as [string, string, string, string, string];
  return isAccessName(name) && /^[0-9a-f]{64}$/.test(secret) && /^[0-9a-f]{64}$/.test(caDigest) ? { name, secret, caDigest, jwt, seed } : null;
}

/** Checks the form of what came; null: it is no request. The host's id is checked by its own constructor. */
export function toJoinRequest(bytes: Uint8Array): JoinRequest | null {
  if (bytes.length > maxTokenChars) return null;
  try {
    const value = JSON.parse(Buffer.from(bytes).toString()) as Partial<Record<keyof JoinRequest, unknown>>;
    const { v, token, hostId, memberKey, sealKey } = value;
    if (v !== 1 || typeof token !== 'string' || typeof hostId !== 'string' || typeof memberKey !== 'string' || typeof sealKey !== 'string') return null;
    return /^[0-9a-f]{64}$/.test(token) && /^U[A-Z2-7]{55}$/.test(memberKey) ? { v, token, hostId, memberKey, sealKey } : null;
  } catch {
    return null; // no JSON
  }
}

