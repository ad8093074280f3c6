// What must hold of health: the log tells nothing that no probe has found, tells each change once, and once faults have stopped says of every container what its probes say.
import type { Recorded } from '@pouch/contracts';
import { activeCheck, healthOf, withHealthDefaults, type Container, type ContainerEvent, type Health, type Service, type ServiceEvent } from '@pouch/domain';
import type { HostActor } from './actors.ts';
import { Violation } from './violation.ts';

export class HealthRules {
  readonly #machines: () => readonly HostActor[];
  /** Containers that the log has said to be so, once. */
  readonly #healthy = new Set<string>();
  readonly #unhealthy = new Set<string>();
  readonly #checked = new Set<string>();
  /** What has run in the log, by host and container. */
  readonly #runs = new Map<string, { readonly startId: string; readonly health: Health | null }>();

  constructor(machines: () => readonly HostActor[]) {
    this.#machines = machines;
  }

  /** Throws a Violation. */
  container({ message: { events, snapshot } }: Recorded): void {
    const { id, hostId, spec } = snapshot as Container;
    const place = `${hostId} ${id}`;
    const check = activeCheck(spec);
    if (check !== null) this.#checked.add(id);
    for (const event of events as readonly ContainerEvent[]) {
      if (event.type === 'ContainerStarted') this.#runs.set(place, { startId: event.run.startId, health: null });
      if (event.type === 'ContainerExited') this.#runs.delete(place);
      if (event.type !== 'ContainerHealthChanged') continue;
      const run = this.#runs.get(place);
      const who = `${id.slice(0, 8)} is said to be ${event.health}`;
      if (check === null) throw new Violation(`health is what probes find: ${who}, and has no health check`);
      if (run?.startId !== event.startId) throw new Violation(`health is told in order: ${who} in ${event.startId}, which does not run`);
      if (run.health === event.health) throw new Violation(`health is told in order: ${who}, and was before`);
      this.#runs.set(place, { startId: event.startId, health: event.health });
      const { begun = 0, passed = 0 } = this.#machines().find((one) => one.hostId === hostId)?.engine.probes.counts.get(`${id} ${event.startId}`) ?? {};
      if (event.health === 'healthy' && passed === 0) throw new Violation(`health is what probes find: ${who}, and no probe of ${event.startId} has passed`);
      if (event.health === 'unhealthy' && begun < withHealthDefaults(check).retries) throw new Violation(`health is what probes find: ${who} after ${begun} probes of ${event.startId}`);
      (event.health === 'healthy' ? this.#healthy : this.#unhealthy).add(id);
    }
  }

  /** Throws a Violation. */
  service({ message: { events, snapshot } }: Recorded): void {
    const { name, tasks, spec, rests } = snapshot as Service;
    for (const event of events as readonly ServiceEvent[]) {
      if (event.type === 'ServiceTasksRetired' && event.why === 'unhealthy') {
        for (const id of event.containerIds) if (!this.#unhealthy.has(id)) throw new Violation(`only unhealthy replicas are retired as such: ${id.slice(0, 8)} of ${name} never was`);
      }
      if (event.type !== 'ServiceRolloutEnded' || (event.state !== 'completed' && event.state !== 'rollback_completed')) continue;
      for (const { containerId, slot } of tasks) {
        const isOver = slot > spec.replicas || rests.some((rest) => rest.slot === slot && rest.dueAtMs === null);
        if (!isOver && this.#checked.has(containerId) && !this.#healthy.has(containerId)) throw new Violation(`an update waits for health: that of ${name} is ${event.state}, and ${containerId.slice(0, 8)} was never healthy`);
      }
    }
  }

  /** What is not as it should be after all faults. */
  unsettled(containers: readonly Container[]): string[] {
    return containers.flatMap((container) => {
      if (container.status !== 'running' || activeCheck(container.spec) === null) return [];
      const isWell = this.#machines().find(({ hostId }) => hostId === container.hostId)?.engine.probes.isWell(container.id) === true;
      const health = healthOf(container);
      const who = `${container.id.slice(0, 8)} on ${container.hostId}`;
      if (!isWell && container.spec.service !== undefined) return [`${who} is a replica of ${container.spec.service.name} and not well`];
      return health === (isWell ? 'healthy' : 'unhealthy') ? [] : [`${who} is ${isWell ? '' : 'not '}well, the log says ${health}`];
    });
  }
}
