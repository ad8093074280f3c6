// Services under /cluster/services: with all that a container can be asked to be, which Docker's own endpoints have no words for.
import { randomBytes } from 'node:crypto';
import type {} from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { ClusterService, ClusterServiceBody, ClusterServices, ClusterServiceUpdateBody, ClusterServiceVersionBody, DockerIdParams } from '@pouch/contracts';
import { isServiceName } from '@pouch/domain';
import { commandService } from '../commands/services.ts';
import type { Deps } from '../deps.ts';
import { badField, HttpError } from '../errors.ts';
import { actorOf } from '../http/actor.ts';
import { clientGone } from '../http/gone.ts';
import { askedOf, overlaid, readServiceSpec } from './service-spec.ts';
import { requireService, services, shownService } from './tasks.ts';

type Id = Static<typeof DockerIdParams>;
const tags = ['Service'];
const maxServices = 1_000;

export async function clusterServiceRoutes(app: FastifyInstance, deps: Deps): Promise<void> {
  const { projection } = deps;
  app.get('/cluster/services', { schema: { summary: 'List services with their tasks', tags, response: { 200: ClusterServices } } }, async (): Promise<ClusterServices> => ({ services: services(projection).map((service) => shownService(projection, service)) }));

  app.get<{ Params: Id }>('/cluster/services/:id', { schema: { summary: 'A service with its tasks', tags, params: DockerIdParams, response: { 200: ClusterService } } }, async (request) => shownService(projection, requireService(projection, request.params.id).state));

  app.post<{ Body: ClusterServiceBody }>('/cluster/services', { schema: { summary: 'Create a service', tags, body: ClusterServiceBody, response: { 201: ClusterService } } }, async (request, reply) => {
    const { name, template, runtimes = [], ...settings } = request.body;
    requireNewService(deps, name);
    const spec = readServiceSpec(deps, request, { template, runtimes }, settings);
    const service = await commandService(deps, name, { type: 'CreateService', name, uid: newServiceUid(), spec }, { actor: actorOf(request), signal: clientGone(reply) });
    return await reply.status(201).send(shownService(projection, service));
  });

  app.post<{ Params: Id; Body: ClusterServiceUpdateBody }>('/cluster/services/:id/update', { schema: { summary: 'Change a service; replicas are exchanged where what they are made from differs', tags, params: DockerIdParams, body: ClusterServiceUpdateBody, response: { 200: ClusterService } } }, async (request, reply) => {
    const { version = null, force = false, template = {}, runtimes, ...settings } = request.body;
    const { state } = requireService(projection, request.params.id);
    const before = askedOf(state.spec);
    // The runtime of the template is one for all: it ends the turns.
    const runtime = (template as { HostConfig?: { Runtime?: string } }).HostConfig?.Runtime;
    const asked = { template: overlaid(before.template, template), runtimes: runtimes ?? (runtime === undefined ? before.runtimes : []) };
    const spec = readServiceSpec(deps, request, asked, settings, state.spec);
    const service = await commandService(deps, state.name, { type: 'UpdateService', uid: state.uid, version: version ?? state.version, spec, force }, { actor: actorOf(request), signal: clientGone(reply) });
    return shownService(projection, service);
  });

  app.post<{ Params: Id; Body: ClusterServiceVersionBody }>('/cluster/services/:id/rollback', { schema: { summary: 'Back to what the last update replaced', tags, params: DockerIdParams, body: ClusterServiceVersionBody, response: { 200: ClusterService } } }, async (request, reply) => {
    const { state } = requireService(projection, request.params.id);
    const service = await commandService(deps, state.name, { type: 'RollBackService', uid: state.uid, version: request.body.version ?? null }, { actor: actorOf(request), signal: clientGone(reply) });
    return shownService(projection, service);
  });

  app.delete<{ Params: Id }>('/cluster/services/:id', { schema: { summary: 'Remove a service; its replicas end after the answer', tags, params: DockerIdParams } }, async (request, reply) => {
    const { state } = requireService(projection, request.params.id);
    await commandService(deps, state.name, { type: 'RemoveService', uid: state.uid }, { actor: actorOf(request), signal: clientGone(reply) });
    return await reply.status(204).send();
  });
}

/** 25 of a-z and 0-9, as Docker's. */
export function newServiceUid(): string {
  return [...randomBytes(25)].map((byte) => '0123456789abcdefghijklmnopqrstuvwxyz'[byte % 36]).join('');
}

export function requireNewService({ projection }: Pick<Deps, 'projection'>, name: string): void {
  if (!isServiceName(name)) throw badField('name', `${JSON.stringify(name.slice(0, 80))} is not a service's name: letters, digits, - and _ are possible, a letter or digit at both ends, at most 63`);
  if (services(projection).length >= maxServices) throw new HttpError(409, `there are ${maxServices} services already; remove some first`);
}
