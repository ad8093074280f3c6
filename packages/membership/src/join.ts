// How a new host comes to its credentials: it shows a join token to an api, over NATS, and gets what only it can open. It writes nothing.
import { createHash, X509Certificate } from 'node:crypto';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type DetailedPeerCertificate } from 'node:tls';
import { connect, credsAuthenticator, ErrorCode, NatsError, type NatsConnection } from 'nats';
import { inboxPrefix, joinRequestSubject, parseJoinToken, type JoinAnswer, type JoinGrant, type JoinRequest, type JoinToken } from '@pouch/contracts';
import { messageOf } from '@pouch/process';
import { makeReader } from '@pouch/sealing';
import { credentialsFile, makeMemberKey } from './authority.ts';

export const defaultNatsPort = 4722;
const dialMs = 10_000;
/** Asked again with the same key, a token is not used a second time. */
const answerMs = 15_000;
const maxAsks = 3;

export interface Joined {
  /** Text of the credentials file. Secret. */
  readonly credentials: string;
  /** Certificate of the servers' authority, PEM. */
  readonly ca: string;
  readonly servers: readonly string[];
  /** Text of the file of the cluster's keys. Secret. */
  readonly secretsKey: string | null;
}

/** `message` says what is wrong and what would be right. */
export class JoinError extends Error {
  readonly code = 'not-joined';
}

/** Addresses as a person writes them, `10.0.0.1,10.0.0.2:4722`, as URLs. Throws JoinError. */
export function natsAddresses(text: string): readonly string[] {
  const all = text.split(',').map((one) => one.trim()).filter((one) => one !== '');
  if (all.length === 0) throw new JoinError('the address of NATS is missing, e.g. 10.0.0.1');
  return all.map((one) => {
    const match = /^(?:nats:\/\/)?([A-Za-z0-9.-]+)(?::(\d{1,5}))?$/.exec(one);
    if (match === null || Number(match[2] ?? 0) > 65_535) throw new JoinError(`${one} is no address of NATS: it is a name or IPv4 address, and a port where it is not ${defaultNatsPort}, e.g. 10.0.0.1`);
    return `nats://${match[1]}:${match[2] ?? defaultNatsPort}`;
  });
}

/** Asks for admission. Rejects with JoinError; neither the token nor anything of it is in its message. */
export async function joinCluster({ servers, token: text, hostId }: { readonly servers: readonly string[]; readonly token: string; readonly hostId: string }): Promise<Joined> {
  const token = parseJoinToken(text);
  if (token === null) throw new JoinError('this is no join token, or not the whole of it: pouch cluster join-token makes one');
  const ca = await firstOf(servers, async (server) => await authorityOf(server, token.caDigest));
  const member = makeMemberKey();
  const grant = await ask(servers, token, ca, { hostId, memberKey: member.publicKey });
  return { credentials: credentialsFile(grant.jwt, member.seed), ca, servers: reachable(grant.servers, servers), secretsKey: grant.secretsKey };
}

/** A cluster that has told no addresses is reached where it was reached. */
function reachable(granted: readonly string[], used: readonly string[]): readonly string[] {
  const isLocal = (url: string): boolean => /\/\/(?:127\.|localhost)/.test(url);
  const others = granted.filter((url) => !isLocal(url));
  return others.length > 0 ? others : used;
}

async function firstOf<T>(servers: readonly string[], attempt: (server: URL) => Promise<T>): Promise<T> {
  const failures: string[] = [];
  for (const server of servers) {
    try {
      return await attempt(new URL(server));
    } catch (error) {
      failures.push(`${server}: ${messageOf(error)}`);
    }
  }
  throw new JoinError(failures.join('; '));
}

/** The authority's certificate, as the server shows it behind its own, held against the digest in the token. Nothing is said before: a NATS server greets first. */
async function authorityOf(server: URL, digest: string): Promise<string> {
  const socket = connectTcp({ host: server.hostname, port: Number(server.port) });
  try {
    await greeting(socket);
    const chain = await new Promise<DetailedPeerCertificate>((resolve, reject) => {
      // Whether to trust it is the question that this answers.
      const secure = connectTls({ socket, rejectUnauthorized: false }, () => resolve(secure.getPeerCertificate(true)));
      secure.once('error', reject);
    });
    const seen = new Set<string>();
    for (let one: DetailedPeerCertificate | undefined = chain; one !== undefined && !seen.has(one.fingerprint256); one = one.issuerCertificate) {
      seen.add(one.fingerprint256);
      if (createHash('sha256').update(one.raw).digest('hex') === digest) return new X509Certificate(one.raw).toString();
    }
    throw new JoinError("its certificate is not of the cluster that the token is for: it is another cluster's address, or somebody stands between");
  } finally {
    socket.destroy();
  }
}

/** The line with which a NATS server greets. */
async function greeting(socket: Socket): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    socket.setTimeout(dialMs, () => reject(new JoinError('no NATS server greets there')));
    socket.once('error', (error) => reject(new JoinError(error.message)));
    socket.once('close', () => reject(new JoinError('no NATS server greets there')));
    socket.once('data', (data) => {
      const text = data.toString('latin1');
      if (!text.startsWith('INFO ')) return reject(new JoinError('what greets there is no NATS server'));
      if (!/"tls_required":\s*true/.test(text)) return reject(new JoinError('the NATS server there speaks no TLS: it is not of a cluster that hosts join'));
      resolve();
    });
  });
  socket.removeAllListeners('close');
}

async function ask(servers: readonly string[], token: JoinToken, ca: string, host: Pick<JoinRequest, 'hostId' | 'memberKey'>): Promise<JoinGrant> {
  const role = { kind: 'joiner', token: token.name } as const;
  const reader = makeReader();
  try {
    const nc = await connect({
      servers: [...servers], name: 'join', reconnect: false, timeout: dialMs, inboxPrefix: inboxPrefix(role), tls: { ca },
      authenticator: credsAuthenticator(Buffer.from(credentialsFile(token.jwt, token.seed))),
    });
    try {
      const request: JoinRequest = { v: 1, token: token.secret, ...host, sealKey: reader.publicKey.toString('base64') };
      const answer = await answered(nc, joinRequestSubject(token.name), JSON.stringify(request));
      if (!answer.ok) throw new JoinError(answer.message);
      return JSON.parse(reader.open(Buffer.from(answer.sealed, 'base64')).toString()) as JoinGrant;
    } finally {
      await nc.close();
    }
  } catch (error) {
    if (!(error instanceof NatsError)) throw error;
    if (error.code === ErrorCode.AuthorizationViolation || error.code === ErrorCode.AuthenticationExpired) throw new JoinError('NATS does not take the token: it has expired, or is of another cluster; make a new one with pouch cluster join-token', { cause: error });
    if (error.code === ErrorCode.NoResponders || error.code === ErrorCode.Timeout) throw new JoinError('no api answers: one with the cluster\'s authority must run', { cause: error });
    throw new JoinError(`NATS: ${error.message}`, { cause: error });
  }
}

async function answered(nc: NatsConnection, subject: string, request: string): Promise<JoinAnswer> {
  for (let asks = 1; ; asks++) {
    try {
      return (await nc.request(subject, request, { timeout: answerMs })).json<JoinAnswer>();
    } catch (error) {
      if (asks === maxAsks || !(error instanceof NatsError) || error.code !== ErrorCode.Timeout) throw error;
    }
  }
}
