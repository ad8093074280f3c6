// The routes of containers: what they take, whom they ask, which status they answer. Rules are elsewhere.
import type {} from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import {
  DockerCreateBody, DockerCreated, DockerCreateQuery, DockerIdParams, DockerInspectQuery, DockerKillQuery, DockerListQuery, DockerObject, DockerPruned, DockerPruneQuery,
  DockerRemoveQuery, DockerRenameQuery, DockerStartQuery, DockerStopQuery, DockerTop, DockerTopQuery, DockerResizeQuery,
} from '@pouch/contracts';
import type { Action, Container } from '@pouch/domain';
import { createContainer, newContainerId } from '../commands/create.ts';
import { checkedName } from '../commands/names.ts';
import { renameContainer } from '../commands/rename.ts';
import { requestAction } from '../commands/requests.ts';
import { ownVolumesGone } from '../commands/volumes.ts';
import type { Deps } from '../deps.ts';
import { badField, HttpError } from '../errors.ts';
import { askedSecrets } from '../secrets/attach.ts';
import { permittedSpec } from '../access/policy.ts';
import { actorOf } from '../http/actor.ts';
import { clientGone } from '../http/gone.ts';
import { kernelNames } from '../kernels/catalogue.ts';
import { requireContainer } from '../http/reads.ts';
import { findImage, requirePlatform } from './images.ts';
import { probesOf } from './health.ts';
import { inspectContainer } from './inspect.ts';
import { listRows, lostHosts, renderList } from './list.ts';
import { pruneContainers } from './prune.ts';
import { runtimesOf } from './runtimes.ts';
import { readSettings, requireImage } from './settings.ts';
import { signalName } from './signals.ts';
import { sizesOf } from './sizes.ts';
import { statsRoute } from './stats.ts';
import { waitRoute } from './wait.ts';

const tags = ['Container'];
type Id = Static<typeof DockerIdParams>;

export async function containerRoutes(app: FastifyInstance, deps: Deps): Promise<void> {
  createRoute(app, deps);
  readRoutes(app, deps);
  actionRoutes(app, deps);
  upkeepRoutes(app, deps);
  statsRoute(app, deps);
  waitRoute(app, deps);
}

function createRoute(app: FastifyInstance, deps: Deps): void {
  const { projection, config } = deps;
  app.post<{ Body: DockerCreateBody; Querystring: Static<typeof DockerCreateQuery> }>('/containers/create', {
    schema: { summary: 'Create a container', tags, body: DockerCreateBody, querystring: DockerCreateQuery, response: { 201: DockerCreated } },
  }, async (request, reply) => {
    const { body, query } = request;
    const name = query.name === undefined || query.name === '' ? null : checkedName(query.name);
    const image = findImage(projection, requireImage(body));
    if (query.platform !== undefined && query.platform !== '') requirePlatform(image, query.platform);
    const id = newContainerId();
    const { spec, warnings } = readSettings(body, {
      id, image, defaultRuntime: config.defaultRuntime,
      get runtimes() { return runtimesOf(projection); },
      get kernels() { return kernelNames(projection); },
      findContainer: (reference) => {
        const resolved = projection.present.resolveContainer(reference);
        return resolved.ok ? resolved.container.state : null;
      },
    });
    const secrets = askedSecrets(body, spec, projection);
    const permitted = permittedSpec(projection, request, secrets.length === 0 ? spec : { ...spec, secrets });
    await createContainer(deps, id, { name, spec: permitted }, { actor: actorOf(request), signal: clientGone(reply) });
    return await reply.status(201).send({ Id: id, Warnings: warnings });
  });
}

function readRoutes(app: FastifyInstance, deps: Deps): void {
  const { projection, clock, hosts } = deps;
  app.get<{ Querystring: Static<typeof DockerListQuery> }>('/containers/json', { schema: { summary: 'List containers', tags, querystring: DockerListQuery } }, async (request, reply) => {
    const rows = listRows(projection, request.query);
    const sizes = request.query.size === true ? await sizesOf(deps, rows) : null;
    reply.header('content-type', 'application/json');
    return await reply.send(renderList(rows, clock.now(), lostHosts(projection.present.hosts()), (row) => (sizes === null ? null : { SizeRw: sizes.get(row.id)?.writableBytes ?? 0, SizeRootFs: sizes.get(row.id)?.rootBytes ?? 0 })));
  });

  app.get<{ Params: Id; Querystring: Static<typeof DockerInspectQuery> }>('/containers/:id/json', {
    schema: { summary: 'Inspect a container', tags, params: DockerIdParams, querystring: DockerInspectQuery, response: { 200: DockerObject } },
  }, async (request) => {
    const { state } = requireContainer(projection, request.params.id);
    const sizes = request.query.size === true ? await hosts.call(state.hostId, 'container.size', { containerId: state.id }) : null;
    const probes = await probesOf(deps, state);
    return inspectContainer(state, { host: projection.present.host(state.hostId)?.state ?? null, placement: projection.present.placement(state.id)?.state ?? null, execs: projection.present.execsOf(state.id).map((exec) => exec.state), sizes, probes });
  });

  app.get<{ Params: Id; Querystring: Static<typeof DockerTopQuery> }>('/containers/:id/top', {
    schema: { summary: 'Processes of a container', tags, params: DockerIdParams, querystring: DockerTopQuery, response: { 200: DockerTop } },
  }, async (request) => {
    const { state } = requireContainer(projection, request.params.id);
    requireRunning(state);
    const { titles, processes } = await hosts.call(state.hostId, 'container.top', { containerId: state.id, psArgs: request.query.ps_args || '-ef' });
    return { Titles: titles, Processes: processes };
  });
}

