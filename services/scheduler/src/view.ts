// The cluster as the scheduler sees it: hosts, what is promised on each, requests that wait, and what is gone and may be forgotten.
// Fed with messages of the log in order; asks nobody and decides nothing.
import type { AggregateKind, Candidate, CataloguedKernel, Container, ContainerId, Host, HostId, Kernel, Placement, Reserved } from '@pouch/domain';
import { placementSubject, type Recorded } from '@pouch/contracts';

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

interface Promised {
  readonly hostId: HostId;
  readonly name: string;
  readonly ended: boolean;
  readonly cpuNanos: number;
  readonly memoryBytes: number;
  readonly ports: readonly string[];
}

interface HostBooks {
  cpuNanos: number;
  memoryBytes: number;
  containers: number;
  readonly ports: Map<string, number>;
}

export class View {
  readonly #hosts = new Map<HostId, Host>();
  readonly #books = new Map<HostId, HostBooks>();
  readonly #promises = new Map<string, Promised>();
  readonly #waiting = new Map<string, Waiting>();
  /** Placed, but the host's own subject does not tell of it yet. */
  readonly #unassigned = new Map<string, Extract<Placement, { status: 'placed' }>>();
  readonly #rejections = new Map<string, Rejection>();
  /** Names of containers between a host's no and what their placement says to it. */
  readonly #replacing = new Map<string, string>();
  readonly #gone = new Map<string, Gone>();
  /** Guest kernels of the catalogue, by name. */
  readonly #kernels = new Map<string, Kernel>();

