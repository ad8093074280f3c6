// POST /containers/{id}/wait: the head of the answer goes out at once, the body when the container has come to the condition.
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { DockerIdParams, DockerWaited, DockerWaitQuery } from '@pouch/contracts';
import type { Container } from '@pouch/domain';
import { messageOf } from '@pouch/process';
import type { Deps } from '../deps.ts';
import { badField } from '../errors.ts';
import { clientGone, ClientGone } from '../http/gone.ts';
import { requireContainer } from '../http/reads.ts';
import type { Projection } from '../projection/projection.ts';

/** Messages of one container that are looked at in one go. */
const pageRows = 200;

type Look = (container: Container | null) => Waited | undefined;
type Waited = Static<typeof DockerWaited>;

export function waitRoute(app: FastifyInstance, { projection, logger }: Deps): void {
  app.post<{ Params: Static<typeof DockerIdParams>; Querystring: Static<typeof DockerWaitQuery> }>('/containers/:id/wait', {
    schema: { summary: 'Wait for a container', tags: ['Container'], params: DockerIdParams, querystring: DockerWaitQuery, response: { 200: DockerWaited } },
  }, async (request, reply) => {
    const { state, seq } = requireContainer(projection, request.params.id);
    const look = lookFor(request.query.condition ?? '', projection, { id: state.id, seq });
    const signal = clientGone(reply);
    reply.hijack();
    const { raw } = reply;
    for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) raw.setHeader(name, value);
    raw.writeHead(200, { 'content-type': 'application/json' });
    raw.flushHeaders(); // the CLI starts the container when it has seen the head
    let body: Waited;
    try {
      body = await projection.waitForContainer(state.id, look, { timeoutMs: null, signal });
    } catch (error) {
      if (error instanceof ClientGone) return;
      logger.warn({ containerId: state.id, err: error }, 'a wait ended without its outcome');
      body = { StatusCode: 125, Error: { Message: messageOf(error) } };
    }
    raw.end(`${JSON.stringify(body)}\n`);
  });
}

/** Which state, or for the next exit which event, ends the wait. */
function lookFor(condition: string, projection: Projection, from: { readonly id: string; readonly seq: number }): Look {
  switch (condition) {
    case '':
    case 'not-running':
      return (container) => (container === null || isEnded(container) ? answer(container) : undefined);
    case 'next-exit':
      return nextExit(projection, from);
    case 'removed':
      return (container) => (container === null || container.status === 'removed' ? { StatusCode: answer(container).StatusCode } : undefined); // an error of the run is not one of the removal
    default:
      throw badField('condition', `invalid condition: ${JSON.stringify(condition)}; conditions are not-running, next-exit and removed`);
  }
}

const isEnded = (container: Container): boolean => container.status === 'created' || container.status === 'exited' || container.status === 'removed';

/**
 * Reads the events since the wait began; a start that failed is no exit, as in Docker. A run that
 * began and ended, or began anew, between two looks is not missed.
 */
function nextExit(projection: Projection, { id, seq }: { readonly id: string; readonly seq: number }): Look {
  let seen = seq;
  return (container) => {
    for (;;) {
      const rows = projection.history.ofAggregate(id, { afterSeq: seen, limit: pageRows });
      for (const row of rows) {
        seen = row.seq;
        if (!row.types.includes(',ContainerExited,')) continue;
        const { snapshot } = JSON.parse(row.message.toString('utf8')) as { snapshot: Container };
        return answer(snapshot);
      }
      if (rows.length < pageRows) return container === null || container.status === 'removed' ? answer(container) : undefined;
    }
  };
}

function answer(container: Container | null): Waited {
  const exit = container !== null && 'lastExit' in container ? container.lastExit : null;
  if (exit === null) return { StatusCode: 0 };
  return exit.error === null || exit.error === '' ? { StatusCode: exit.exitCode } : { StatusCode: exit.exitCode, Error: { Message: exit.error } };
}
