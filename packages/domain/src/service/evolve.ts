// How events change a service. Never refuses; an event of a type that is not known yet changes nothing.
import type { PastTask, Service, ServiceEvent, TaskEnd } from './state.ts';
import { maxPast, maxPastOfSlot } from './state.ts';

export function evolveService(state: Service | null, event: ServiceEvent): Service | null {
  if (event.type === 'ServiceCreated') {
    const { name, uid, spec, atMs } = event;
    return {
      id: name, name, uid, state: 'present', createdAtMs: atMs, sinceMs: atMs, version: 1, spec, generation: 1, generations: 1, previous: null, rollout: null,
      tasks: [], tasksMade: 0, past: [], rests: [],
    };
  }
  return state === null ? null : evolveKnown(state, event);
}

function evolveKnown(state: Service, event: Exclude<ServiceEvent, { type: 'ServiceCreated' }>): Service {
  switch (event.type) {
    case 'ServiceUpdated': {
      const { spec, generation, atMs } = event;
      const changed = { ...state, spec, version: state.version + 1, sinceMs: atMs, rests: generation === state.generation ? state.rests.filter(({ slot }) => slot <= spec.replicas) : [] };
      if (generation === state.generation) return changed;
      return {
        ...changed, generation, generations: Math.max(state.generations, generation), previous: { spec: state.spec, generation: state.generation },
        rollout: { state: 'updating', startedAtMs: atMs, endedAtMs: null, failures: 0, message: 'update in progress' },
      };
    }
    case 'ServiceRolledBack': {
      if (state.previous === null) return state;
      const { spec, generation } = state.previous;
      // How many there are to be is no part of what is taken back: it may have been changed since.
      return {
        ...state, spec: { ...spec, replicas: state.spec.replicas }, generation, version: state.version + 1, sinceMs: event.atMs, rests: [], previous: { spec: state.spec, generation: state.generation },
        rollout: { state: 'rollback_started', startedAtMs: event.atMs, endedAtMs: null, failures: 0, message: event.why },
      };
    }
    case 'ServiceRolloutEnded':
      return state.rollout === null ? state : { ...state, rollout: { ...state.rollout, state: event.state, endedAtMs: event.atMs, message: event.message } };
    case 'ServiceTasksStarted': {
      const slots = new Set(event.tasks.map(({ slot }) => slot));
      // Its count of ends in a row goes on with the new one; that it waits is over.
      return {
        ...state, tasks: [...state.tasks, ...event.tasks.map((task) => ({ ...task, startedAtMs: event.atMs }))], tasksMade: state.tasksMade + event.tasks.length,
        rests: state.rests.map((rest) => (slots.has(rest.slot) ? { ...rest, dueAtMs: rest.endedAtMs } : rest)),
      };
    }
    case 'ServiceTasksRetired': {
      const ids = new Set<string>(event.containerIds);
      return { ...state, tasks: state.tasks.map((task) => (ids.has(task.containerId) ? { ...task, retired: { why: event.why, atMs: event.atMs } } : task)) };
    }
    case 'ServiceTasksEnded':
      return ended(state, event.ends, event.atMs);
    case 'ServiceRemovalRequested':
      return { ...state, state: 'removing', sinceMs: event.atMs };
    case 'ServiceRemoved':
      return { ...state, state: 'removed', sinceMs: event.atMs };
    default:
      return state;
  }
}

function ended(state: Service, ends: readonly TaskEnd[], atMs: number): Service {
  const byId = new Map<string, TaskEnd>(ends.map((end) => [end.containerId, end]));
  const past: PastTask[] = [...state.past];
  const rests = new Map(state.rests.map((rest) => [rest.slot, rest]));
  for (const { containerId, slot, generation, startedAtMs } of state.tasks) {
    const end = byId.get(containerId);
    if (end === undefined) continue;
    past.push({ containerId, slot, generation, hostId: end.hostId, startedAtMs, endedAtMs: atMs, outcome: end.outcome, exitCode: end.exitCode, message: end.message });
    if (end.rest === null) rests.delete(slot);
    else rests.set(slot, { slot, endedAtMs: atMs, ...end.rest });
  }
  const failures = ends.filter(({ failedRollout }) => failedRollout).length;
  return {
    ...state, tasks: state.tasks.filter(({ containerId }) => !byId.has(containerId)), past: remembered(past), rests: [...rests.values()],
    rollout: state.rollout === null || failures === 0 ? state.rollout : { ...state.rollout, failures: state.rollout.failures + failures },
  };
}

/** The last of each slot, and of all. */
function remembered(past: readonly PastTask[]): readonly PastTask[] {
  const counts = new Map<number, number>();
  return past.toReversed().filter(({ slot }) => {
    const count = (counts.get(slot) ?? 0) + 1;
    counts.set(slot, count);
    return count <= maxPastOfSlot;
  }).slice(0, maxPast).toReversed();
}
