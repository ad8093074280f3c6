// GET /networks and /networks/{id}: the three networks that every host has, as `docker network ls` and `inspect` ask for them. Each host has a bridge of its own;
// they are told as one, since a container asks for it by one name.
import { createHash } from 'node:crypto';
import type {} from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import { Type, type Static } from 'typebox';
import { DockerIdParams, DockerNetwork, DockerNetworkQuery, DockerNetworksQuery, type DockerEndpoint } from '@pouch/contracts';
import type { Deps } from '../deps.ts';
import { badField, HttpError } from '../errors.ts';
import { labelsMatch, parseFilters, truth } from '../http/filters.ts';
import type { Projection } from '../projection/projection.ts';

const tags = ['Network'];

interface Network {
  readonly name: 'bridge' | 'host' | 'none';
  readonly driver: string;
  readonly options: Readonly<Record<string, string>>;
}

const networks: readonly Network[] = [
  { name: 'bridge', driver: 'bridge', options: { 'com.docker.network.bridge.default_bridge': 'true' } },
  { name: 'host', driver: 'host', options: {} },
  { name: 'none', driver: 'null', options: {} },
];

/** The same at every api. */
const idOf = (name: string): string => createHash('sha256').update(`network ${name}`).digest('hex');

export async function networkRoutes(app: FastifyInstance, { projection }: Pick<Deps, 'projection'>): Promise<void> {
  app.get<{ Querystring: Static<typeof DockerNetworksQuery> }>('/networks', { schema: { summary: 'List networks', tags, querystring: DockerNetworksQuery, response: { 200: Type.Array(DockerNetwork) } } }, async (request) =>
    matching(request.query.filters).map((network) => shown(network, {})));

  app.get<{ Params: Static<typeof DockerIdParams>; Querystring: Static<typeof DockerNetworkQuery> }>('/networks/:id', { schema: { summary: 'Inspect a network, with the containers on it that run', tags, params: DockerIdParams, querystring: DockerNetworkQuery, response: { 200: DockerNetwork } } }, async (request) => {
    const { id } = request.params;
    const { scope = '' } = request.query;
    if (!['', 'local'].includes(scope)) throw new HttpError(404, `network ${id} not found in scope ${scope}: all networks are local`);
    const network = networks.find(({ name }) => name === id) ?? networks.find(({ name }) => /^[0-9a-f]{4,64}$/.test(id) && idOf(name).startsWith(id));
    if (network === undefined) throw new HttpError(404, `network ${id} not found`);
    return shown(network, endpointsOf(projection, network));
  });
}

function matching(filterText: string | undefined): readonly Network[] {
  const filters = parseFilters(filterText, ['dangling', 'driver', 'id', 'label', 'name', 'scope', 'type']);
  const any = (name: string, test: (value: string) => boolean): boolean => filters.get(name) === undefined || filters.get(name)?.length === 0 || filters.get(name)?.some(test) === true;
  for (const type of filters.get('type') ?? []) if (type !== 'builtin' && type !== 'custom') throw badField('filters.type', `invalid filter 'type=${type.slice(0, 40)}': it is builtin or custom`);
  // As Docker: its own networks are never dangling.
  return networks.filter(({ name, driver }) => any('driver', (value) => value === driver) && any('id', (value) => idOf(name).startsWith(value)) && any('name', (value) => name.includes(value))
    && any('scope', (value) => value === 'local') && any('type', (value) => value === 'builtin') && any('dangling', (value) => !truth('dangling', value)) && labelsMatch({}, filters.get('label') ?? []));
}

function endpointsOf({ present }: Projection, { name }: Network): Record<string, DockerEndpoint> {
  const running = present.containers({ statuses: ['running', 'paused'] }).map(({ state }) => state).filter(({ spec }) => spec.network.mode === name);
  return Object.fromEntries(running.map((container) => {
    const network = container.status === 'running' || container.status === 'paused' ? container.run.network : null;
    const address = network?.ipAddress ?? null;
    return [container.id, { Name: container.name, EndpointID: '', MacAddress: network?.macAddress ?? '', IPv4Address: address === null ? '' : `${address}/${network?.prefixLength ?? 0}`, IPv6Address: '' }];
  }));
}

function shown({ name, driver, options }: Network, containers: DockerNetwork['Containers']): DockerNetwork {
  return {
    Name: name, Id: idOf(name), Created: '0001-01-01T00:00:00Z', Scope: 'local', Driver: driver, EnableIPv6: false, IPAM: { Driver: 'default', Options: null, Config: [] },
    Internal: false, Attachable: false, Ingress: false, ConfigFrom: { Network: '' }, ConfigOnly: false, Containers: containers, Options: { ...options }, Labels: {},
  };
}
