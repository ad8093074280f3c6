// The cluster as the scheduler sees it: hosts, what is promised on each, requests that wait, and what is gone and may be forgotten.
// Fed with messages of the log in order; asks nobody. What it has seen it chooses from.
import { Chooser, taskGroup, type AggregateKind, type Amounts, type Candidate, type CataloguedKernel, type Container, type ContainerId, type ContainerSpec, type Host, type HostId, type Image, type Kernel, type Placement, type Plan, type Service, type Volume } from '@pouch/domain';
import { containerSubject, placementSubject, type Recorded } from '@pouch/contracts';
import { Books, holdOf } from './books.ts';
import { VolumeView } from './volumes/volume-view.ts';

/** A request that has no host yet, with the sequence of its message: the guess for the next append. */
export interface Waiting {
  readonly placement: Placement;
  readonly seq: number;
}

/** A host's no to a container that had been placed on it. */
export interface Rejection {
  readonly containerId: ContainerId;
  readonly hostId: HostId;
  readonly code: string;
  readonly message: string;
}

/** A removed aggregate, to be purged from the log when its time is over. */
export interface Gone {
  readonly subject: string;
  readonly atMs: number;
}

/** A container with the sequence of its message: the guess for the next append. */
export interface Known {
  readonly container: Container;
  readonly seq: number;
}

/** How long a replica that failed counts against its host, where those of its service are spread. */
const failuresCountMs = 300_000;

export class View {
  readonly volumes = new VolumeView();
  readonly #hosts = new Map<HostId, Host>();
  /** Those that are lost, removed, or being drained. */
  readonly #concerning = new Map<HostId, Host>();
  readonly #chooser = new Chooser({ hosts: this.#hosts, candidate: (hostId) => this.#candidate(hostId), catalogued: (name) => this.catalogued(name), volumes: (name) => this.volumes.placeOf(name) });
  readonly #books = new Books((hostId) => { this.#chooser.changed(hostId); });
  readonly #waiting = new Map<string, Waiting>();
  /** Placed, but the host's own subject does not tell of it yet. */
  readonly #unassigned = new Map<string, Extract<Placement, { status: 'placed' }>>();
  readonly #rejections = new Map<string, Rejection>();
  /** Names of containers between a host's no and what their placement says to it. */
  readonly #replacing = new Map<string, string>();
  readonly #gone = new Map<string, Gone>();
  /** Containers that may get a successor elsewhere, by host and id; kept apart, for they are few. */
  readonly #movable = new Map<HostId, Map<string, Known>>();
  readonly #unmade = new Map<HostId, Map<string, Known>>();
  /** Replaced ones whose successor does not stand in the log yet. */
  readonly #successions = new Map<string, Known>();
  /** Replaced containers that are on their host still, by host. */
  readonly #leaving = new Map<HostId, Set<string>>();
  /** Guest kernels of the catalogue, by name. */
  readonly #kernels = new Map<string, Kernel>();
  #seq = 0;

  /** The log's sequence that it has come to. */
  get seq(): number {
    return this.#seq;
  }

  /** Takes one message in; the log's order per subject is assumed. */
  apply({ subject, seq, message }: Recorded): void {
    const snapshot: unknown = message.snapshot;
    this.#seq = seq;
    switch (message.kind as AggregateKind) {
      case 'host':
        this.#applyHost(snapshot as Host);
        break;
      case 'placement':
        this.#applyPlacement(subject, seq, snapshot as Placement);
        break;
      case 'container':
        this.#applyContainer(subject, seq, snapshot as Container);
        break;
      case 'exec':
        // One that nobody has started since it was created goes as well: else those of clients that went away stay for ever.
        if ((snapshot as { status: string }).status === 'running') this.#gone.delete(subject);
        else this.#gone.set(subject, { subject, atMs: message.meta.atMs });
        break;
      case 'image': {
        const { hostId, key, name, state, record } = snapshot as Image;
        this.#books.holdImage(hostId, key, state === 'removed' ? null : { id: record.id, name });
        if (state === 'removed') this.#gone.set(subject, { subject, atMs: message.meta.atMs });
        else this.#gone.delete(subject);
        break;
      }
      case 'kernel': {
        const kernel = snapshot as Kernel;
        this.#chooser.changedAll();
        if (kernel.state === 'present') {
          this.#kernels.set(kernel.name, kernel);
          this.#gone.delete(subject);
        } else {
          this.#kernels.delete(kernel.name);
          this.#gone.set(subject, { subject, atMs: message.meta.atMs });
        }
        break;
      }
      case 'service':
        this.#countFailures(snapshot as Service, message.meta.atMs);
        if ((snapshot as Service).state === 'removed') this.#gone.set(subject, { subject, atMs: message.meta.atMs });
        else this.#gone.delete(subject);
        break;
      case 'volume':
        this.volumes.apply(snapshot as Volume, seq);
        if ((snapshot as Volume).state === 'removed') this.#gone.set(subject, { subject, atMs: message.meta.atMs });
        else this.#gone.delete(subject);
        break;
      default: // kinds of a newer version concern a newer scheduler
    }
  }

