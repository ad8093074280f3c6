// Containers as rows: what `ps` prints and what its templates may name, whether they come from Docker's list or from the cluster at a past instant. Pure.
import type { ClusterContainer } from '@pouch/contracts';
import type { ContainerItem, PortItem } from '../engine/shapes.ts';
import type { Column } from './output.ts';
import { humanAgo, humanDuration, humanSize } from './sizes.ts';
import { shortened } from './table.ts';
import { goTime } from './times.ts';

/** Type, not interface: it must be assignable to a record of unknown. */
export type ContainerRow = {
  readonly ID: string;
  readonly Name: string;
  readonly Names: string;
  readonly Status: string;
  readonly State: string;
  readonly Image: string;
  readonly Runtime: string;
  readonly Command: string;
  readonly CreatedAt: string;
  readonly RunningFor: string;
  readonly Ports: string;
  readonly Labels: Readonly<Record<string, string>>;
  readonly Networks: string;
  readonly Size: string;
};

export const shortIdLength = 6;

export function containerColumns(truncate: boolean, size: boolean): Column<ContainerRow>[] {
  return [
    { title: 'Name', value: (row) => row.Name },
    { title: 'ID', value: (row) => (truncate ? row.ID.slice(0, shortIdLength) : row.ID) },
    { title: 'Status', value: (row) => row.Status },
    { title: 'Image', value: (row) => (truncate ? shortened(row.Image, 60) : row.Image) },
    { title: 'Runtime', value: (row) => row.Runtime },
    ...(size ? [{ title: 'Size', value: (row: ContainerRow) => row.Size }] : []),
  ];
}

export function containerRow(item: ContainerItem, nowMs: number): ContainerRow {
  const names = (item.Names ?? []).map((name) => name.replace(/^\//, ''));
  return {
    ID: item.Id,
    Name: names[0] ?? '',
    Names: names.join(','),
    Status: item.Status ?? item.State ?? '',
    State: item.State ?? '',
    Image: item.Image,
    Runtime: item.HostConfig?.Runtime ?? '',
    Command: item.Command ?? '',
    CreatedAt: goTime(item.Created * 1000),
    RunningFor: humanAgo(nowMs - item.Created * 1000),
    Ports: portsText(item.Ports ?? []),
    Labels: item.Labels ?? {},
    Networks: item.HostConfig?.NetworkMode ?? '',
    Size: item.SizeRw === undefined && item.SizeRootFs === undefined ? '' : `${humanSize(item.SizeRw ?? 0)} (virtual ${humanSize(item.SizeRootFs ?? 0)})`,
  };
}

/** `atMs`: the instant that durations are told from. */
export function pastContainerRow(container: ClusterContainer, atMs: number): ContainerRow {
  return {
    ID: container.id,
    Name: container.name,
    Names: container.name,
    Status: statusText(container, atMs),
    State: container.status,
    Image: container.image,
    Runtime: container.runtime,
    Command: container.command.join(' '),
    CreatedAt: goTime(container.createdAtMs),
    RunningFor: humanAgo(atMs - container.createdAtMs),
    Ports: '',
    Labels: container.labels,
    Networks: '',
    Size: '',
  };
}

export function statusText(container: ClusterContainer, atMs: number): string {
  const up = () => `Up ${humanDuration(atMs - (container.startedAtMs ?? atMs))}`;
  const since = () => `(${container.exitCode ?? 0}) ${humanAgo(atMs - (container.finishedAtMs ?? atMs))}`;
  switch (container.status) {
    case 'assigned':
      return 'Being created';
    case 'created':
      return 'Created';
    case 'running':
      return container.health === null ? up() : `${up()} (${container.health === 'starting' ? 'health: starting' : container.health})`;
    case 'paused':
      return `${up()} (Paused)`;
    case 'restarting':
      return `Restarting ${since()}`;
    case 'exited':
      return `Exited ${since()}`;
    case 'removed':
      return 'Removed';
    default:
      return String(container.status satisfies never);
  }
}

/** `0.0.0.0:8080->80/tcp, 443/tcp`. */
export function portsText(ports: readonly PortItem[]): string {
  return ports
    .map(({ IP, PrivatePort, PublicPort, Type }) => (PublicPort === undefined ? `${PrivatePort}/${Type}` : `${IP?.includes(':') === true ? `[${IP}]` : (IP ?? '')}:${PublicPort}->${PrivatePort}/${Type}`))
    .join(', ');
}
