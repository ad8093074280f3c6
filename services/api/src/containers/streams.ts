// Bytes of containers: logs and attach. Opens the host's pipe and carries it to the client at the client's pace; keeps nothing.
import type {} from '@fastify/swagger';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import { ConsoleQuery, DockerAttachQuery, DockerIdParams, DockerLogsQuery } from '@pouch/contracts';
import { isMachine, type ContainerSpec } from '@pouch/domain';
import type { Deps } from '../deps.ts';
import { requirePermittedEntry } from '../access/policy.ts';
import { HttpError, notThereYet } from '../errors.ts';
import { bridge } from '../http/bridge.ts';
import { clientGone } from '../http/gone.ts';
import { takeOver, type Hijacked } from '../http/hijack.ts';
import { requireContainer } from '../http/reads.ts';
import { sendPipe } from '../http/send-pipe.ts';
import { minorVersion } from '../http/version.ts';
import { logsAsked } from './log-query.ts';

type Id = Static<typeof DockerIdParams>;
const tags = ['Container'];

/** Output without a terminal has frames; clients of before 1.42 know it by the same name as raw output. */
export function streamType(request: FastifyRequest, tty: boolean): string {
  return tty || minorVersion(request.originalUrl) < 42 ? 'application/vnd.docker.raw-stream' : 'application/vnd.docker.multiplexed-stream';
}

/** Docker's words where nothing is kept. */
export function requireReadableLog({ log }: Pick<ContainerSpec, 'log'>): void {
  if (log.driver === 'none') throw new HttpError(501, 'configured logging driver does not support reading');
}

export async function streamRoutes(app: FastifyInstance, deps: Deps, hijacked: Hijacked): Promise<void> {
  logsRoute(app, deps);
  consoleRoute(app, deps);
  attachRoute(app, deps, hijacked);
  app.get<{ Params: Id }>('/containers/:id/attach/ws', { schema: { summary: 'Attach by WebSocket (not there yet)', tags, params: DockerIdParams } }, () => { throw notThereYet('ContainerAttachWebsocket (GET /containers/{id}/attach/ws)'); });
}

function logsRoute(app: FastifyInstance, { projection, hosts, logger, clock }: Deps): void {
  app.get<{ Params: Id; Querystring: Static<typeof DockerLogsQuery> }>('/containers/:id/logs', { schema: { summary: "A container's output so far, and as it comes", tags, params: DockerIdParams, querystring: DockerLogsQuery } }, async (request, reply) => {
    const asked = logsAsked(request.query, clock.now());
    const { state } = requireContainer(projection, request.params.id);
    requireReadableLog(state.spec);
    const pipe = await hosts.open(state.hostId, 'container.logs', { containerId: state.id, ...asked }, { signal: clientGone(reply) });
    await sendPipe(reply, pipe, streamType(request, state.spec.tty), (error) => logger.warn({ containerId: state.id, err: error }, 'logs broke off'));
  });
}

function consoleRoute(app: FastifyInstance, { projection, hosts, logger }: Deps): void {
  app.get<{ Params: Id; Querystring: Static<typeof ConsoleQuery> }>('/cluster/containers/:id/console', { schema: { summary: "What the machine of a container wrote to its console", tags: ['Cluster'], params: DockerIdParams, querystring: ConsoleQuery, produces: ['text/plain'] } }, async (request, reply) => {
    const { state } = requireContainer(projection, request.params.id);
    if (!isMachine(state.spec)) throw new HttpError(409, `container ${state.name} has no console: with the runtime ${state.spec.runtime} it shares the kernel of its host`);
    const pipe = await hosts.open(state.hostId, 'container.console', { containerId: state.id, follow: request.query.follow === true }, { signal: clientGone(reply) });
    await sendPipe(reply, pipe, 'text/plain; charset=utf-8', (error) => logger.warn({ containerId: state.id, err: error }, 'console output broke off'));
  });
}

function attachRoute(app: FastifyInstance, { projection, hosts, logger }: Deps, hijacked: Hijacked): void {
  app.post<{ Params: Id; Querystring: Static<typeof DockerAttachQuery> }>('/containers/:id/attach', {
    schema: { summary: "Carry a container's streams (connection is taken over)", tags, params: DockerIdParams, querystring: DockerAttachQuery },
  }, async (request, reply) => {
    const { stdin = false, stdout = false, stderr = false, logs = false, stream = false } = request.query;
    const { state } = requireContainer(projection, request.params.id);
    requirePermittedEntry(projection, request, state, { privileged: false });
    if (state.status === 'paused') throw new HttpError(409, `Container ${state.id} is paused, unpause the container before attach.`);
    if (state.status === 'restarting') throw new HttpError(409, `Container ${state.id} is restarting, wait until the container is running`);
    const input = stdin && stream && state.spec.openStdin;
    const pipe = await hosts.open(state.hostId, 'container.attach', { containerId: state.id, stdin: input, stdout, stderr, logs, stream }, {});
    pipe.trailer.catch((error: unknown) => logger.debug({ containerId: state.id, err: error }, 'attach ended'));
    const client = takeOver(request, reply, streamType(request, state.spec.tty), hijacked);
    await bridge(client, pipe, { input });
  });
}
