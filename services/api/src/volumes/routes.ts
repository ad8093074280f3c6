// The routes of volumes, Docker's own (`docker volume create|ls|inspect|rm|prune`). One driver, local: a volume is a directory of the host that first used it.
import { randomBytes } from 'node:crypto';
import type {} from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { DockerVolume, DockerVolumeBody, DockerVolumeParams, DockerVolumePruneQuery, DockerVolumeRemoveQuery, DockerVolumes, DockerVolumesPruned, DockerVolumesQuery } from '@pouch/contracts';
import { anonymousLabel, isVolumeName, volumeId, type Volume } from '@pouch/domain';
import { commandVolume, goneUsers } from '../commands/volumes.ts';
import { requireLocal, requireVolumeName } from '../containers/settings/volumes.ts';
import type { Deps } from '../deps.ts';
import { badField, HttpError, requireSpecSize } from '../errors.ts';
import { actorOf } from '../http/actor.ts';
import { labelsMatch, parseFilters, truth } from '../http/filters.ts';
import { clientGone } from '../http/gone.ts';
import { pruneVolumes } from './prune.ts';
import { shownVolume } from './shown.ts';

const tags = ['Volume'];
type Params = Static<typeof DockerVolumeParams>;

const newDataId = (): string => randomBytes(16).toString('hex');

export async function volumeRoutes(app: FastifyInstance, deps: Deps): Promise<void> {
  const { projection } = deps;
  const find = (name: string): Volume | null => (isVolumeName(name) ? (projection.present.record('volume', volumeId(name))?.state ?? null) : null);
  const isDangling = (volume: Volume): boolean => goneUsers(projection, volume).length === volume.users.length;

  app.get<{ Querystring: Static<typeof DockerVolumesQuery> }>('/volumes', { schema: { summary: 'List volumes', tags, querystring: DockerVolumesQuery, response: { 200: DockerVolumes } } }, async (request) => {
    const filters = parseFilters(request.query.filters, ['dangling', 'driver', 'label', 'name']);
    const dangling = (filters.get('dangling') ?? []).map((value) => truth('dangling', value));
    const drivers = filters.get('driver') ?? [];
    const names = filters.get('name') ?? [];
    const wanted = projection.present.records('volume').map(({ state }) => state).filter((volume) =>
      (drivers.length === 0 || drivers.includes('local')) && (names.length === 0 || names.some((name) => volume.name.includes(name))) && labelsMatch(volume.labels, filters.get('label') ?? [])
      && dangling.every((value) => value === isDangling(volume)));
    return { Volumes: wanted.map((volume) => shownVolume(volume, projection)), Warnings: [] };
  });

  app.post<{ Body: DockerVolumeBody }>('/volumes/create', { schema: { summary: 'Create a volume; one that is there already is answered as it is', tags, body: DockerVolumeBody, response: { 201: DockerVolume } } }, async (request, reply) => {
    const { Name: given = '', Driver: driver, DriverOpts: options, Labels: labels = {}, ClusterVolumeSpec: cluster } = request.body;
    if (cluster !== undefined) throw badField('ClusterVolumeSpec', 'there are no cluster volumes');
    requireLocal(driver, options, 'Driver', 'DriverOpts');
    const name = given === '' ? randomBytes(32).toString('hex') : requireVolumeName(given, 'Name');
    requireSpecSize('Labels', labels);
    const asked = given === '' ? { ...labels, [anonymousLabel]: '' } : labels;
    const made = await commandVolume(deps, name, { type: 'CreateVolume', name, labels: asked, dataId: newDataId() }, { actor: actorOf(request), signal: clientGone(reply) });
    if (made === null) throw new TypeError(`volume ${name}: creating it led to no state`);
    return await reply.status(201).send(shownVolume(made, projection));
  });

  app.get<{ Params: Params }>('/volumes/:name', { schema: { summary: 'Inspect a volume', tags, params: DockerVolumeParams, response: { 200: DockerVolume } } }, async (request) => {
    const volume = find(request.params.name);
    if (volume === null) throw noSuchVolume(request.params.name);
    return shownVolume(volume, projection);
  });

  app.delete<{ Params: Params; Querystring: Static<typeof DockerVolumeRemoveQuery> }>('/volumes/:name', { schema: { summary: 'Remove a volume that no container has', tags, params: DockerVolumeParams, querystring: DockerVolumeRemoveQuery } }, async (request, reply) => {
    const volume = find(request.params.name);
    if (volume === null && request.query.force !== true) throw noSuchVolume(request.params.name);
    if (volume !== null) await commandVolume(deps, volume.name, { type: 'RemoveVolume', gone: goneUsers(projection, volume) }, { actor: actorOf(request), signal: clientGone(reply) });
    return await reply.status(204).send();
  });

  app.post<{ Querystring: Static<typeof DockerVolumePruneQuery> }>('/volumes/prune', { schema: { summary: 'Remove anonymous volumes that no container has, or all such', tags, querystring: DockerVolumePruneQuery, response: { 200: DockerVolumesPruned } } }, async (request, reply) =>
    await pruneVolumes(deps, request.query.filters, { actor: actorOf(request), signal: clientGone(reply) }));
}

const noSuchVolume = (name: string): HttpError => new HttpError(404, `get ${name.slice(0, 255)}: no such volume`);
