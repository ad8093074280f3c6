// Docker's own endpoints of services and tasks: `docker service create|ls|ps|inspect|scale|update|rollback|rm`. There is no swarm behind them, and /info
// does not claim one: the CLI does not ask.
import type {} from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { DockerIdParams, DockerObject, DockerServiceBody, DockerServiceQuery, DockerServicesQuery, DockerServiceUpdateQuery, DockerTasksQuery, type ClusterTask } from '@pouch/contracts';
import type { Service } from '@pouch/domain';
import { commandService } from '../commands/services.ts';
import type { Deps } from '../deps.ts';
import { badField } from '../errors.ts';
import { actorOf } from '../http/actor.ts';
import { labelsMatch, parseFilters } from '../http/filters.ts';
import { clientGone } from '../http/gone.ts';
import { newServiceUid, requireNewService } from './cluster-routes.ts';
import { dockerSpec, readDockerService } from './docker-spec.ts';
import { readServiceSpec } from './service-spec.ts';
import { requireService, requireTask, services, taskIdOf, tasksOf } from './tasks.ts';

type Id = Static<typeof DockerIdParams>;
const tags = ['Service'];

export async function dockerServiceRoutes(app: FastifyInstance, deps: Deps): Promise<void> {
  readRoutes(app, deps);
  const { projection } = deps;
  app.post<{ Body: DockerServiceBody }>('/services/create', { schema: { summary: 'Create a service', tags, body: DockerServiceBody } }, async (request, reply) => {
    const { Name: name = '' } = request.body;
    requireNewService(deps, name);
    const { asked, settings } = readDockerService(request.body, null);
    const { uid } = await commandService(deps, name, { type: 'CreateService', name, uid: newServiceUid(), spec: readServiceSpec(deps, request, asked, settings) }, { actor: actorOf(request), signal: clientGone(reply) });
    return await reply.status(201).send({ ID: uid, Warnings: [] });
  });

  app.post<{ Params: Id; Querystring: Static<typeof DockerServiceUpdateQuery>; Body: DockerServiceBody }>('/services/:id/update', { schema: { summary: 'Update a service', tags, params: DockerIdParams, querystring: DockerServiceUpdateQuery, body: DockerServiceBody } }, async (request, reply) => {
    const { version, rollback = '' } = request.query;
    const { state } = requireService(projection, request.params.id);
    const asking = { actor: actorOf(request), signal: clientGone(reply) };
    if (rollback !== '' && rollback !== 'previous') throw badField('rollback', 'it must be previous');
    if (rollback === 'previous') await commandService(deps, state.name, { type: 'RollBackService', uid: state.uid, version }, asking);
    else {
      if (request.body.Name !== undefined && request.body.Name !== state.name) throw badField('Name', 'a service keeps its name');
      const { asked, settings } = readDockerService(request.body, state);
      const force = (request.body.TaskTemplate?.ForceUpdate ?? 0) > 0;
      await commandService(deps, state.name, { type: 'UpdateService', uid: state.uid, version, spec: readServiceSpec(deps, request, asked, settings, state.spec), force }, asking);
    }
    return { Warnings: [] };
  });

  app.delete<{ Params: Id }>('/services/:id', { schema: { summary: 'Remove a service', tags, params: DockerIdParams } }, async (request, reply) => {
    const { state } = requireService(projection, request.params.id);
    await commandService(deps, state.name, { type: 'RemoveService', uid: state.uid }, { actor: actorOf(request), signal: clientGone(reply) });
    return await reply.status(200).send();
  });
}

