// Everything under /cluster/: the hosts, the health of the parts, the log as events, the past, and the upkeep of the projection.
import type {} from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import { Type, type Static } from 'typebox';
import {
  AtQuery, ClusterContainers, ClusterContainerState, ClusterHealth, ClusterHosts, ContainerHistory, HistoryQuery, projectionSeqHeader, VerifyReport,
  type ClusterHost, type RebuildProgress, type SchedulerStatus,
} from '@pouch/contracts';
import { labelsOfHost } from '@pouch/domain';
import { messageOf } from '@pouch/process';
import { HttpError, noSuchContainer } from '../errors.ts';
import { StreamWriter } from '../events/stream-writer.ts';
import type { Projection } from '../projection/projection.ts';
import type { ClusterDeps } from './deps.ts';
import { clusterEvent } from './event.ts';
import { clusterEventsRoute } from './events-route.ts';
import { instant, seqAtInstant } from './instant.ts';
import { containerAt, containersAt, summaryOf } from './past.ts';
import { schedulerStatus } from './scheduler-status.ts';
import { verify } from './verify.ts';

/** Verifications read the whole log: one at a time. */
const maxVerifications = 1;
/** Containers without a host that health names. */
const maxTold = 10;

const IdParams = Type.Object({ id: Type.String({ minLength: 1, maxLength: 256 }) });
type IdParams = Static<typeof IdParams>;

export async function clusterRoutes(app: FastifyInstance, deps: ClusterDeps): Promise<void> {
  hostsAndHealth(app, deps);
  clusterEventsRoute(app, deps);
  pastRoutes(app, deps);
  upkeepRoutes(app, deps);
}

function hostsAndHealth(app: FastifyInstance, { projection, nc }: ClusterDeps): void {
  app.get('/cluster/hosts', { schema: { summary: 'Hosts of the cluster', tags: ['Cluster'], response: { 200: ClusterHosts } } }, async (_request, reply): Promise<ClusterHosts> => {
    const status = await schedulerStatus(nc);
    void reply.header(projectionSeqHeader, projection.seq);
    return { hosts: hostsOf(projection, status) };
  });

  app.get('/cluster/health', { schema: { summary: 'Health of the log, the projection, the scheduler and the hosts', tags: ['Cluster'], response: { 200: ClusterHealth } } }, async (_request, reply): Promise<ClusterHealth> => {
    const status = await schedulerStatus(nc);
    void reply.header(projectionSeqHeader, projection.seq);
    const health = projection.health();
    const counts = projection.present.counts();
    const total = Object.values(counts.containers).reduce((sum, count) => sum + count, 0);
    const available = health.state === 'following' || health.state === 'catching-up';
    const problems = [
      ...(health.state === 'following' ? [] : [`the projection is ${health.state}${health.error === null ? '' : `: ${health.error}`}`]),
      ...(status === null ? ['no scheduler answers: new containers are not placed'] : []),
      ...(status?.waiting ?? []).slice(0, maxTold).map(({ name, reason }) => `container ${name} waits for a host that can take it: ${reason}`),
      ...(counts.hosts.lost > 0 ? [`${counts.hosts.lost} hosts are lost`] : []),
      ...(counts.hosts.up === 0 ? ['no host is up'] : []),
    ];
    return {
      status: problems.length === 0 ? 'ok' : 'degraded',
      problems,
      log: { available, seq: health.logSeq, error: available ? null : health.error },
      projection: health,
      scheduler: status === null ? null : { leader: status.leader, epoch: status.epoch, sinceMs: status.sinceMs },
      hosts: { up: counts.hosts.up, lost: counts.hosts.lost },
      containers: { total, running: counts.containers.running },
    };
  });
}

function hostsOf(projection: Projection, status: SchedulerStatus | null): ClusterHost[] {
  const counts = new Map<string, { total: number; running: number }>();
  for (const { hostId, status: containerStatus, count } of projection.present.containerCountsByHost()) {
    const before = counts.get(hostId) ?? { total: 0, running: 0 };
    counts.set(hostId, { total: before.total + count, running: before.running + (containerStatus === 'running' ? count : 0) });
  }
  const beats = new Map(status?.hosts.map((host) => [host.hostId, host]));
  return projection.present.hosts().map(({ state: host }) => ({
    id: host.id, state: host.state, stateSinceMs: host.stateSinceMs, joinedAtMs: host.joinedAtMs, cordoned: host.cordoned, labels: { ...labelsOfHost(host) }, drain: host.drain ?? null, facts: host.facts,
    reserved: beats.get(host.id)?.reserved ?? null,
    containers: counts.get(host.id) ?? { total: 0, running: 0 }, beat: beats.get(host.id)?.beat ?? null, lastBeatAtMs: beats.get(host.id)?.lastBeatAtMs ?? null,
  }));
}

