// What is promised on each host, and what stands there: kept up to date promise by promise, so that choosing never adds anything up.
// Knows no message of the log; the view tells it.
import { groupOf, portKeyOnHost, reservationOf, type Amounts, type Container, type ContainerSpec, type HeldImage, type HostContents, type HostId, type Occupant, type PortHold, type Reserved } from '@pouch/domain';

/** How a container holds its published ports: `firm` while it runs or is to, `loose` before it was ever started, `none` once it has ended. */
export type Hold = 'firm' | 'loose' | 'none';

interface Promised extends Occupant {
  readonly hostId: HostId;
  readonly hold: Hold;
  readonly amounts: Amounts;
  readonly group: string;
  readonly ports: readonly { readonly key: string; readonly hold: PortHold }[];
}

/** How often a container of a group failed, by host. */
export interface Failures {
  readonly group: string;
  readonly byHost: ReadonlyMap<HostId, number>;
}

/** One host's page. Handed out as `Reserved`: those who choose only read. */
class Page implements Reserved {
  cpuNanos = 0;
  memoryBytes = 0;
  pids = 0;
  readonly ports = new Map<string, readonly PortHold[]>();
  readonly groups = new Map<string, number>();
  readonly occupants = new Map<string, Promised>();
  readonly held = new Map<string, HeldImage>();
  readonly contents: HostContents = { containers: () => this.occupants.values(), images: () => this.held.values() };

  get containers(): number {
    return this.occupants.size;
  }

  count({ amounts, group, ports }: Promised, sign: 1 | -1): void {
    this.cpuNanos += sign * amounts.cpuNanos;
    this.memoryBytes += sign * amounts.memoryBytes;
    this.pids += sign * amounts.pids;
    this.countAlike(group, sign);
    for (const { key, hold } of ports) {
      const holds = this.ports.get(key) ?? [];
      const now = sign === 1 ? [...holds, hold] : holds.filter((one) => one !== hold);
      if (now.length > 0) this.ports.set(key, now);
      else this.ports.delete(key);
    }
  }

  countAlike(group: string, by: number): void {
    const alike = (this.groups.get(group) ?? 0) + by;
    if (alike > 0) this.groups.set(group, alike);
    else this.groups.delete(group);
  }
}

/** A host's page as the scheduling rules read it. */
export interface HostBooks {
  readonly reserved: Reserved;
  readonly contents: HostContents;
}

export class Books {
  readonly #pages = new Map<HostId, Page>();
  readonly #promises = new Map<string, Promised>();
  /** Hosts by image id, with how many names they have it under. */
  readonly #holders = new Map<string, Map<HostId, number>>();
  /** By service: how often one of its group failed lately on which host. */
  readonly #failures = new Map<string, Failures>();

  readonly #onChange: (hostId: HostId) => void;

  /** `onChange`: told of each host whose page has changed. */
  constructor(onChange: (hostId: HostId) => void) {
    this.#onChange = onChange;
  }

  of(hostId: HostId): HostBooks {
    const page = this.#page(hostId);
    return { reserved: page, contents: page.contents };
  }

  /** Ids of the containers that are promised to a host. */
  occupants(hostId: HostId): readonly string[] {
    return [...this.#page(hostId).occupants.keys()];
  }

  promised(containerId: string): { readonly hostId: HostId; readonly name: string } | undefined {
    return this.#promises.get(containerId);
  }

  /** Counts a container against a host. Doing it again changes nothing. */
  promise({ id, name, spec }: { readonly id: string; readonly name: string; readonly spec: ContainerSpec }, hostId: HostId, hold: Hold): void {
    const present = this.#promises.get(id);
    if (present?.hostId === hostId && present.name === name && present.hold === hold) return;
    this.release(id);
    const ports = hold === 'none' ? [] : spec.ports.flatMap((port) => (port.hostPort === null ? [] : [{ key: portKeyOnHost(port), hold: { hostIp: port.hostIp, firm: hold === 'firm' } }]));
    const promised: Promised = { id, name, labels: spec.labels, hostId, hold, amounts: reservationOf(spec), group: groupOf(spec), ports };
    const page = this.#page(hostId);
    this.#promises.set(id, promised);
    page.occupants.set(id, promised);
    page.count(promised, 1);
    this.#onChange(hostId);
  }

  /** Takes a container's promise back: it is gone, or its host said no. */
  release(containerId: string): void {
    const promised = this.#promises.get(containerId);
    if (promised === undefined) return;
    const page = this.#page(promised.hostId);
    this.#promises.delete(containerId);
    page.occupants.delete(containerId);
    page.count(promised, -1);
    this.#onChange(promised.hostId);
  }

  /**
   * What failed lately of a service, in place of what was told of it before; null: nothing, or it is no more. Each counts on its host like a container that stands: else
   * a host on which all of them fail would be the emptiest one, and have every next one, too.
   */
  failed(service: string, failures: Failures | null): void {
    const before = this.#failures.get(service);
    if (before !== undefined) this.#countFailures(before, -1);
    this.#failures.delete(service);
    if (failures === null || failures.byHost.size === 0) return;
    this.#failures.set(service, failures);
    this.#countFailures(failures, 1);
  }

  #countFailures({ group, byHost }: Failures, sign: 1 | -1): void {
    for (const [hostId, times] of byHost) {
      this.#page(hostId).countAlike(group, sign * times);
      this.#onChange(hostId);
    }
  }

  holdImage(hostId: HostId, key: string, image: HeldImage | null): void {
    const { held } = this.#page(hostId);
    const before = held.get(key);
    if (before !== undefined) this.#countHolder(before.id, hostId, -1);
    if (image === null) held.delete(key);
    else {
      held.set(key, image);
      this.#countHolder(image.id, hostId, 1);
    }
    this.#onChange(hostId);
  }

  /** Hosts that have an image, in no order, with how many names. */
  holders(imageId: string): ReadonlyMap<HostId, number> {
    return this.#holders.get(imageId) ?? new Map<HostId, number>();
  }

  #countHolder(imageId: string, hostId: HostId, by: 1 | -1): void {
    const hosts = this.#holders.get(imageId) ?? new Map<HostId, number>();
    const names = (hosts.get(hostId) ?? 0) + by;
    if (names > 0) hosts.set(hostId, names);
    else hosts.delete(hostId);
    if (hosts.size > 0) this.#holders.set(imageId, hosts);
    else this.#holders.delete(imageId);
  }

  #page(hostId: HostId): Page {
    let page = this.#pages.get(hostId);
    if (page === undefined) this.#pages.set(hostId, (page = new Page()));
    return page;
  }
}

/** As in Docker: a container that was only created, or has ended, gives way to another on its ports, and asks its host for them when it starts. */
export function holdOf({ status, requests }: Container): Hold {
  if (status === 'running' || status === 'paused' || status === 'restarting' || requests.some(({ action }) => action.kind === 'start' || action.kind === 'restart')) return 'firm';
  return status === 'exited' ? 'none' : 'loose';
}
