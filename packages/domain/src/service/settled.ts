// Whether time alone changes nothing for a service any more, so that nobody need look at it before something has happened. Pure.
import { ongoingRollout, type Surroundings } from './advance.ts';
import type { Service } from './state.ts';

/** Held against `advanceService` by a property test: what is settled stays so until a task is observed to have come to something else. */
export function isSettled(service: Service, { observe }: Pick<Surroundings, 'observe'>): boolean {
  const { state, tasks, rests, spec } = service;
  if (state !== 'present' || ongoingRollout(service) !== null) return false;
  const taken = new Set<number>();
  for (const { slot, containerId, retired } of tasks) {
    // Two in a slot: one of them goes when the other has run for long enough.
    if (retired !== undefined || taken.has(slot)) return false;
    taken.add(slot);
    const observed = observe(containerId);
    if (observed.state !== 'running' || observed.health === 'unhealthy' || observed.draining) return false;
  }
  const isOver = new Set(rests.filter(({ dueAtMs }) => dueAtMs === null).map(({ slot }) => slot));
  for (let slot = 1; slot <= spec.replicas; slot++) if (!taken.has(slot) && !isOver.has(slot)) return false;
  return true;
}
