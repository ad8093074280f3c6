// What operators do with hosts: labels, cordon, drain with its progress, removal. Each is a decision of the log; the scheduler moves what is to be moved.
import { randomUUID } from 'node:crypto';
import type {} from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { HostLabels, HostLabelsBody, HostParams, HostRemoveQuery, hostSubject, memberSubject, type DrainProgress } from '@pouch/contracts';
import { decideHost, decideMember, explainStay, hostId, labelsOfHost, type HostCommand } from '@pouch/domain';
import { execute } from '@pouch/eventlog';
import type { Deps } from '../deps.ts';
import { HttpError, refused } from '../errors.ts';
import { StreamWriter } from '../events/stream-writer.ts';
import { actorOf } from '../http/actor.ts';
import { clientGone } from '../http/gone.ts';
import { schedulerStatus } from './scheduler-status.ts';

type HostDeps = Pick<Deps, 'log' | 'projection' | 'clock' | 'nc' | 'logger' | 'applyRevocations'>;
type Params = Static<typeof HostParams>;
interface Asking {
  readonly actor: string;
  readonly signal: AbortSignal;
}

const tags = ['Cluster'];
const showMs = 30_000;
/** Progress is looked at when the log has moved on, and this often where it has not. */
const lookMs = 1_000;

export async function hostRoutes(app: FastifyInstance, deps: HostDeps): Promise<void> {
  const { projection } = deps;
  app.post<{ Params: Params; Body: HostLabelsBody }>('/cluster/hosts/:id/labels', { schema: { summary: "Change a host's labels", tags, params: HostParams, body: HostLabelsBody, response: { 200: HostLabels } } }, async (request, reply): Promise<HostLabels> => {
    const { set = {}, remove = [] } = request.body;
    await tell(deps, request.params.id, { type: 'LabelHost', labels: { ...Object.fromEntries(remove.map((name) => [name, null])), ...set } }, { actor: actorOf(request), signal: clientGone(reply) });
    const host = projection.present.host(request.params.id)?.state;
    return { labels: host === undefined ? {} : { ...labelsOfHost(host) } };
  });

  for (const [word, type, summary] of [['cordon', 'CordonHost', 'Let a host take no new containers'], ['uncordon', 'UncordonHost', 'Let a host take containers again; ends a drain']] as const) {
    app.post<{ Params: Params }>(`/cluster/hosts/:id/${word}`, { schema: { summary, tags, params: HostParams } }, async (request, reply) => {
      await tell(deps, request.params.id, { type }, { actor: actorOf(request), signal: clientGone(reply) });
      return await reply.status(204).send();
    });
  }

  app.post<{ Params: Params }>('/cluster/hosts/:id/drain', { schema: { summary: 'Move away what can be moved; progress as JSON lines. It goes on when the client goes', tags, params: HostParams, produces: ['application/x-ndjson'] } }, async (request, reply) => {
    const signal = clientGone(reply);
    const { id } = request.params;
    const before = movingOf(deps, id, new Map());
    // What is refused is an answer of its own, before the head of a stream.
    await tell(deps, id, { type: 'DrainHost' }, { actor: actorOf(request), signal });
    reply.hijack();
    const writer = new StreamWriter(reply.raw);
    writer.begin({ ...reply.getHeaders(), 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
    try {
      for await (const progress of drainProgress(deps, id, before.total, signal)) if ((await writer.write(`${JSON.stringify(progress)}\n`)) !== 'written') break;
    } catch (error) {
      if (!signal.aborted) deps.logger.warn({ err: error, hostId: id }, 'the progress of a drain can be told no more');
    } finally {
      writer.end();
    }
  });

  app.delete<{ Params: Params; Querystring: Static<typeof HostRemoveQuery> }>('/cluster/hosts/:id', { schema: { summary: 'Remove a lost host for good; by force with the containers that are on it', tags, params: HostParams, querystring: HostRemoveQuery } }, async (request, reply) => {
    const { id } = request.params;
    const containers = projection.present.containerCountsByHost().filter((one) => one.hostId === id && one.status !== 'removed').reduce((sum, { count }) => sum + count, 0);
    await tell(deps, id, { type: 'RemoveHost', containers, force: request.query.force ?? false }, { actor: actorOf(request), signal: clientGone(reply) });
    await revoke(deps, id, { actor: actorOf(request), signal: clientGone(reply) });
    return await reply.status(204).send();
  });
}

async function tell({ log, projection, clock }: HostDeps, id: string, command: HostCommand, { actor, signal }: Asking): Promise<void> {
  const nowMs = clock.now();
  const outcome = await execute({
    log, kind: 'host', subject: hostSubject(hostId(id)), commandId: randomUUID(), meta: { atMs: nowMs, service: 'api', actor, cause: null },
    decide: (state) => decideHost(state, command, nowMs),
  });
  if (!outcome.ok) throw outcome.refusal.code === 'not-found' ? new HttpError(404, `No such host: ${id}`) : refused(outcome.refusal);
  await projection.waitForSeq(outcome.seq, { timeoutMs: showMs, signal });
}

/** The host's credentials are void from now on; one that founded the cluster has none of the log's. */
async function revoke({ log, projection, clock, applyRevocations }: HostDeps, id: string, { actor, signal }: Asking): Promise<void> {
  const nowMs = clock.now();
  const outcome = await execute({
    log, kind: 'member', subject: memberSubject(hostId(id)), commandId: randomUUID(), meta: { atMs: nowMs, service: 'api', actor, cause: null },
    decide: (state) => decideMember(state, { type: 'RevokeMember' }, nowMs),
  });
  if (!outcome.ok) throw refused(outcome.refusal);
  await projection.waitForSeq(outcome.seq, { timeoutMs: showMs, signal });
  await applyRevocations();
}

/** What a drain has to do with on its host now. `waiting`: reasons of those that no host can take, by id. */
function movingOf({ projection }: HostDeps, id: string, waiting: ReadonlyMap<string, string>): Pick<DrainProgress, 'moving' | 'left'> & { readonly total: number } {
  const moving: DrainProgress['moving'] = [];
  const left: DrainProgress['left'] = [];
  let waits = 0;
  for (const { state } of projection.present.containers({ hostId: id })) {
    const shown = { id: state.id, name: state.replaced?.name ?? state.name };
    // Replicas are moved by their service, one after the other.
    if (state.replaced !== undefined || state.spec.service !== undefined) moving.push(shown);
    else {
      const stays = explainStay(state);
      if (stays === null) waits += 1;
      left.push({ ...shown, reason: stays ?? waiting.get(state.id) ?? 'it is about to be moved' });
    }
  }
  return { moving, left, total: moving.length + waits };
}

/** One each time that it differs from the one before, until the scheduler has told that nothing is left to do. */
async function* drainProgress(deps: HostDeps, id: string, total: number, signal: AbortSignal): AsyncGenerator<DrainProgress> {
  const { projection, nc } = deps;
  let told = '';
  while (!signal.aborted) {
    const { seq } = projection;
    const host = projection.present.host(id)?.state;
    const state = host?.drain === undefined ? 'ended' : host.drain.done ? 'drained' : 'draining';
    const status = await schedulerStatus(nc);
    const { moving, left, total: open } = movingOf(deps, id, new Map(status?.waiting?.map(({ containerId, reason }) => [containerId, reason])));
    // Once it is drained, those that stand there still have others in their place, and are about to go.
    const moved = Math.max(0, total - (state === 'drained' ? open - moving.length : open));
    const progress: DrainProgress = { state, moved, moving, left };
    const text = JSON.stringify(progress);
    if (text !== told) yield progress;
    told = text;
    if (state !== 'draining') return;
    await projection.waitForSeq(seq + 1, { timeoutMs: lookMs, signal }).catch((error: unknown) => { if (signal.aborted) throw error; });
  }
}