function pastRoutes(app: FastifyInstance, { projection, clock }: ClusterDeps): void {
  app.get<{ Querystring: AtQuery }>('/cluster/containers', { schema: { querystring: AtQuery, summary: 'Containers, now or as of an instant', tags: ['Cluster'], response: { 200: ClusterContainers } } }, async (request): Promise<ClusterContainers> => {
    const { atMs, seq } = asked(request.query.at);
    const past = request.query.at === undefined ? projection.present.containers() : await containersAt(projection, seq);
    return { atMs, seq, containers: past.map(summaryOf) };
  });

  app.get<{ Querystring: AtQuery; Params: IdParams }>('/cluster/containers/:id', { schema: { params: IdParams, querystring: AtQuery, summary: 'A container whole, now or as of an instant', tags: ['Cluster'], response: { 200: ClusterContainerState } } }, async (request): Promise<ClusterContainerState> => {
    const { atMs, seq } = asked(request.query.at);
    const past = await containerAt(projection, request.params.id, seq);
    return { atMs, seq, storedAtMs: past.storedAtMs, summary: summaryOf(past), state: past.state };
  });

  app.get<{ Querystring: HistoryQuery; Params: IdParams }>('/cluster/containers/:id/history', { schema: { params: IdParams, querystring: HistoryQuery, summary: "A container's messages, also after its end", tags: ['Cluster'], response: { 200: ContainerHistory } } }, async (request): Promise<ContainerHistory> => {
    const { since, until, afterSeq = 0, limit = 1_000 } = request.query;
    const nowMs = clock.now();
    const id = idOf(request.params.id);
    const rows = projection.history.ofAggregate(id, {
      afterSeq, limit: limit + 1,
      ...(since === undefined ? {} : { sinceMs: instant('since', since, nowMs) }),
      ...(until === undefined ? {} : { untilMs: instant('until', until, nowMs) }),
    });
    const page = rows.slice(0, limit);
    return { id, events: page.map(clusterEvent), nextSeq: rows.length > limit ? (page.at(-1)?.seq ?? null) : null };
  });

  function asked(at: string | undefined): { atMs: number; seq: number } {
    const nowMs = clock.now();
    if (at === undefined) return { atMs: nowMs, seq: projection.seq };
    const atMs = Math.min(instant('at', at, nowMs), nowMs);
    return { atMs, seq: seqAtInstant(projection, atMs) };
  }

  /** What is there goes before what is gone; of that the history still knows ids and their beginnings. */
  function idOf(reference: string): string {
    const resolved = projection.present.resolveContainer(reference);
    if (resolved.ok) return resolved.container.state.id;
    if (resolved.code === 'ambiguous') throw new HttpError(400, resolved.message);
    const known = /^[0-9a-f]{1,64}$/.test(reference) ? projection.history.containerIds(reference, 2) : [];
    if (known.length > 1) throw new HttpError(400, `Multiple IDs found with provided prefix: ${reference}`);
    if (known[0] === undefined) throw noSuchContainer(reference);
    return known[0];
  }
}

function upkeepRoutes(app: FastifyInstance, { projection, log, logger }: ClusterDeps): void {
  let verifications = 0;
  app.get('/cluster/verify', { schema: { summary: 'Fold every aggregate again and compare with snapshots and projection', tags: ['Cluster'], response: { 200: VerifyReport } } }, async (request): Promise<VerifyReport> => {
    if (verifications >= maxVerifications) throw new HttpError(409, 'a verification is under way already');
    verifications += 1;
    try {
      return await verify({ log, projection, signal: request.signal });
    } finally {
      verifications -= 1;
    }
  });

  app.post('/cluster/rebuild', { schema: { summary: 'Build the projection again; progress as JSON lines', tags: ['Cluster'], produces: ['application/x-ndjson'] } }, async (_request, reply) => {
    const steps = projection.rebuild();
    // The first step comes before the head, so that a refusal is an answer of its own.
    const first = await steps.next();
    reply.hijack();
    const writer = new StreamWriter(reply.raw);
    writer.begin({ ...reply.getHeaders(), 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
    let last: RebuildProgress | null = null;
    try {
      for (let step = first; step.done !== true; step = await steps.next()) {
        last = step.value;
        if ((await writer.write(`${JSON.stringify(step.value)}\n`)) !== 'written') break;
      }
    } catch (error) {
      logger.error({ error: messageOf(error) }, 'rebuild failed');
      await writer.write(`${JSON.stringify({ ...(last ?? { seq: 0, targetSeq: 0, messages: 0, elapsedMs: 0, messagesPerSecond: 0 }), state: 'failed', error: messageOf(error) })}\n`);
    } finally {
      await steps.return(undefined);
      writer.end();
    }
  });
}
