// The routes of bearer tokens. A token is made here, shown in one answer, and kept as its hash.
import { randomBytes, randomUUID } from 'node:crypto';
import type {} from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { AccessNameParams, Caller, ClusterTokens, TokenBody, TokenMade, tokenPrefix, tokenSubject } from '@pouch/contracts';
import { decideToken, isExpired, type TokenCommand } from '@pouch/domain';
import { execute } from '@pouch/eventlog';
import type { Deps } from '../deps.ts';
import { HttpError, refused } from '../errors.ts';
import { clientGone } from '../http/gone.ts';
import { admittedAs } from './gate.ts';
import { hashOfToken } from './principal.ts';

type TokenDeps = Pick<Deps, 'log' | 'projection' | 'clock'>;
const tags = ['Access'];
const showMs = 30_000;
/** Every request with a token looks for its name; a list is answered whole. */
const maxTokens = 1_000;

export async function tokenRoutes(app: FastifyInstance, deps: TokenDeps): Promise<void> {
  const { projection, clock } = deps;
  app.get('/cluster/whoami', { schema: { summary: 'Who the caller is taken for', tags, response: { 200: Caller } } }, async (request): Promise<Caller> => {
    const { actor, role } = admittedAs(request);
    return { actor, role };
  });

  app.get('/cluster/tokens', { schema: { summary: 'Bearer tokens', tags, response: { 200: ClusterTokens } } }, async (): Promise<ClusterTokens> => ({
    tokens: projection.present.records('token').map(({ state }) => ({ name: state.name, role: state.role, createdAtMs: state.createdAtMs, expiresAtMs: state.expiresAtMs, expired: isExpired(state, clock.now()) })),
  }));

  app.post<{ Body: TokenBody }>('/cluster/tokens', { schema: { summary: 'Make a bearer token; it is shown this once', tags, body: TokenBody, response: { 201: TokenMade } } }, async (request, reply) => {
    const { name, role, expiresInSeconds = null } = request.body;
    if (projection.present.records('token').length >= maxTokens) throw new HttpError(409, `there are ${maxTokens} tokens already; revoke some first`);
    const token = `${tokenPrefix}${name}_${randomBytes(32).toString('hex')}`;
    const expiresAtMs = expiresInSeconds === null ? null : clock.now() + expiresInSeconds * 1_000;
    await append(deps, name, { type: 'CreateToken', name, role, hash: hashOfToken(token), expiresAtMs }, admittedAs(request).actor, clientGone(reply));
    return await reply.status(201).header('cache-control', 'no-store').send({ name, role, expiresAtMs, token } satisfies TokenMade);
  });

  app.delete<{ Params: Static<typeof AccessNameParams> }>('/cluster/tokens/:name', { schema: { summary: 'Revoke a bearer token', tags, params: AccessNameParams } }, async (request, reply) => {
    await append(deps, request.params.name, { type: 'RevokeToken' }, admittedAs(request).actor, clientGone(reply));
    return await reply.status(204).send();
  });
}

async function append({ log, projection, clock }: TokenDeps, name: string, command: TokenCommand, actor: string, signal: AbortSignal): Promise<void> {
  const nowMs = clock.now();
  const outcome = await execute({
    log, kind: 'token', subject: tokenSubject(name), commandId: randomUUID(), meta: { atMs: nowMs, service: 'api', actor, cause: null },
    decide: (state) => decideToken(state, command, nowMs),
  });
  if (!outcome.ok) throw refused(outcome.refusal, outcome.refusal.code === 'not-found' ? `there is no token ${name}` : outcome.refusal.message);
  await projection.waitForSeq(outcome.seq, { timeoutMs: showMs, signal });
}
