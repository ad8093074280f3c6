// The routes of join tokens. A token is made here, shown in one answer, and kept as the hash of its secret.
import { createHash, randomBytes, randomUUID, X509Certificate } from 'node:crypto';
import type {} from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { AccessNameParams, formatJoinToken, JoinTokenBody, JoinTokenMade, JoinTokens, joinTokenSubject } from '@pouch/contracts';
import { decideJoinToken, hostId, isExpired, type JoinTokenCommand } from '@pouch/domain';
import { execute } from '@pouch/eventlog';
import { makeMemberKey, signMember } from '@pouch/membership';
import { admittedAs } from '../access/gate.ts';
import type { Deps } from '../deps.ts';
import { HttpError, refused } from '../errors.ts';
import { clientGone } from '../http/gone.ts';

type TokenDeps = Pick<Deps, 'log' | 'projection' | 'clock' | 'authority'>;
const tags = ['Cluster'];
const showMs = 30_000;
const maxTokens = 1_000;
const nameBytes = 5;

export async function joinTokenRoutes(app: FastifyInstance, deps: TokenDeps): Promise<void> {
  const { projection, clock, authority } = deps;
  app.get('/cluster/join-tokens', { schema: { summary: 'Tokens by which hosts join', tags, response: { 200: JoinTokens } } }, async (): Promise<JoinTokens> => ({
    tokens: projection.present.records('join').map(({ state }) => ({ name: state.name, host: state.host, usesLeft: state.usesLeft, createdAtMs: state.createdAtMs, expiresAtMs: state.expiresAtMs, expired: isExpired(state, clock.now()) })),
  }));

  app.post<{ Body: JoinTokenBody }>('/cluster/join-tokens', { schema: { summary: 'Make a token by which hosts join; it is shown this once', tags, body: JoinTokenBody, response: { 201: JoinTokenMade } } }, async (request, reply) => {
    if (authority === null) throw new HttpError(409, 'this api has no file of the cluster\'s authority (POUCH_AUTHORITY): ask an api of a machine that founded the cluster');
    if (projection.present.records('join').length >= maxTokens) throw new HttpError(409, `there are ${maxTokens} join tokens already; revoke some first`);
    const { uses = 1, expiresInSeconds = 3_600, host } = request.body;
    const name = randomBytes(nameBytes).toString('hex');
    const secret = randomBytes(32).toString('hex');
    const expiresAtMs = clock.now() + expiresInSeconds * 1_000;
    const { seed, publicKey } = makeMemberKey();
    const jwt = await signMember(authority.keys, { publicKey, role: { kind: 'joiner', token: name }, expiresAtMs });
    const hash = createHash('sha256').update(secret).digest('hex');
    await append(deps, name, { type: 'CreateJoinToken', name, hash, host: host === undefined ? null : hostId(host), uses, expiresAtMs }, admittedAs(request).actor, clientGone(reply));
    const caDigest = createHash('sha256').update(new X509Certificate(authority.certificates.cert).raw).digest('hex');
    return await reply.status(201).header('cache-control', 'no-store').send({ name, expiresAtMs, token: formatJoinToken({ name, secret, caDigest, jwt, seed }) } satisfies JoinTokenMade);
  });

  app.delete<{ Params: Static<typeof AccessNameParams> }>('/cluster/join-tokens/:name', { schema: { summary: 'Revoke a join token', tags, params: AccessNameParams } }, async (request, reply) => {
    await append(deps, request.params.name, { type: 'RevokeJoinToken' }, admittedAs(request).actor, clientGone(reply));
    return await reply.status(204).send();
  });
}

async function append({ log, projection, clock }: TokenDeps, name: string, command: JoinTokenCommand, actor: string, signal: AbortSignal): Promise<void> {
  const nowMs = clock.now();
  const outcome = await execute({
    log, kind: 'join', subject: joinTokenSubject(name), commandId: randomUUID(), meta: { atMs: nowMs, service: 'api', actor, cause: null },
    decide: (state) => decideJoinToken(state, command, nowMs),
  });
  if (!outcome.ok) throw refused(outcome.refusal, outcome.refusal.code === 'not-found' ? `there is no join token ${name}` : outcome.refusal.message);
  await projection.waitForSeq(outcome.seq, { timeoutMs: showMs, signal });
}
