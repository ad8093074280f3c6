// Keeps services as they are wanted: tells the log what follows for each from what its replicas have come to, and sees to it that the containers of its
// tasks come to be, and that those of no task go. Works only during a term. Every step can be done again, by anybody: the list of tasks changes only
// under the service's optimistic lock, and a task's id is made from it.
import { createHash, randomUUID } from 'node:crypto';
import { containerSubject, placementSubject, serviceSubject, type Meta, type NameClaim } from '@pouch/contracts';
import {
  advanceService, containerId, decideContainer, decidePlacement, decideService, isSettled, taskName, taskSpec, type Action, type Container, type ContainerId, type Placement, type Service, type Surroundings, type Task,
} from '@pouch/domain';
import { execute, type Claims, type PouchLog, type Term } from '@pouch/eventlog';
import type { Clock, Logger } from '@pouch/process';
import type { Seen, ServiceView } from './service-view.ts';

/** Steps under way at once; the rest waits in the view. */
const maxInFlight = 64;
/** Docker's grace time where a container says nothing. */
const defaultStopSeconds = 10;

export interface ServiceControllerDeps {
  readonly services: ServiceView;
  readonly claims: Claims<NameClaim>;
  readonly log: PouchLog;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The same for the same task, so that two schedulers that both start it mean one container. */
export const taskIdOf: Surroundings['idOf'] = ({ uid, slot, generation, number }) => containerId(createHash('sha256').update(`task ${number} of ${uid}: slot ${slot}, generation ${generation}`).digest('hex'));

export class ServiceController {
  readonly #deps: ServiceControllerDeps;
  readonly #inFlight = new Set<string>();
  /** Uids of services that are not as they are to be, or were not when they were looked at last: time changes them, and what failed is tried again. */
  readonly #open = new Set<string>();
  /** The term in which everything has been looked at. */
  #epoch: number | null = null;
  readonly #surroundings: Surroundings;

  constructor(deps: ServiceControllerDeps) {
    this.#deps = deps;
    this.#surroundings = { observe: (id) => deps.services.observe(id), idOf: taskIdOf };
  }

