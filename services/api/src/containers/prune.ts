// POST /containers/prune: removes the containers that do not run, some at a time, each as if it was asked for by itself.
import type { Static } from 'typebox';
import type { DockerPruned } from '@pouch/contracts';
import type { Container } from '@pouch/domain';
import type { Stored } from '@pouch/projections';
import { requestAction, type Asking } from '../commands/requests.ts';
import type { Deps } from '../deps.ts';
import { badField, HttpError } from '../errors.ts';
import { parseInstant } from '../events/time.ts';
import { labelsMatch, parseFilters } from '../http/filters.ts';
import { sizesOf } from './sizes.ts';

const atOnce = 16;

export async function pruneContainers(deps: Deps, filterText: string | undefined, asking: Asking): Promise<Static<typeof DockerPruned>> {
  const filters = parseFilters(filterText, ['until', 'label', 'label!']);
  const nowMs = deps.clock.now();
  const untils = (filters.get('until') ?? []).map((text) => {
    const ms = parseInstant(text, nowMs);
    if (ms === null) throw badField('filters.until', `${JSON.stringify(text.slice(0, 64))} is no time`);
    return ms;
  });
  const labels = filters.get('label') ?? [];
  const notLabels = filters.get('label!') ?? [];
  const wanted = deps.projection.present.containers({ statuses: ['created', 'exited'] }).filter(({ state }) =>
    untils.every((until) => state.createdAtMs < until) && labelsMatch(state.spec.labels, labels) && !notLabels.some((label) => labelsMatch(state.spec.labels, [label])));
  const sizes = wanted.length === 0 ? new Map<string, never>() : await sizesOf(deps, wanted.map(({ state }) => state));
  const deleted: string[] = [];
  const queue = wanted[Symbol.iterator]();
  const work = async (): Promise<void> => {
    for (const stored of queue) if (await removed(deps, stored, asking)) deleted.push(stored.state.id);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, wanted.length) }, work));
  return { ContainersDeleted: deleted, SpaceReclaimed: deleted.reduce((sum, id) => sum + (sizes.get(id)?.writableBytes ?? 0), 0) };
}

async function removed(deps: Deps, stored: Stored<Container>, asking: Asking): Promise<boolean> {
  try {
    await requestAction(deps, stored, { kind: 'remove', force: false }, asking);
    return true;
  } catch (error) {
    // Started, or removed by somebody else, in the meantime: not ours to count, and no reason to leave the others.
    if (error instanceof HttpError && (error.status === 409 || error.status === 404)) return false;
    throw error;
  }
}
