// Services as the scheduler sees them, with the containers and placements of their replicas. Fed with messages of the log in order; asks nobody and
// decides nothing. A container counts as a replica by what the scheduler gave it, never by its labels.
import { containerSubject, placementSubject, type Recorded } from '@pouch/contracts';
import { healthOf, type AggregateKind, type Container, type Host, type Observation, type Placement, type Service } from '@pouch/domain';

/** A snapshot with the sequence of its message: the guess for the next append. */
export interface Seen<S> {
  readonly state: S;
  readonly seq: number;
}

interface Replica {
  readonly uid: string;
  placement?: Seen<Placement>;
  container?: Seen<Container>;
  /** Since when it is seen running by this start, on a clock that nobody sets. */
  running?: { readonly startId: string; readonly sinceMs: number };
}

export class ServiceView {
  /** By name; also those being removed. */
  readonly #services = new Map<string, Seen<Service>>();
  readonly #byUid = new Map<string, string>();
  /** By container id: of every service there is or was, until they are gone. */
  readonly #replicas = new Map<string, Replica>();
  readonly #ofService = new Map<string, Set<string>>();
  readonly #hosts = new Map<string, Host>();
  /** Uids of services that something has changed for. */
  readonly #changed = new Set<string>();
  readonly #monotonicMs: () => number;

  constructor(monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs;
  }

  apply({ seq, message }: Recorded): void {
    switch (message.kind as AggregateKind) {
      case 'service':
        return this.#applyService(message.snapshot as Service, seq);
      case 'placement':
        return this.#applyPlacement(message.snapshot as unknown as Placement, seq);
      case 'container':
        return this.#applyContainer(message.snapshot as Container, seq);
      case 'host':
        return this.#applyHost(message.snapshot as Host);
      default:
    }
  }