/** 409 in Docker's words where a container has no processes to act on. */
function requireRunning(container: Container): void {
  if (container.status === 'restarting') throw new HttpError(409, `Container ${container.id} is restarting, wait until the container is running`);
  if (container.status !== 'running' && container.status !== 'paused') throw new HttpError(409, `container ${container.id} is not running`);
}

function actionRoutes(app: FastifyInstance, deps: Deps): void {
  const { projection } = deps;
  /** A route that asks for one action and answers 204 when it is done. */
  const action = (path: string, summary: string, querystring: typeof DockerStopQuery | typeof DockerStartQuery | typeof DockerKillQuery, make: (query: { t?: number; signal?: string }, container: Container) => Action): void => {
    app.post<{ Params: Id; Querystring: { t?: number; signal?: string } }>(path, { schema: { summary, tags, params: DockerIdParams, querystring } }, async (request, reply) => {
      const stored = requireContainer(projection, request.params.id);
      await requestAction(deps, stored, make(request.query, stored.state), { actor: actorOf(request), signal: clientGone(reply) });
      return await reply.status(204).send();
    });
  };
  const stop = (kind: 'stop' | 'restart') => ({ t, signal }: { t?: number; signal?: string }, { spec }: Container): Action =>
    ({ kind, signal: signal === undefined || signal === '' ? spec.stopSignal : checkedSignal(signal), timeoutSeconds: t ?? spec.stopTimeoutSeconds ?? 10 });
  action('/containers/:id/start', 'Start a container', DockerStartQuery, () => ({ kind: 'start' }));
  action('/containers/:id/stop', 'Stop a container', DockerStopQuery, stop('stop'));
  action('/containers/:id/restart', 'Restart a container', DockerStopQuery, stop('restart'));
  action('/containers/:id/kill', 'Send a signal to a container', DockerKillQuery, ({ signal }) => ({ kind: 'kill', signal: signal === undefined || signal === '' ? 'SIGKILL' : checkedSignal(signal) }));
  action('/containers/:id/pause', 'Pause a container', DockerStartQuery, () => ({ kind: 'pause' }));
  action('/containers/:id/unpause', 'Unpause a container', DockerStartQuery, () => ({ kind: 'unpause' }));

  app.delete<{ Params: Id; Querystring: Static<typeof DockerRemoveQuery> }>('/containers/:id', { schema: { summary: 'Remove a container', tags, params: DockerIdParams, querystring: DockerRemoveQuery } }, async (request, reply) => {
    if (request.query.link === true) throw badField('link', 'links are not there');
    const stored = requireContainer(projection, request.params.id);
    const withAnonymous = request.query.v === true;
    const asking = { actor: actorOf(request), signal: clientGone(reply) };
    await requestAction(deps, stored, { kind: 'remove', force: request.query.force ?? false, ...(withAnonymous ? { volumes: true } : {}) }, asking);
    if (withAnonymous) await ownVolumesGone(deps, stored.state, asking.signal);
    return await reply.status(204).send();
  });
}

function checkedSignal(text: string): string {
  const name = signalName(text);
  if (name === null) throw badField('signal', `invalid signal: ${text.slice(0, 40)}`);
  return name;
}

function upkeepRoutes(app: FastifyInstance, deps: Deps): void {
  const { projection, hosts } = deps;
  app.post<{ Params: Id; Querystring: Static<typeof DockerRenameQuery> }>('/containers/:id/rename', { schema: { summary: 'Rename a container', tags, params: DockerIdParams, querystring: DockerRenameQuery } }, async (request, reply) => {
    const stored = requireContainer(projection, request.params.id);
    await renameContainer(deps, stored, checkedName(request.query.name), { actor: actorOf(request), signal: clientGone(reply) });
    return await reply.status(204).send();
  });

  app.post<{ Params: Id; Querystring: Static<typeof DockerResizeQuery> }>('/containers/:id/resize', { schema: { summary: "Resize a container's terminal", tags, params: DockerIdParams, querystring: DockerResizeQuery } }, async (request, reply) => {
    const { state } = requireContainer(projection, request.params.id);
    requireRunning(state);
    await hosts.call(state.hostId, 'container.resize', { containerId: state.id, rows: request.query.h, columns: request.query.w });
    return await reply.status(200).send();
  });

  app.post<{ Querystring: Static<typeof DockerPruneQuery> }>('/containers/prune', { schema: { summary: 'Remove stopped containers', tags, querystring: DockerPruneQuery, response: { 200: DockerPruned } } }, async (request, reply) =>
    await pruneContainers(deps, request.query.filters, { actor: actorOf(request), signal: clientGone(reply) }));
}