function readRoutes(app: FastifyInstance, { projection }: Deps): void {
  const shown = (service: Service, withStatus: boolean): Record<string, unknown> => shownService(service, withStatus ? tasksOf(projection, service) : null);
  app.get<{ Querystring: Static<typeof DockerServicesQuery> }>('/services', { schema: { summary: 'List services', tags, querystring: DockerServicesQuery } }, async (request) => {
    const filters = parseFilters(request.query.filters, ['id', 'name', 'label', 'mode']);
    const begins = (filter: string, value: string): boolean => filters.get(filter)?.some((wanted) => value.startsWith(wanted)) ?? true;
    return services(projection)
      .filter((service) => begins('id', service.uid) && begins('name', service.name) && labelsMatch(service.spec.labels, filters.get('label') ?? []) && (filters.get('mode')?.includes('replicated') ?? true))
      .map((service) => shown(service, request.query.status === true));
  });
  app.get<{ Params: Id; Querystring: Static<typeof DockerServiceQuery> }>('/services/:id', { schema: { summary: 'Inspect a service', tags, params: DockerIdParams, querystring: DockerServiceQuery, response: { 200: DockerObject } } }, async (request) => shown(requireService(projection, request.params.id).state, false));

  app.get<{ Querystring: Static<typeof DockerTasksQuery> }>('/tasks', { schema: { summary: 'List tasks of services', tags, querystring: DockerTasksQuery } }, async (request) => {
    const filters = parseFilters(request.query.filters, ['id', 'name', 'service', 'node', 'label', 'desired-state', '_up-to-date', 'runtime']);
    const has = (filter: string, ...values: readonly string[]): boolean => filters.get(filter)?.some((wanted) => values.includes(wanted)) ?? true;
    return services(projection).filter((service) => has('service', service.uid, service.name) && labelsMatch(service.spec.labels, filters.get('label') ?? [])).flatMap((service) => tasksOf(projection, service)
      .filter((task) => has('node', task.hostId ?? '') && has('desired-state', task.desired) && (filters.get('id')?.some((wanted) => task.id.startsWith(wanted)) ?? true) && (filters.get('name')?.some((wanted) => task.name.startsWith(wanted)) ?? true))
      .filter((task) => !(filters.get('_up-to-date')?.includes('true') ?? false) || (task.generation === service.generation && task.desired === 'running'))
      .map((task) => shownTask(service, task)));
  });
  app.get<{ Params: Id }>('/tasks/:id', { schema: { summary: 'Inspect a task', tags, params: DockerIdParams, response: { 200: DockerObject } } }, async (request) => {
    const { service, task } = requireTask(projection, request.params.id);
    return shownTask(service, task);
  });
}

function shownService(service: Service, tasks: readonly ClusterTask[] | null): Record<string, unknown> {
  const { uid, version, createdAtMs, sinceMs, rollout, previous, spec, name } = service;
  const endpoint = dockerSpec(service).EndpointSpec ?? {};
  return {
    ID: uid, Version: { Index: version }, CreatedAt: new Date(createdAtMs).toISOString(), UpdatedAt: new Date(sinceMs).toISOString(), Spec: dockerSpec(service),
    ...(previous === null ? {} : { PreviousSpec: dockerSpec({ name, spec: previous.spec }) }),
    Endpoint: { Spec: endpoint, Ports: endpoint.Ports ?? [] },
    ...(rollout === null ? {} : { UpdateStatus: { State: rollout.state, StartedAt: new Date(rollout.startedAtMs).toISOString(), ...(rollout.endedAtMs === null ? {} : { CompletedAt: new Date(rollout.endedAtMs).toISOString() }), Message: rollout.message } }),
    ...(tasks === null ? {} : { ServiceStatus: { RunningTasks: tasks.filter(({ state, desired }) => state === 'running' && desired === 'running').length, DesiredTasks: spec.replicas, CompletedTasks: 0 } }),
  };
}

function shownTask(service: Service, task: ClusterTask): Record<string, unknown> {
  const { TaskTemplate: template } = dockerSpec(service);
  const since = new Date(task.sinceMs).toISOString();
  return {
    ID: taskIdOf(task.id), Version: { Index: service.version }, CreatedAt: since, UpdatedAt: since, Name: task.name, Labels: {},
    Spec: { ...template, ContainerSpec: { ...template?.ContainerSpec, Image: task.image } },
    ServiceID: service.uid, Slot: task.slot, ...(task.hostId === null ? {} : { NodeID: task.hostId }),
    Status: { Timestamp: since, State: task.state, Message: task.message, ...(task.state === 'failed' && task.message !== '' ? { Err: task.message } : {}), ContainerStatus: { ContainerID: task.id, PID: 0, ExitCode: task.exitCode ?? 0 }, PortStatus: {} },
    DesiredState: task.desired,
  };
}
