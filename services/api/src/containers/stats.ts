// `docker stats`: asks a container's host for a reading, once or every second, for as long as the client takes them and the container is there.
// A client that reads slowly is not asked for: the host is asked again only when there is room.
import type {} from '@fastify/swagger';
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { DockerIdParams, DockerObject, DockerStatsQuery, type ContainerReading } from '@pouch/contracts';
import type { Container } from '@pouch/domain';
import type { Deps } from '../deps.ts';
import { badField } from '../errors.ts';
import { StreamWriter } from '../events/stream-writer.ts';
import { clientGone } from '../http/gone.ts';
import { requireContainer } from '../http/reads.ts';
import { dockerStats } from './docker-stats.ts';

const intervalMs = 1_000;
const askMs = 5_000;
/** Of a container that runs on a host that does not answer; then the answer is cut, so that nobody takes silence for idleness. */
const maxSilent = 15;

/** Null where it does not run (any more). */
async function ask({ hosts }: Deps, container: Container): Promise<ContainerReading | null> {
  if (container.status !== 'running' && container.status !== 'paused') return null;
  try {
    return await hosts.call(container.hostId, 'container.stats', { containerId: container.id }, { timeoutMs: askMs });
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === 'not-running' || code === 'not-found') return null; // it ended between the look and the question
    throw error;
  }
}

export function statsRoute(app: FastifyInstance, deps: Deps): void {
  const { projection, logger } = deps;
  app.get<{ Params: Static<typeof DockerIdParams>; Querystring: Static<typeof DockerStatsQuery> }>('/containers/:id/stats', {
    schema: { summary: "What a container uses: once, or a line a second", tags: ['Container'], params: DockerIdParams, querystring: DockerStatsQuery, response: { 200: DockerObject } },
  }, async (request, reply) => {
    const { stream = true, 'one-shot': oneShot = false } = request.query;
    if (stream && oneShot) throw badField('one-shot', 'cannot have stream=true and one-shot=true');
    const { state } = requireContainer(projection, request.params.id);
    const first = await ask(deps, state);
    if (!stream) {
      if (oneShot || first === null) return dockerStats(state, first, null);
      await delay(intervalMs, undefined, { signal: clientGone(reply) });
      return dockerStats(state, await ask(deps, state), first);
    }
    reply.hijack();
    const writer = new StreamWriter(reply.raw);
    writer.begin({ ...reply.getHeaders(), 'content-type': 'application/json' });
    try {
      await follow(deps, state, first, writer);
    } catch (error) {
      if (writer.signal.aborted) return;
      logger.warn({ containerId: state.id, err: error }, 'stats broke off');
      reply.raw.destroy();
    }
    return reply;
  });
}

/** Ends with the container's removal; one that has stopped is told with nothing, since it may be started again. */
async function follow(deps: Deps, { id }: Container, first: ContainerReading | null, writer: StreamWriter): Promise<void> {
  let before: ContainerReading | null = null;
  let reading = first;
  let silent = 0;
  for (let container = current(deps, id); container !== null; container = current(deps, id)) {
    if (silent === 0) {
      const outcome = await writer.write(`${JSON.stringify(dockerStats(container, reading, reading === null ? null : before))}\n`);
      if (outcome === 'gone') return;
      if (outcome === 'stalled') throw new Error('the client does not read');
      before = reading;
    }
    await delay(intervalMs, undefined, { signal: writer.signal });
    try {
      reading = await ask(deps, current(deps, id) ?? container);
      silent = 0;
    } catch (error) {
      silent += 1;
      if (silent >= maxSilent) throw error;
    }
  }
  writer.end();
}

function current({ projection }: Deps, id: string): Container | null {
  const resolved = projection.present.resolveContainer(id);
  return resolved.ok && resolved.container.state.id === id && resolved.container.state.status !== 'removed' ? resolved.container.state : null;
}
