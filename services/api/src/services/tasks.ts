// Services and their tasks as they are shown: the service's own state, with what its containers have come to. Reads the projection only.
import type { ClusterService, ClusterTask } from '@pouch/contracts';
import { healthOf, taskName, type Container, type Placement, type Service, type Task, type TaskOutcome } from '@pouch/domain';
import type { Stored } from '@pouch/projections';
import { HttpError } from '../errors.ts';
import type { Projection } from '../projection/projection.ts';
import { askedOf } from './service-spec.ts';

export function services(projection: Projection): Service[] {
  return projection.present.records('service').map(({ state }) => state);
}

/** By name, id, or an unambiguous beginning of an id. */
export function requireService(projection: Projection, reference: string): Stored<Service> {
  const all = projection.present.records('service');
  const exact = all.find(({ state }) => state.name === reference || state.uid === reference);
  if (exact !== undefined) return exact;
  const [first, ...others] = all.filter(({ state }) => state.uid.startsWith(reference));
  if (others.length > 0) throw new HttpError(400, `service ${reference} is ambiguous: ${1 + others.length} ids begin so`);
  if (first === undefined) throw new HttpError(404, `service ${reference} not found`);
  return first;
}

/** Of a task's container; Docker's ids of tasks have 25 characters. */
export function taskIdOf(containerId: string): string {
  return containerId.slice(0, 25);
}

/** By the beginning of its id, or its name. */
export function requireTask(projection: Projection, reference: string): { readonly service: Service; readonly task: ClusterTask } {
  for (const service of services(projection)) {
    const task = tasksOf(projection, service).find((one) => one.id.startsWith(reference) || one.name === reference);
    if (task !== undefined) return { service, task };
  }
  throw new HttpError(404, `task ${reference} not found`);
}

const outcomes: Readonly<Record<TaskOutcome, string>> = { 'shut-down': 'shutdown', failed: 'failed', complete: 'complete', lost: 'orphaned' };

/** Those that are there, then those that are remembered, the newest first; by slot. */
export function tasksOf(projection: Projection, service: Service): ClusterTask[] {
  const { spec, generation, previous } = service;
  const imageOf = (task: { slot: number; generation: number }): string => {
    const templates = task.generation === generation ? spec.templates : task.generation === previous?.generation ? previous.spec.templates : [];
    return templates[(task.slot - 1) % Math.max(1, templates.length)]?.image.reference ?? '';
  };
  const past = service.past.toReversed().map((task): ClusterTask => ({
    id: task.containerId, name: taskName(service, task), slot: task.slot, generation: task.generation, state: outcomes[task.outcome], desired: 'shutdown', image: imageOf(task), hostId: task.hostId, runtime: null,
    sinceMs: task.endedAtMs, exitCode: task.exitCode, message: task.message,
  }));
  const present = service.tasks.map((task): ClusterTask => {
    const container = projection.present.container(task.containerId)?.state ?? null;
    const placement = container === null ? (projection.present.placement(task.containerId)?.state ?? null) : null;
    return {
      id: task.containerId, name: taskName(service, task), slot: task.slot, generation: task.generation, desired: task.retired === undefined ? 'running' : 'shutdown', image: imageOf(task),
      hostId: container?.hostId ?? null, runtime: container?.spec.runtime ?? null, exitCode: null, ...stateOf(task, container, placement),
    };
  });
  return [...present, ...past].toSorted((a, b) => a.slot - b.slot || Number(b.desired === 'running') - Number(a.desired === 'running') || b.sinceMs - a.sinceMs);
}

function stateOf(task: Task, container: Container | null, placement: Placement | null): Pick<ClusterTask, 'state' | 'sinceMs' | 'message'> {
  const since = (state: string, sinceMs = task.startedAtMs, message = ''): Pick<ClusterTask, 'state' | 'sinceMs' | 'message'> => ({ state, sinceMs, message });
  if (container === null) return since('pending', task.startedAtMs, placement?.rejections.at(-1)?.reason ?? '');
  switch (container.status) {
    case 'assigned':
      return since('preparing');
    case 'created':
      return since(container.lastExit === null ? 'starting' : 'failed', container.createdAtMs, container.lastExit?.error ?? '');
    case 'running':
    case 'paused':
      // As Docker: one whose health check has not answered yet is still starting.
      return since(healthOf(container) === 'starting' ? 'starting' : 'running', container.run.startedAtMs);
    case 'restarting':
    case 'exited':
    case 'removed':
      return since(container.lastExit?.exitCode === 0 ? 'complete' : 'failed', container.lastExit?.finishedAtMs ?? container.createdAtMs, container.lastExit?.error ?? '');
  }
}

export function shownService(projection: Projection, service: Service): ClusterService {
  const { name, uid, state, version, generation, createdAtMs, sinceMs, spec, rollout } = service;
  const tasks = tasksOf(projection, service);
  const running = tasks.filter((task) => task.state === 'running' && task.desired === 'running');
  return {
    id: uid, name, state: state === 'removing' ? 'removing' : 'present', version, generation, createdAtMs, updatedAtMs: sinceMs, image: spec.templates[0]?.image.reference ?? '', runtimes: spec.templates.map(({ runtime }) => runtime),
    replicas: spec.replicas, running: running.length, updated: running.filter((task) => task.generation === generation).length, labels: { ...spec.labels },
    update: spec.update, rollback: spec.rollback, restart: spec.restart, rollout, template: askedOf(spec).template, tasks,
  };
}
