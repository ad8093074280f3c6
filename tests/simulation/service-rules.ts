// What must hold of services: never more replicas than there may be, and as many as there are to be once faults have stopped.
import type { Container, Service } from '@pouch/domain';
import { Violation } from './violation.ts';

export class ServiceRules {
  readonly #services = new Map<string, Service>();
  /** By uid: how many there may be at most beside those that are to end; after a change of the number also as many as before, until it is seen to. */
  readonly #allowed = new Map<string, number>();
  /** Containers whose host was lost: they may run on there unseen, beside those that took their place. */
  readonly #lost = new Set<string>();

  /** Throws a Violation. */
  message(service: Service): void {
    const { uid, name, tasks, past } = service;
    this.#services.set(uid, service);
    for (const { containerId, outcome } of past) if (outcome === 'lost') this.#lost.add(containerId);
    const now = allowed(service);
    const active = tasks.filter(({ retired }) => retired === undefined);
    const isSettled = active.every(({ slot }) => slot <= service.spec.replicas) && new Set(active.map(({ slot }) => slot)).size === active.length;
    const most = isSettled ? now : Math.max(this.#allowed.get(uid) ?? 0, now);
    this.#allowed.set(uid, most);
    if (active.length > most) throw new Violation(`no replica beyond what may be: ${name} has ${active.length} tasks, ${most} are possible`);
    if (new Set(tasks.map(({ containerId }) => containerId)).size !== tasks.length) throw new Violation(`tasks have ids of their own: ${name}`);
  }

  /** A task of a replica was started; `running`: ids of all replicas of its service that run anywhere. Throws a Violation. */
  start({ spec: { service } }: Container, running: readonly string[]): void {
    if (service === undefined) return;
    const count = running.filter((id) => !this.#lost.has(id)).length;
    const ending = this.#services.get(service.uid)?.tasks.filter(({ retired }) => retired !== undefined).length ?? 0;
    const most = (this.#allowed.get(service.uid) ?? 0) + ending;
    if (count > most) throw new Violation(`no replica beyond what may be: ${count} of ${service.name} run, ${most} are possible`);
  }

  /** What is not as it should be after all faults. */
  unsettled(containers: readonly Container[]): string[] {
    const wrong: string[] = [];
    const listed = new Set<string>();
    for (const { name, state, spec, tasks, rests, rollout } of this.#services.values()) {
      if (state === 'removing') wrong.push(`service ${name} is being removed`);
      for (const { containerId, retired } of tasks) {
        listed.add(containerId);
        if (retired !== undefined) wrong.push(`${containerId.slice(0, 8)} of ${name} is still to end`);
      }
      if (state === 'present' && (rollout?.state === 'updating' || rollout?.state === 'rollback_started')) wrong.push(`the rollout of ${name} goes on`);
      for (let slot = 1; state === 'present' && slot <= spec.replicas; slot++) {
        const ofSlot = tasks.filter((task) => task.slot === slot);
        const runs = ofSlot.length === 1 && containers.some(({ id, status }) => id === ofSlot[0]?.containerId && status === 'running');
        const isOver = ofSlot.length === 0 && rests.some((rest) => rest.slot === slot && rest.dueAtMs === null);
        if (!runs && !isOver) wrong.push(`slot ${slot} of ${name} has ${ofSlot.length} tasks, not one that runs`);
      }
    }
    for (const { id, spec, status } of containers) if (spec.service !== undefined && status !== 'removed' && !listed.has(id)) wrong.push(`${id.slice(0, 8)} is no task of ${spec.service.name} and is there`);
    return wrong;
  }
}

function allowed({ spec: { replicas, update, rollback } }: Service): number {
  const beside = [update, rollback].map(({ order, parallelism }) => (order === 'stop-first' ? 0 : parallelism === 0 ? replicas : parallelism));
  return replicas + Math.max(...beside);
}
