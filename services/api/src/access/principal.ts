// Who asks: by the connection (the unix socket, a verified certificate) or by the bearer token of the request. Answers a name and a role; refuses nothing.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { PeerCertificate, TLSSocket } from 'node:tls';
import { tokenPrefix } from '@pouch/contracts';
import { isAccessName, isExpired, type Role, type Token } from '@pouch/domain';
import { arrivalOf } from './arrivals.ts';

export interface Principal {
  /** As the log remembers it: `local`, `tls:NAME`, `token:NAME`, `tcp:ADDRESS`. */
  readonly actor: string;
  /** Null: none is known; `why` says what is missing. */
  readonly role: Role | null;
  readonly why: string | null;
}

/** `OU=pouch-admin` → admin; `*` fits every certificate. The first that fits goes. */
export interface SubjectRole {
  readonly attribute: string;
  readonly value: string;
  readonly role: Role;
}

export interface AccessConfig {
  readonly subjectRoles: readonly SubjectRole[];
  /** Of plain TCP, which is on a loopback address only; null: a token is needed. */
  readonly plainTcpRole: Role | null;
}

const maxActorChars = 200;
const needed = 'a client certificate or a bearer token is needed (Authorization: Bearer ...)';

export function principalOf(request: IncomingMessage, { subjectRoles, plainTcpRole }: AccessConfig, tokenByName: (name: string) => Token | null, nowMs: number): Principal {
  const connection = connectionOf(request);
  const { authorization } = request.headers;
  // A token says more than a connection: whoever shows one has its role and no other, also on the unix socket.
  if (authorization !== undefined) return ofToken(authorization, connection.actor, tokenByName, nowMs);
  switch (connection.kind) {
    case 'socket':
      return { actor: connection.actor, role: 'admin', why: null };
    case 'certificate': {
      const role = roleOfSubject(subjectRoles, connection.certificate.subject);
      return { actor: connection.actor, role, why: role === null ? `no role belongs to the certificate of ${connection.actor}: POUCH_TLS_ROLES maps subjects to roles` : null };
    }
    case 'plain':
      return { actor: connection.actor, role: plainTcpRole, why: plainTcpRole === null ? needed : null };
    case 'stranger':
      return { actor: connection.actor, role: null, why: needed };
  }
}

type Connection = { readonly kind: 'socket' | 'plain' | 'stranger'; readonly actor: string } | { readonly kind: 'certificate'; readonly actor: string; readonly certificate: PeerCertificate };

function connectionOf({ socket }: IncomingMessage): Connection {
  const arrival = arrivalOf(socket);
  if (arrival === null) return { kind: 'stranger', actor: 'unknown' };
  switch (arrival.door) {
    case 'unix':
      return { kind: 'socket', actor: 'local' };
    case 'plain':
      return { kind: 'plain', actor: `tcp:${arrival.address}` };
    case 'tls': {
      const secure = socket as TLSSocket;
      if (!secure.authorized) return { kind: 'stranger', actor: `tcp:${arrival.address}` };
      const certificate = secure.getPeerCertificate();
      return { kind: 'certificate', actor: `tls:${texts(certificate.subject?.CN).join(',') || 'unnamed'}`.slice(0, maxActorChars), certificate };
    }
  }
}

export function roleOfSubject(subjectRoles: readonly SubjectRole[], subject: PeerCertificate['subject'] | undefined): Role | null {
  const fits = ({ attribute, value }: SubjectRole): boolean => attribute === '*' || texts((subject as Record<string, unknown> | undefined)?.[attribute]).includes(value);
  return subjectRoles.find(fits)?.role ?? null;
}

/** An attribute may stand several times in a subject. */
const texts = (value: unknown): string[] => (Array.isArray(value) ? value : [value]).filter((one) => typeof one === 'string');

function ofToken(header: string, connectionActor: string, tokenByName: (name: string) => Token | null, nowMs: number): Principal {
  const nobody = (why: string): Principal => ({ actor: connectionActor, role: null, why });
  const text = /^bearer +(\S{1,256})$/i.exec(header)?.[1];
  if (text === undefined) return nobody('the header Authorization must be "Bearer" and a token');
  const name = text.slice(tokenPrefix.length, text.lastIndexOf('_'));
  // Whether there is such a token, and whether it is the secret that is wrong, is nobody's business.
  const unknown = nobody('the token is not known: it is wrong, revoked, or of another cluster');
  if (!text.startsWith(tokenPrefix) || !isAccessName(name)) return unknown;
  const token = tokenByName(name);
  if (token === null || token.state !== 'active' || !timingSafeEqual(Buffer.from(token.hash, 'hex'), Buffer.from(hashOfToken(text), 'hex'))) return unknown;
  if (isExpired(token, nowMs)) return nobody(`the token ${name} has expired`);
  return { actor: `token:${name}`, role: token.role, why: null };
}

/** 64 hex digits. */
export function hashOfToken(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
