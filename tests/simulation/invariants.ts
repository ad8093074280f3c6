// What must hold at every moment of a simulated cluster, checked at each message of the log and each start of a task; and what must hold once faults
// have stopped. It looks at the log and at the engines, never into the product.
import type { Recorded } from '@pouch/contracts';
import { reservationOf, type Container, type Host, type HostId, type Service, type Volume } from '@pouch/domain';
import type { HostActor } from './actors.ts';
import { HealthRules } from './health-rules.ts';
import { ServiceRules } from './service-rules.ts';
import { Violation } from './violation.ts';
import { VolumeRules } from './volume-rules.ts';

export class Invariants {
  readonly containers = new Map<string, Container>();
  readonly hosts = new Map<string, Host>();
  readonly #placements = new Map<string, { status: string; predecessor?: string }>();
  readonly #names = new Map<string, string>();
  readonly #asked = new Set<string>();
  readonly #started = new Set<string>();
  readonly #services = new ServiceRules();
  readonly #volumes = new VolumeRules();
  readonly #health: HealthRules;
  messages = 0;
  readonly startsInLog = new Map<string, Set<string>>();
  readonly #machines: () => readonly HostActor[];

  constructor(machines: () => readonly HostActor[]) {
    this.#machines = machines;
    this.#health = new HealthRules(machines);
  }

  /** Throws a Violation. */
  message(recorded: Recorded): void {
    const { message } = recorded;
    this.messages++;
    if (message.kind === 'host') this.hosts.set((message.snapshot as Host).id, message.snapshot as Host);
    if (message.kind === 'placement') this.#placements.set((message.snapshot as { id: string }).id, message.snapshot as { status: string });
    if (message.kind === 'service') {
      this.#services.message(message.snapshot as Service);
      this.#health.service(recorded);
    }
    if (message.kind === 'volume') this.#volumes.message(message.snapshot as Volume, this.#living);
    if (message.kind !== 'container') return;
    const container = message.snapshot as Container;
    const { id, hostId, name } = container;
    const before = this.containers.get(key(container));
    this.containers.set(key(container), container);
    this.#health.container(recorded);
    for (const event of message.events as readonly { type: string; commandId?: string; startId?: string; run?: { startId: string } }[]) {
      if (event.type === 'ContainerRequested' && event.commandId !== undefined) this.#asked.add(`${id} ${event.commandId}`);
      if (event.type === 'ContainerAssigned' && event.startId !== undefined) this.#asked.add(`${id} ${event.startId}`);
      if (event.type === 'ContainerStarted' && event.run !== undefined) this.startsInLog.set(id, (this.startsInLog.get(id) ?? new Set()).add(event.run.startId));
    }
    if (before !== undefined && this.#names.get(before.name) === id) this.#names.delete(before.name);
    if (container.status === 'removed') return;
    this.#volumes.container(container);
    const holder = this.#names.get(name);
    if (holder !== undefined && holder !== id) throw new Violation(`names are unique: ${name} is of ${holder.slice(0, 8)} and of ${id.slice(0, 8)}`);
    this.#names.set(name, id);
    for (const other of this.containers.values()) {
      if (other.id === id && other.hostId !== hostId && other.status !== 'removed') throw new Violation(`one host per container: ${id.slice(0, 8)} is on ${hostId} and on ${other.hostId}`);
    }
    if (before?.status === 'assigned' && container.status !== 'assigned') this.#capacity(hostId);
  }

  #capacity(hostId: HostId): void {
    const capacity = this.#machines().find((one) => one.hostId === hostId)?.facts.capacity.memoryBytes ?? 0;
    let reserved = 0;
    for (const one of this.containers.values()) if (one.hostId === hostId && one.status !== 'removed' && one.status !== 'assigned') reserved += reservationOf(one.spec).memoryBytes;
    if (reserved > capacity) throw new Violation(`capacity is respected: ${hostId} has ${capacity} bytes and ${reserved} are promised`);
  }