  /** A service says something before each container that it has made, so what it says is as new as need be. */
  #countFailures({ uid, spec: { templates }, state, past }: Service, nowMs: number): void {
    const [template] = templates; // all of a service are of one group
    if (state === 'removed' || template === undefined) return this.#books.failed(uid, null);
    const byHost = new Map<HostId, number>();
    for (const { outcome, hostId, endedAtMs } of past) {
      if (outcome === 'failed' && hostId !== null && endedAtMs > nowMs - failuresCountMs) byHost.set(hostId as HostId, (byHost.get(hostId as HostId) ?? 0) + 1);
    }
    this.#books.failed(uid, { group: taskGroup({ uid }, template), byHost });
  }

  #applyHost(host: Host): void {
    this.#hosts.set(host.id, host);
    if (host.state !== 'up' || host.drain?.done === false) this.#concerning.set(host.id, host);
    else this.#concerning.delete(host.id);
    this.#chooser.changed(host.id);
  }

  #applyPlacement(subject: string, seq: number, placement: Placement): void {
    this.#unassigned.delete(placement.id);
    this.#replacing.delete(placement.id);
    switch (placement.status) {
      case 'requested':
        this.release(placement.id);
        this.#waiting.set(placement.id, { placement, seq });
        break;
      case 'placed':
        this.#waiting.delete(placement.id);
        this.#unassigned.set(placement.id, placement);
        if (this.#books.promised(placement.id)?.hostId !== placement.hostId) this.promise(placement, placement.hostId);
        break;
      case 'refused':
        this.#waiting.delete(placement.id);
        this.release(placement.id);
        this.volumes.ended(placement, true);
        this.#gone.set(subject, { subject, atMs: placement.atMs });
        break;
    }
  }

  #applyContainer(subject: string, seq: number, container: Container): void {
    if (this.#unassigned.get(container.id)?.hostId === container.hostId) this.#unassigned.delete(container.id);
    this.#keepApart({ container, seq });
    if (container.status !== 'removed') return this.#books.promise(container, container.hostId, holdOf(container));
    if (this.#books.promised(container.id)?.hostId === container.hostId) this.release(container.id);
    const { reason, removedAtMs } = container;
    if (reason.kind === 'rejected') {
      // It is placed again: its placement lives on.
      this.#rejections.set(container.id, { containerId: container.id, hostId: container.hostId, code: reason.code, message: reason.message });
      this.#replacing.set(container.id, container.name);
    } else {
      this.volumes.ended(container, container.withVolumes === true);
      // Before the container's own subject: a placement without a container would be assigned once more.
      const placement = placementSubject(container.id);
      this.#gone.set(placement, { subject: placement, atMs: removedAtMs });
    }
    this.#gone.set(subject, { subject, atMs: removedAtMs });
  }

  #keepApart(known: Known): void {
    const { container } = known;
    const { id, hostId, status, replaced, spec } = container;
    if (replaced !== undefined && !replaced.requested) this.#successions.set(id, known);
    else this.#successions.delete(id);
    if (status === 'assigned') keep(this.#unmade, known);
    else this.#unmade.get(hostId)?.delete(id);
    if (spec.placement?.rescheduleOnHostLoss !== true) return;
    let leaving = this.#leaving.get(hostId);
    if (leaving === undefined) this.#leaving.set(hostId, (leaving = new Set()));
    if (replaced !== undefined && status !== 'removed') leaving.add(id);
    else leaving.delete(id);
    if (status === 'removed' || replaced !== undefined) this.#movable.get(hostId)?.delete(id);
    else keep(this.#movable, known);
  }

  /** Counts a container against a host at once, before the log has told of it. Doing it again changes nothing. */
  promise(placement: Pick<Placement, 'id' | 'name' | 'spec' | 'start'>, hostId: HostId): void {
    this.#books.promise(placement, hostId, placement.start === true ? 'firm' : 'loose');
  }

  /** Takes a container's promise back: it is gone, or its host said no. */
  release(containerId: string): void {
    this.#books.release(containerId);
  }

  /** Takes back what `promise` has counted for a request that was not placed after all, unless the log has told meanwhile of another host for it. */
  unpromise(containerId: string): void {
    if (this.#waiting.has(containerId)) this.release(containerId);
  }

  /** Hosts that are up and have an image, but for `hostId`; none where that has it, too. */
  imageHolders(imageId: string, hostId: HostId): readonly HostId[] {
    const holders = this.#books.holders(imageId);
    return holders.has(hostId) ? [] : [...holders.keys()].filter((holder) => this.#hosts.get(holder)?.state === 'up');
  }

  /** Hosts whose containers something may have to be done about: lost, removed, or being drained. As `waiting`. */
  concerning(): Iterable<Host> {
    return this.#concerning.values();
  }

  hasHost(hostId: string): boolean {
    return this.#hosts.has(hostId as HostId);
  }

  hosts(): readonly Host[] {
    return [...this.#hosts.values()];
  }

  /** Chooses a host; counts nothing. */
  choose(spec: ContainerSpec, options: Parameters<Chooser['choose']>[1]): Plan {
    return this.#chooser.choose(spec, options);
  }

  #candidate(hostId: HostId): Candidate | null {
    const host = this.#hosts.get(hostId);
    return host === undefined || host.state === 'removed' ? null : { host, ...this.#books.of(hostId) };
  }

  /** What the catalogue knows of a guest kernel; any host can fetch it. */
  readonly catalogued: CataloguedKernel = (name) => {
    const kernel = this.#kernels.get(name);
    if (kernel === undefined) return null;
    return { profilesOn: (hostId) => kernel.probes.find((probe) => probe.hostId === hostId && probe.digest === kernel.record.digest)?.profiles ?? [] };
  };

  /** Containers of a host that may get a successor elsewhere. */
  movable(hostId: HostId): readonly Known[] {
    return [...(this.#movable.get(hostId)?.values() ?? [])];
  }

  /** Whether all replaced containers have gone from a host. */
  haveLeft(hostId: HostId): boolean {
    return (this.#leaving.get(hostId)?.size ?? 0) === 0;
  }

  /** Replaced containers whose successor is still to be asked for, also those that have gone from their host. */
  successions(): readonly Known[] {
    return [...this.#successions.values()];
  }

  /** Whether a container may be waiting for a host: a request, or one that may be moved. */
  isOpen(containerId: string): boolean {
    if (this.#waiting.has(containerId)) return true;
    const hostId = this.#books.promised(containerId)?.hostId;
    return hostId !== undefined && this.#movable.get(hostId)?.has(containerId) === true;
  }

  /** What containers on a host are promised. */
  reserved(hostId: HostId): Amounts {
    const { cpuNanos, memoryBytes, pids } = this.#books.of(hostId).reserved;
    return { cpuNanos, memoryBytes, pids };
  }

  /** Containers that a host has been given and has not made yet. */
  unmade(hostId: HostId): readonly Known[] {
    return [...(this.#unmade.get(hostId)?.values() ?? [])];
  }

  /** Ids of all containers that a host has or is promised. */
  occupants(hostId: HostId): readonly string[] {
    return this.#books.occupants(hostId);
  }

  /** Requests without a host, oldest first. Not copied, for there may be thousands: to be read before anything is awaited. */
  waiting(): Iterable<Waiting> {
    return this.#waiting.values();
  }

  /** Placements whose container has not been put on its host's subject. As `waiting`. */
  unassigned(): Iterable<Extract<Placement, { status: 'placed' }>> {
    return this.#unassigned.values();
  }

  rejections(): Iterable<Rejection> {
    return this.#rejections.values();
  }

  /** The rejection has been told to the placement. */
  settle({ containerId }: Rejection): void {
    this.#rejections.delete(containerId);
  }

  /** The name that a container has, or has asked for; null when there is no such container. */
  nameOf(containerId: string): string | null {
    return this.#books.promised(containerId)?.name ?? this.#waiting.get(containerId)?.placement.name ?? this.#replacing.get(containerId) ?? null;
  }

  /** Whether a container has this name, or had it until another one took its place and is about to take its name. */
  holdsName(containerId: string, name: string): boolean {
    return this.nameOf(containerId) === name || this.#successions.get(containerId)?.container.replaced?.name === name;
  }

  /** What is gone since before `beforeMs`, and beyond that the oldest of what exceeds `keepAtMost`; without the `pinned` subjects. */
  forgettable(beforeMs: number, keepAtMost: number, pinned: ReadonlySet<string> = new Set()): readonly Gone[] {
    const pending = new Set([...this.#successions.values()].flatMap(({ container }) => [placementSubject(container.id), containerSubject(container.hostId, container.id)] as string[]));
    const oldestFirst = [...this.#gone.values()].filter(({ subject }) => !pending.has(subject) && !pinned.has(subject)).toSorted((a, b) => a.atMs - b.atMs);
    const excess = oldestFirst.length - keepAtMost;
    return oldestFirst.filter((gone, index) => gone.atMs < beforeMs || index < excess);
  }

  forget(gone: Gone): void {
    this.#gone.delete(gone.subject);
  }
}

function keep(byHost: Map<HostId, Map<string, Known>>, known: Known): void {
  const { id, hostId } = known.container;
  const ofHost = byHost.get(hostId);
  if (ofHost === undefined) byHost.set(hostId, new Map([[id, known]]));
  else ofHost.set(id, known);
}
