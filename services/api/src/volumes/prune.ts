// POST /volumes/prune: removes volumes that no container has, each as if it was asked for by itself. As since version 1.42 of Docker's API, for every version:
// only those that nobody gave a name, unless all are asked for.
import type { Static } from 'typebox';
import type { DockerVolumesPruned } from '@pouch/contracts';
import { anonymousLabel, type Volume } from '@pouch/domain';
import type { Asking } from '../commands/requests.ts';
import { commandVolume, goneUsers } from '../commands/volumes.ts';
import type { Deps } from '../deps.ts';
import { HttpError } from '../errors.ts';
import { labelsMatch, parseFilters, truth } from '../http/filters.ts';
import { volumeSizes } from './sizes.ts';

export async function pruneVolumes(deps: Deps, filterText: string | undefined, asking: Asking): Promise<Static<typeof DockerVolumesPruned>> {
  const filters = parseFilters(filterText, ['all', 'label', 'label!']);
  const all = (filters.get('all') ?? []).map((value) => truth('all', value)).some(Boolean);
  const notLabels = filters.get('label!') ?? [];
  const { projection } = deps;
  const wanted = projection.present.records('volume').map(({ state }) => state).filter((volume) =>
    (all || Object.hasOwn(volume.labels, anonymousLabel)) && goneUsers(projection, volume).length === volume.users.length
    && labelsMatch(volume.labels, filters.get('label') ?? []) && !notLabels.some((label) => labelsMatch(volume.labels, [label])));
  const sizes = await volumeSizes(deps, wanted);
  const removed: Volume[] = [];
  for (const volume of wanted) {
    try {
      await commandVolume(deps, volume.name, { type: 'RemoveVolume', gone: goneUsers(projection, volume) }, asking);
      removed.push(volume);
    } catch (error) {
      // A container has it by now, or somebody else has removed it: not ours to count, and no reason to leave the others.
      if (!(error instanceof HttpError) || (error.status !== 409 && error.status !== 404)) throw error;
    }
  }
  return { VolumesDeleted: removed.map(({ name }) => name), SpaceReclaimed: removed.reduce((sum, { dataId }) => sum + (sizes.get(dataId) ?? 0), 0) };
}