  /** Looks at what has changed. Call it whenever the view has. */
  work(term: Term): void {
    if (term.signal.aborted) return;
    for (const uid of this.#deps.services.takeChanged()) this.#look(uid, false);
  }

  /** Looks at what is not as it is to be, in its first round of a term at everything. Call it now and then. */
  workOpen(term: Term): void {
    if (term.signal.aborted) return;
    if (this.#epoch !== term.epoch) for (const uid of this.#deps.services.uids()) this.#open.add(uid);
    this.#epoch = term.epoch;
    for (const uid of [...this.#open]) this.#look(uid, true);
  }

  /** `again`: what has failed is tried once more. */
  #look(uid: string, again: boolean): void {
    const { services, clock } = this.#deps;
    const seen = services.service(uid);
    const strays = services.strays(uid);
    const changes = seen !== null && advanceService(seen.state, this.#surroundings, clock.now()).length > 0;
    if (changes || strays.length > 0 || (seen !== null && !isSettled(seen.state, this.#surroundings))) this.#open.add(uid);
    else this.#open.delete(uid);
    if (seen !== null) {
      if (changes) this.#take(`service ${uid}`, () => this.#advance(seen));
      for (const task of seen.state.tasks) this.#carryOut(seen.state, task, again);
    }
    for (const { placement, container } of strays) {
      if (container !== undefined) this.#clear(container, again);
      else if (placement?.state.status === 'requested') this.#take(placement.state.id, () => this.#cancel(placement.state));
    }
  }

  #take(what: string, work: () => Promise<void>): void {
    if (this.#inFlight.has(what) || this.#inFlight.size >= maxInFlight) return;
    this.#inFlight.add(what);
    work()
      .catch((error: unknown) => this.#deps.logger.warn({ err: error, what }, 'a step of a service did not go through; it is taken up again'))
      .finally(() => this.#inFlight.delete(what));
  }

  async #advance({ state, seq }: Seen<Service>): Promise<void> {
    const { log, clock, logger } = this.#deps;
    const nowMs = clock.now();
    const executed = await execute({
      log, kind: 'service', subject: serviceSubject(state.name), commandId: randomUUID(), meta: meta(nowMs), cached: { seq, snapshot: state },
      decide: (head) => decideService(head, { type: 'AdvanceService', uid: state.uid, surroundings: this.#surroundings }, nowMs),
    });
    if (executed.ok && executed.appended) logger.info({ service: state.name, events: executed.events.map(({ type }) => type) }, 'service advanced');
  }

  /** One step of a task towards what it is to be; what is under way already is waited for. */
  #carryOut(service: Service, task: Task, again: boolean): void {
    const { placement, container } = this.#deps.services.replica(task.containerId);
    const id = task.containerId;
    if (container !== undefined) {
      if (task.retired !== undefined && !this.#deps.services.isLost(container.state.hostId)) this.#end(container, again);
    } else if (placement === undefined) {
      this.#take(id, () => (task.retired === undefined ? this.#request(service, task) : this.#cancel(this.#placementOf(service, task))));
    } else if (task.retired !== undefined && placement.state.status === 'requested') this.#take(id, () => this.#cancel(placement.state));
  }

  /** Ends it as it always ends, and removes it when it has. */
  #end({ state, seq }: Seen<Container>, again: boolean): void {
    const { requests, failures, status, spec } = state;
    if (requests.some(({ action }) => action.kind === 'remove')) return;
    const stopId = `retire:${state.id}`;
    const couldNot = failures.some(({ commandId }) => commandId === stopId);
    if ((status === 'running' || status === 'restarting') && !couldNot) {
      if (!requests.some(({ action }) => action.kind === 'stop')) this.#ask(state, seq, stopId, { kind: 'stop', signal: spec.stopSignal, timeoutSeconds: spec.stopTimeoutSeconds ?? defaultStopSeconds });
      return;
    }
    this.#clear({ state, seq }, again);
  }

  /** Takes away what is no task's, or is to run no more. */
  #clear({ state, seq }: Seen<Container>, again: boolean): void {
    if (state.status === 'removed' || state.requests.some(({ action }) => action.kind === 'remove')) return;
    if (!again && state.failures.some(({ commandId }) => commandId.startsWith('clear:'))) return;
    this.#ask(state, seq, `clear:${randomUUID()}`, { kind: 'remove', force: true });
  }

  #ask(state: Container, seq: number, commandId: string, action: Action): void {
    const { log, clock } = this.#deps;
    this.#take(state.id, async () => {
      const nowMs = clock.now();
      await execute({
        log, kind: 'container', subject: containerSubject(state.hostId, state.id), commandId: randomUUID(), meta: meta(nowMs), cached: { seq, snapshot: state },
        decide: (head) => decideContainer(head, { type: 'RequestAction', commandId, action }, nowMs),
      });
    });
  }

  async #request(service: Service, task: Task): Promise<void> {
    const { log, clock, services } = this.#deps;
    const { id, spec } = this.#placementOf(service, task);
    const name = await this.#claimName(taskName(service, task), id);
    // Claiming took a while.
    if (!services.isWanted({ id, spec })) return;
    const nowMs = clock.now();
    await execute({
      log, kind: 'placement', subject: placementSubject(id), commandId: randomUUID(), meta: meta(nowMs), cached: { seq: 0, snapshot: null },
      decide: (state) => decidePlacement(state, { type: 'RequestPlacement', id, name, spec, start: true }, nowMs),
    });
  }

  /** Whether nobody had asked for it or somebody has: after this it is refused, or it had a host before. */
  async #cancel({ id, name, spec }: Pick<Placement, 'id' | 'name' | 'spec'>): Promise<void> {
    const { log, clock } = this.#deps;
    const nowMs = clock.now();
    await execute({
      log, kind: 'placement', subject: placementSubject(id), commandId: randomUUID(), meta: meta(nowMs),
      decide: (state) => decidePlacement(state, { type: 'CancelPlacement', id, name, spec, message: 'its service wants it no more' }, nowMs),
    });
  }

  #placementOf(service: Service, task: Task): Pick<Placement, 'id' | 'name' | 'spec'> {
    const spec = taskSpec(service, task) ?? taskSpec(service, { ...task, generation: service.generation });
    if (spec === null) throw new TypeError(`service ${service.name} has no template`);
    return { id: task.containerId, name: taskName(service, task), spec };
  }

  /** The name, or a longer one where somebody else has it. */
  async #claimName(name: string, id: ContainerId): Promise<string> {
    const { claims, clock } = this.#deps;
    const claim: NameClaim = { containerId: id, claimedAtMs: clock.now() };
    for (const candidate of [name, `${name}-${id.slice(12, 32)}`]) {
      const present = await claims.get(candidate);
      if (present?.value?.containerId === id) return candidate;
      if (present === null && (await claims.claim(candidate, claim)).ok) return candidate;
    }
    throw new Error(`no name can be had for replica ${name}`);
  }
}

function meta(atMs: number): Meta {
  return { atMs, service: 'scheduler', actor: 'scheduler', cause: null };
}
