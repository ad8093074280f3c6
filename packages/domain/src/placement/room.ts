// The room on a host: what containers reserve of it, which of its ports they hold, and whether one more fits. The scheduler asks it to choose,
// the agent asks it again before it accepts: the same rule twice, so that no view that is behind puts more on a host than it has.
import type { Capacity } from '../host.ts';
import type { ContainerSpec, PortBinding } from '../container/spec.ts';
import { noRules } from './rules.ts';

/** Amounts that are promised to containers. */
export interface Amounts {
  readonly cpuNanos: number;
  readonly memoryBytes: number;
  readonly pids: number;
}

export const noAmounts: Amounts = { cpuNanos: 0, memoryBytes: 0, pids: 0 };

/**
 * What a container is promised for as long as it is there, running or not, so that it can always be started again. A limit is no reservation:
 * it bounds one container, and limits together may exceed the host.
 */
export function reservationOf({ resources, placement }: Pick<ContainerSpec, 'resources' | 'placement'>): Amounts {
  const { reserve } = placement ?? noRules;
  return { cpuNanos: reserve.cpuNanos, memoryBytes: Math.max(reserve.memoryBytes, resources.memoryReservationBytes ?? 0), pids: reserve.pids };
}

export function addAmounts(a: Amounts, b: Amounts): Amounts {
  return { cpuNanos: a.cpuNanos + b.cpuNanos, memoryBytes: a.memoryBytes + b.memoryBytes, pids: a.pids + b.pids };
}

/** Why a container does not fit a host on which `reserved` is promised to others, as a sentence, or null where it fits. */
export function explainFit(spec: Pick<ContainerSpec, 'resources' | 'placement'>, capacity: Capacity, reserved: Amounts): string | null {
  const { memoryBytes, nanoCpus, pidsLimit } = spec.resources;
  const pids = capacity.pids ?? Infinity;
  if (memoryBytes !== null && memoryBytes > capacity.memoryBytes) return `its memory is ${sizeText(capacity.memoryBytes)}, the container's limit is ${sizeText(memoryBytes)}: ask for less`;
  if (nanoCpus !== null && nanoCpus > capacity.cpuNanos) return `it has ${cpuText(capacity.cpuNanos)} CPUs, the container's limit is ${cpuText(nanoCpus)}: ask for less`;
  if (pidsLimit !== null && pidsLimit > pids) return `it can have ${pids} processes, the container's limit is ${pidsLimit}: ask for less`;
  const wants = reservationOf(spec);
  const lacks = (what: string, wanted: number, total: number, taken: number, text: (amount: number) => string): string | null =>
    wanted > 0 && wanted > total - taken ? `${text(wanted)} of ${what} are to be reserved and ${text(Math.max(0, total - taken))} of ${text(total)} are left: reserve less, or remove containers there` : null;
  return lacks('memory', wants.memoryBytes, capacity.memoryBytes, reserved.memoryBytes, sizeText)
    ?? lacks('CPUs', wants.cpuNanos, capacity.cpuNanos, reserved.cpuNanos, cpuText)
    ?? lacks('processes', wants.pids, pids, reserved.pids, String);
}

const cpuText = (nanos: number): string => String(Number((nanos / 1e9).toFixed(3)));

function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let value = bytes;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${Number(value.toFixed(2))} ${units[unit]}`;
}

/**
 * A host port that a container has, or will have when it starts. `firm`: it runs, or comes back by itself. One that was only created holds its
 * ports as in Docker, which is not at all: it is avoided where another host can be had, and its start fails where the port is taken by then.
 */
export interface PortHold {
  readonly hostIp: string;
  readonly firm: boolean;
}

/** Holds by `80/tcp`. */
export type PortBook = ReadonlyMap<string, readonly PortHold[]>;

export const portKeyOnHost = ({ hostPort, protocol }: Pick<PortBinding, 'hostPort' | 'protocol'>): string => `${hostPort}/${protocol}`;

/** Whether two addresses cannot share a port: the same one, or one of them is every address of the other's family. Empty: every address of all. */
export function addressesClash(a: string, b: string): boolean {
  if (a === b || a === '' || b === '') return true;
  if (a.includes(':') !== b.includes(':')) return false;
  return a === '0.0.0.0' || b === '0.0.0.0' || a === '::' || b === '::';
}

/** The first published port of a container that is held; null: all are free. Ports that the host chooses are always free. */
export function clashingPort(spec: Pick<ContainerSpec, 'ports'>, book: PortBook, firm: boolean): PortBinding | null {
  return spec.ports.find((port) => port.hostPort !== null && (book.get(portKeyOnHost(port)) ?? []).some((hold) => hold.firm === firm && addressesClash(hold.hostIp, port.hostIp))) ?? null;
}