  #applyService(service: Service, seq: number): void {
    const before = this.#services.get(service.name)?.state;
    if (before !== undefined && before.uid !== service.uid) this.#byUid.delete(before.uid);
    if (service.state === 'removed') {
      this.#services.delete(service.name);
      this.#byUid.delete(service.uid);
    } else {
      this.#services.set(service.name, { state: service, seq });
      this.#byUid.set(service.uid, service.name);
    }
    this.#changed.add(service.uid);
  }

  #applyPlacement(placement: Placement, seq: number): void {
    const replica = this.#replica(placement.id, placement.spec.service?.uid);
    if (replica === null) return;
    replica.placement = { state: placement, seq };
  }

  #applyContainer(container: Container, seq: number): void {
    const replica = this.#replica(container.id, container.spec.service?.uid);
    if (replica === null) return;
    // A host that rejected it says so when another one may have it already.
    if (container.status === 'removed' && container.reason.kind === 'rejected') {
      if (replica.container?.state.hostId === container.hostId) delete replica.container;
      return;
    }
    replica.container = { state: container, seq };
    if (container.status !== 'running' && container.status !== 'paused') delete replica.running;
    else if (replica.running?.startId !== container.run.startId) replica.running = { startId: container.run.startId, sinceMs: this.#monotonicMs() };
  }

  #applyHost(host: Host): void {
    const before = this.#hosts.get(host.id);
    this.#hosts.set(host.id, host);
    if (before?.state === host.state && before.drain?.sinceMs === host.drain?.sinceMs) return;
    for (const { state } of this.#services.values()) this.#changed.add(state.uid);
  }

  #replica(id: string, uid: string | undefined): Replica | null {
    if (uid === undefined) return null;
    this.#changed.add(uid);
    let replica = this.#replicas.get(id);
    if (replica === undefined) {
      this.#replicas.set(id, (replica = { uid }));
      const ids = this.#ofService.get(uid);
      if (ids === undefined) this.#ofService.set(uid, new Set([id]));
      else ids.add(id);
    }
    return replica;
  }

  /** What has ended is kept until its service has taken note of it. */
  #dropIfGone(id: string): void {
    const replica = this.#replicas.get(id);
    if (replica === undefined || this.#isListed(replica.uid, id)) return;
    const isGone = replica.container === undefined ? replica.placement?.state.status === 'refused' : replica.container.state.status === 'removed';
    if (!isGone) return;
    this.#replicas.delete(id);
    const ids = this.#ofService.get(replica.uid);
    ids?.delete(id);
    if (ids?.size === 0) this.#ofService.delete(replica.uid);
  }

  #isListed(uid: string, id: string): boolean {
    return this.service(uid)?.state.tasks.some(({ containerId }) => containerId === id) === true;
  }

  service(uid: string): Seen<Service> | null {
    const name = this.#byUid.get(uid);
    return name === undefined ? null : (this.#services.get(name) ?? null);
  }

  /** Uids of all that there is something to look at: services, and replicas whose service is gone. */
  uids(): readonly string[] {
    return [...new Set([...this.#byUid.keys(), ...this.#ofService.keys()])];
  }

  /**
   * Uids of what has changed since this was asked last; what is gone and noted by its service is forgotten. To be asked only of a view that shows the
   * log's end: before, a service may still be to come that has not taken note.
   */
  takeChanged(): readonly string[] {
    const changed = [...this.#changed];
    this.#changed.clear();
    for (const uid of changed) for (const id of this.#ofService.get(uid) ?? []) this.#dropIfGone(id);
    return changed;
  }

  /** Placements and containers that are there though no task of the service is theirs. */
  strays(uid: string): readonly Replica[] {
    const listed = new Set<string>(this.service(uid)?.state.tasks.map(({ containerId }) => containerId));
    return [...(this.#ofService.get(uid) ?? [])].filter((id) => !listed.has(id)).flatMap((id) => this.#replicas.get(id) ?? []);
  }

  replica(id: string): Pick<Replica, 'placement' | 'container'> {
    return this.#replicas.get(id) ?? {};
  }

  /** Whether a placement is still to be made: false for replicas that their service wants no more. */
  isWanted({ id, spec }: Pick<Placement, 'id' | 'spec'>): boolean {
    if (spec.service === undefined) return true;
    return this.service(spec.service.uid)?.state.tasks.some(({ containerId, retired }) => containerId === id && retired === undefined) === true;
  }

  /** Whether a host is lost, or was taken out of the cluster. */
  isLost(hostId: string): boolean {
    const host = this.#hosts.get(hostId);
    return host !== undefined && host.state !== 'up';
  }

  /** Whether replicas that run on a host are still to go elsewhere. */
  hasReplicasOn(hostId: string): boolean {
    for (const [id, { uid, container }] of this.#replicas) {
      if (container?.state.hostId === hostId && container.state.status !== 'removed' && this.#isListed(uid, id)) return true;
    }
    return false;
  }

  /** Subjects of tasks: their ends must stay readable until the service has taken note. */
  pinnedSubjects(): ReadonlySet<string> {
    const subjects = new Set<string>();
    for (const { state } of this.#services.values()) {
      for (const { containerId } of state.tasks) {
        subjects.add(placementSubject(containerId));
        const container = this.#replicas.get(containerId)?.container?.state;
        if (container !== undefined) subjects.add(containerSubject(container.hostId, containerId));
      }
    }
    return subjects;
  }

  /** What a task has come to. */
  observe(id: string): Observation {
    const { placement, container, running } = this.#replicas.get(id) ?? {};
    if (container === undefined) {
      if (placement?.state.status !== 'refused') return { state: 'pending' };
      return { state: 'ended', hostId: null, exitCode: null, ranMs: 0, message: placement.state.message };
    }
    const { state } = container;
    const ended = endOf(state);
    if (ended !== null) return ended;
    // Also what is not made as far as the log knows: it is started without being asked, so it may have been.
    if (this.isLost(state.hostId)) return { state: 'lost', hostId: state.hostId };
    if (running === undefined) return { state: 'pending' };
    return { state: 'running', forMs: this.#monotonicMs() - running.sinceMs, health: healthOf(state), draining: this.#hosts.get(state.hostId)?.drain !== undefined };
  }
}

/** Null: it has not ended, or comes back by somebody's request. */
function endOf(container: Container): Extract<Observation, { state: 'ended' }> | null {
  const { status, hostId, requests, failures } = container;
  const end = (exitCode: number | null, ranMs: number, message: string): Extract<Observation, { state: 'ended' }> => ({ state: 'ended', hostId, exitCode, ranMs, message });
  if (status === 'removed' && container.reason.kind !== 'removed') return end(null, 0, container.reason.message);
  const exit = status === 'removed' || status === 'exited' || status === 'created' ? container.lastExit : null;
  const comesBack = status !== 'removed' && requests.some(({ action }) => action.kind === 'start' || action.kind === 'restart');
  if (status === 'removed' || status === 'exited' || (status === 'created' && !comesBack)) {
    if (comesBack) return null;
    const why = exit?.error ?? (exit?.oomKilled === true ? 'it ran out of memory' : null) ?? (exit === null ? (failures.at(-1)?.message ?? (status === 'removed' ? 'its container was removed' : 'it was never started')) : '');
    return end(exit?.exitCode ?? null, exit === null ? 0 : Math.max(0, exit.finishedAtMs - exit.startedAtMs), why);
  }
  return null;
}