  /** Takes one message in; the log's order per subject is assumed. */
  apply({ subject, seq, message }: Recorded): void {
    const snapshot: unknown = message.snapshot;
    switch (message.kind as AggregateKind) {
      case 'host':
        this.#hosts.set((snapshot as Host).id, snapshot as Host);
        break;
      case 'placement':
        this.#applyPlacement(subject, seq, snapshot as Placement);
        break;
      case 'container':
        this.#applyContainer(subject, snapshot as Container);
        break;
      case 'exec':
        // One that nobody has started since it was created goes as well: else those of clients that went away stay for ever.
        if ((snapshot as { status: string }).status === 'running') this.#gone.delete(subject);
        else this.#gone.set(subject, { subject, atMs: message.meta.atMs });
        break;
      case 'image':
        if ((snapshot as { state: string }).state === 'removed') this.#gone.set(subject, { subject, atMs: message.meta.atMs });
        else this.#gone.delete(subject);
        break;
      case 'kernel': {
        const kernel = snapshot as Kernel;
        if (kernel.state === 'present') {
          this.#kernels.set(kernel.name, kernel);
          this.#gone.delete(subject);
        } else {
          this.#kernels.delete(kernel.name);
          this.#gone.set(subject, { subject, atMs: message.meta.atMs });
        }
        break;
      }
      default: // kinds of a newer version concern a newer scheduler
    }
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
        this.promise(placement, placement.hostId);
        break;
      case 'refused':
        this.#waiting.delete(placement.id);
        this.release(placement.id);
        this.#gone.set(subject, { subject, atMs: placement.atMs });
        break;
    }
  }

  #applyContainer(subject: string, container: Container): void {
    if (this.#unassigned.get(container.id)?.hostId === container.hostId) this.#unassigned.delete(container.id);
    if (container.status !== 'removed') return this.promise(container, container.hostId, container.status === 'exited');
    if (this.#promises.get(container.id)?.hostId === container.hostId) this.release(container.id);
    const { reason, removedAtMs } = container;
    if (reason.kind === 'rejected') {
      // It is placed again: its placement lives on.
      this.#rejections.set(container.id, { containerId: container.id, hostId: container.hostId, code: reason.code, message: reason.message });
      this.#replacing.set(container.id, container.name);
    } else {
      // Before the container's own subject: a placement without a container would be assigned once more.
      const placement = placementSubject(container.id);
      this.#gone.set(placement, { subject: placement, atMs: removedAtMs });
    }
    this.#gone.set(subject, { subject, atMs: removedAtMs });
  }

  /** Counts a container against a host at once, before the log has told of it. Doing it again changes nothing. */
  promise({ id, name, spec }: Pick<Container | Placement, 'id' | 'name' | 'spec'>, hostId: HostId, ended = false): void {
    const present = this.#promises.get(id);
    if (present?.hostId === hostId && present.name === name && present.ended === ended) return;
    this.release(id);
    const promised: Promised = {
      hostId,
      name,
      ended,
      cpuNanos: spec.resources.nanoCpus ?? 0,
      memoryBytes: spec.resources.memoryBytes ?? 0,
      // As in Docker: a container that has ended gives way to another on its ports, and asks its host for them when it starts again.
      ports: ended ? [] : spec.ports.filter((port) => port.hostPort !== null).map((port) => `${port.hostPort}/${port.protocol}`),
    };
    this.#promises.set(id, promised);
    this.#count(promised, 1);
  }

  /** Takes a container's promise back: it is gone, or its host said no. */
  release(containerId: string): void {
    const promised = this.#promises.get(containerId);
    if (promised === undefined) return;
    this.#promises.delete(containerId);
    this.#count(promised, -1);
  }

  #count({ hostId, cpuNanos, memoryBytes, ports }: Promised, sign: 1 | -1): void {
    let books = this.#books.get(hostId);
    if (books === undefined) this.#books.set(hostId, (books = { cpuNanos: 0, memoryBytes: 0, containers: 0, ports: new Map() }));
    books.cpuNanos += sign * cpuNanos;
    books.memoryBytes += sign * memoryBytes;
    books.containers += sign;
    for (const port of ports) {
      const users = (books.ports.get(port) ?? 0) + sign;
      if (users > 0) books.ports.set(port, users);
      else books.ports.delete(port);
    }
  }

  hosts(): readonly Host[] {
    return [...this.#hosts.values()];
  }

  candidates(): Candidate[] {
    return this.hosts().filter((host) => host.state !== 'removed').map((host) => ({ host, reserved: this.#reserved(host.id) }));
  }

  /** What the catalogue knows of a guest kernel; any host can fetch it. */
  readonly catalogued: CataloguedKernel = (name) => {
    const kernel = this.#kernels.get(name);
    if (kernel === undefined) return null;
    return { profilesOn: (hostId) => kernel.probes.find((probe) => probe.hostId === hostId && probe.digest === kernel.record.digest)?.profiles ?? [] };
  };

  #reserved(hostId: HostId): Reserved {
    const books = this.#books.get(hostId);
    if (books === undefined) return { cpuNanos: 0, memoryBytes: 0, containers: 0, ports: new Set() };
    const { cpuNanos, memoryBytes, containers, ports } = books;
    return { cpuNanos, memoryBytes, containers, ports: new Set(ports.keys()) };
  }

  /** Requests without a host, oldest first. */
  waiting(): readonly Waiting[] {
    return [...this.#waiting.values()];
  }

  /** Placements whose container has not been put on its host's subject. */
  unassigned(): readonly Extract<Placement, { status: 'placed' }>[] {
    return [...this.#unassigned.values()];
  }

  rejections(): readonly Rejection[] {
    return [...this.#rejections.values()];
  }

  /** The rejection has been told to the placement. */
  settle({ containerId }: Rejection): void {
    this.#rejections.delete(containerId);
  }

  /** The name that a container has, or has asked for; null when there is no such container. */
  nameOf(containerId: string): string | null {
    return this.#promises.get(containerId)?.name ?? this.#waiting.get(containerId)?.placement.name ?? this.#replacing.get(containerId) ?? null;
  }

  /** What is gone since before `beforeMs`, and beyond that the oldest of what exceeds `keepAtMost`. */
  forgettable(beforeMs: number, keepAtMost: number): readonly Gone[] {
    const oldestFirst = [...this.#gone.values()].toSorted((a, b) => a.atMs - b.atMs);
    const excess = oldestFirst.length - keepAtMost;
    return oldestFirst.filter((gone, index) => gone.atMs < beforeMs || index < excess);
  }

  forget(gone: Gone): void {
    this.#gone.delete(gone.subject);
  }
}
