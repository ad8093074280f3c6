// Hosts as Docker's nodes, to be read: `docker service ps` and `docker node ls` show where replicas are. What operators do with hosts is under /cluster/hosts.
import type {} from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { DockerIdParams, DockerNodesQuery, DockerObject } from '@pouch/contracts';
import { labelsOfHost, type Host } from '@pouch/domain';
import type { Stored } from '@pouch/projections';
import type { Deps } from '../deps.ts';
import { HttpError } from '../errors.ts';
import { labelsMatch, parseFilters } from '../http/filters.ts';
import { engineVersion } from '../system/version.ts';

const tags = ['Node'];

export async function nodeRoutes(app: FastifyInstance, { projection }: Pick<Deps, 'projection'>): Promise<void> {
  app.get<{ Querystring: Static<typeof DockerNodesQuery> }>('/nodes', { schema: { summary: 'List hosts as nodes', tags, querystring: DockerNodesQuery } }, async (request) => {
    const filters = parseFilters(request.query.filters, ['id', 'name', 'label', 'node.label', 'role', 'membership']);
    const begins = (filter: string, value: string): boolean => filters.get(filter)?.some((wanted) => value.startsWith(wanted)) ?? true;
    return projection.present.hosts()
      .filter(({ state }) => begins('id', state.id) && begins('name', state.facts.hostname) && labelsMatch(labelsOfHost(state), [...(filters.get('label') ?? []), ...(filters.get('node.label') ?? [])]) && (filters.get('role')?.includes('worker') ?? true))
      .map(shown);
  });
  app.get<{ Params: Static<typeof DockerIdParams> }>('/nodes/:id', { schema: { summary: 'Inspect a host as a node', tags, params: DockerIdParams, response: { 200: DockerObject } } }, async (request) => {
    const { id } = request.params;
    const host = projection.present.hosts().find(({ state }) => state.id === id || state.facts.hostname === id);
    if (host === undefined) throw new HttpError(404, `node ${id} not found`);
    return shown(host);
  });
}

function shown({ seq, state: host }: Stored<Host>): Record<string, unknown> {
  const { id, facts, joinedAtMs, stateSinceMs, state, cordoned, drain } = host;
  return {
    ID: id, Version: { Index: seq }, CreatedAt: new Date(joinedAtMs).toISOString(), UpdatedAt: new Date(stateSinceMs).toISOString(),
    // The CLI names hosts by it; several may have one hostname.
    Spec: { Name: id, Labels: labelsOfHost(host), Role: 'worker', Availability: drain !== undefined ? 'drain' : cordoned ? 'pause' : 'active' },
    Description: {
      Hostname: facts.hostname, Platform: { Architecture: facts.platform.architecture, OS: facts.platform.os }, Resources: { NanoCPUs: facts.capacity.cpuNanos, MemoryBytes: facts.capacity.memoryBytes },
      Engine: { EngineVersion: engineVersion, Labels: facts.labels },
    },
    Status: { State: state === 'up' ? 'ready' : 'down', Addr: facts.address },
  };
}
