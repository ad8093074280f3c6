// Containers that are on hosts and that the log does not know, as after a restored backup: listed, adopted, removed. Hosts know them; here their names are claimed.
import type {} from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { HostParams, UnknownContainerParams, UnknownContainers } from '@pouch/contracts';
import { containerId } from '@pouch/domain';
import { claimName } from '../commands/names.ts';
import type { Deps } from '../deps.ts';
import { HttpError } from '../errors.ts';
import { clientGone } from '../http/gone.ts';

type UnknownDeps = Pick<Deps, 'hosts' | 'projection' | 'names' | 'clock' | 'log'>;
type Params = Static<typeof UnknownContainerParams>;
type Unknown = UnknownContainers['containers'][number];

const tags = ['Cluster'];
const showMs = 30_000;
/** One that runs is killed first. */
const removeMs = 120_000;

export async function unknownRoutes(app: FastifyInstance, deps: UnknownDeps): Promise<void> {
  const { hosts, projection, names } = deps;
  app.get<{ Params: Static<typeof HostParams> }>('/cluster/hosts/:id/unknown', { schema: { summary: 'Containers of a host that the log does not know', tags, params: HostParams, response: { 200: UnknownContainers } } }, async (request) => ({ containers: await list(deps, request.params.id) }));

  app.post<{ Params: Params }>('/cluster/hosts/:id/unknown/:container/adopt', { schema: { summary: 'Take such a container into the log, under the name that it had', tags, params: UnknownContainerParams } }, async (request, reply) => {
    const { id } = request.params;
    const { name, ...unknown } = await find(deps, request.params);
    const conflict = (why: string): HttpError => new HttpError(409, `container ${unknown.id.slice(0, 12)} cannot be adopted: ${why}`);
    if (unknown.keepsOut !== null) throw conflict(unknown.keepsOut);
    if (name === null) throw conflict('its name is not known');
    const { revision } = await claimName(deps, name, containerId(unknown.id));
    const { seq } = await hosts.call(id, 'unknown.adopt', { containerId: unknown.id }).catch(async (error: unknown) => {
      // Refused for certain: the name is free again. A claim without its container becomes stale by itself.
      if (['conflict', 'not-found'].includes((error as { code?: string }).code ?? '')) await names.release(name, revision).catch(() => undefined);
      throw error;
    });
    await projection.waitForSeq(seq, { timeoutMs: showMs, signal: clientGone(reply) });
    return await reply.status(204).send();
  });

  app.delete<{ Params: Params }>('/cluster/hosts/:id/unknown/:container', { schema: { summary: 'Remove such a container, also if it runs', tags, params: UnknownContainerParams } }, async (request, reply) => {
    const { id } = await find(deps, request.params);
    await hosts.call(request.params.id, 'unknown.remove', { containerId: id }, { timeoutMs: removeMs });
    return await reply.status(204).send();
  });
}

async function list({ hosts, projection }: UnknownDeps, id: string): Promise<Unknown[]> {
  const host = projection.present.host(id)?.state;
  if (host === undefined || host.state === 'removed') throw new HttpError(404, `No such host: ${id}`);
  return (await hosts.call(id, 'unknown.list', {})).containers;
}

async function find(deps: UnknownDeps, { id, container }: Params): Promise<Unknown> {
  const [found, ...others] = (await list(deps, id)).filter((one) => one.id.startsWith(container));
  if (found === undefined) throw new HttpError(404, `host ${id} has no container ${container} that the log does not know`);
  if (others.length > 0) throw new HttpError(400, `container: ${container} is ambiguous: ${1 + others.length} ids begin so`);
  return found;
}