  /** A task was started. Throws a Violation. */
  start(hostId: string, containerId: string, startId: string): void {
    const what = `${containerId} ${startId}`;
    if (this.#started.has(what)) throw new Violation(`no start beyond what was asked: ${containerId.slice(0, 8)} was started twice by ${startId}`);
    this.#started.add(what);
    const container = this.containers.get(`${hostId} ${containerId}`);
    if (container === undefined) throw new Violation(`no start beyond what was asked: ${containerId.slice(0, 8)} is not of ${hostId}`);
    const byPolicy = startId.startsWith('policy-') && container.spec.restartPolicy.name !== 'no';
    if (!byPolicy && !this.#asked.has(what)) throw new Violation(`no start beyond what was asked: nobody asked for ${startId} of ${containerId.slice(0, 8)}`);
    for (const machine of this.#machines()) {
      if (machine.hostId !== hostId && machine.engine.running().includes(containerId)) throw new Violation(`one host per container: ${containerId.slice(0, 8)} runs on ${hostId} and on ${machine.hostId}`);
    }
    this.#services.start(container, this.#running().filter((id) => this.#uidOf(id) === container.spec.service?.uid));
  }

  #running(): string[] {
    return this.#machines().flatMap(({ engine }) => engine.running());
  }

  #uidOf(containerId: string): string | undefined {
    return [...this.containers.values()].find(({ id }) => id === containerId)?.spec.service?.uid;
  }

  /** What is not as it should be after all faults; empty: it has converged. */
  unsettled(): string[] {
    const wrong: string[] = [];
    const followers = new Map<string, string>();
    for (const { id, hostId, status, requests, replaced, predecessor } of this.containers.values()) {
      const who = `${id.slice(0, 8)} on ${hostId}`;
      if (predecessor !== undefined && status !== 'removed') {
        const other = followers.get(predecessor);
        if (other !== undefined && other !== id) wrong.push(`${predecessor.slice(0, 8)} has two successors`);
        followers.set(predecessor, id);
      }
      if (status === 'removed') continue;
      if (status === 'assigned') wrong.push(`${who} is not made`);
      if (requests.length > 0) wrong.push(`${who} owes ${requests.map(({ action, commandId }) => `${action.kind} ${commandId.slice(0, 8)}`).join(', ')}`);
      if (replaced !== undefined) wrong.push(`${who} was replaced and is there still`);
    }
    for (const [id, { status, predecessor }] of this.#placements) {
      if (status === 'requested' && predecessor === undefined) wrong.push(`${id.slice(0, 8)} has no host and no refusal`);
      if (status === 'placed' && ![...this.containers.values()].some((one) => one.id === id)) wrong.push(`${id.slice(0, 8)} is placed and on no host`);
    }
    for (const { hostId, engine, core, process } of this.#machines()) {
      if (this.hosts.get(hostId)?.state !== 'up') wrong.push(`${hostId} is not up`);
      if (!process.alive || core === null) wrong.push(`${hostId}'s agent is away`);
      else if (core.rooms.outbox.size > 0) wrong.push(`${hostId} owes the log ${core.rooms.outbox.size} reports`);
      const inLog = [...this.containers.values()].filter((one) => one.hostId === hostId && (one.status === 'running' || one.status === 'paused')).map((one) => one.id).sort();
      const seen = engine.running().sort();
      if (inLog.join() !== seen.join()) wrong.push(`${hostId} runs ${short(seen)}, the log says ${short(inLog)}`);
      const there = [...this.containers.values()].filter((one) => one.hostId === hostId && one.status !== 'removed').map((one) => one.id).sort();
      const made = [...engine.containers].sort();
      if (there.join() !== made.join()) wrong.push(`${hostId} has ${short(made)}, the log says ${short(there)}`);
    }
    return [...wrong, ...this.#services.unsettled([...this.containers.values()]), ...this.#volumes.unsettled(this.#living), ...this.#health.unsettled([...this.containers.values()])];
  }

  /** Whether a container is on some host, or may still come to be there. */
  readonly #living = (containerId: string): boolean => {
    const status = this.#placements.get(containerId)?.status;
    const here = [...this.containers.values()].filter(({ id }) => id === containerId);
    const ended = here.some((one) => one.status === 'removed' && one.reason.kind !== 'rejected');
    return status !== undefined && status !== 'refused' && !ended;
  };
}

const key = ({ hostId, id }: Container): string => `${hostId} ${id}`;
const short = (ids: readonly string[]): string => `[${ids.map((id) => id.slice(0, 8)).join(' ')}]`;
