// `pouch ps`: every container whatever its status, now or as it was at a past instant.
import type { ClusterContainer, ClusterContainers } from '@pouch/contracts';
import type { Context } from '../context.ts';
import type { ContainerItem } from '../engine/shapes.ts';
import { UsageError } from '../errors.ts';
import { containerColumns, containerRow, pastContainerRow, shortIdLength, type ContainerRow } from '../format/container-rows.ts';
import { render } from '../format/output.ts';
import { toUnixTime } from '../format/times.ts';
import { toInteger } from '../settings/values.ts';
import { filtersParameter, toFilters, type Filters } from './filters.ts';

export interface PsFlags {
  readonly filter?: readonly string[];
  readonly quiet?: boolean;
  /** False with --no-trunc. */
  readonly trunc?: boolean;
  readonly last?: string;
  readonly latest?: boolean;
  readonly size?: boolean;
  readonly format?: string;
  readonly at?: string;
}

export async function ps(context: Context, flags: PsFlags): Promise<number> {
  const filters = toFilters(flags.filter);
  const limit = flags.latest === true ? 1 : flags.last === undefined ? -1 : toInteger('--last', flags.last, { min: -1 });
  const rows = flags.at === undefined ? await present(context, filters, limit, flags.size === true) : await past(context, filters, limit, flags.at);
  const truncate = flags.trunc !== false;
  if (flags.quiet === true) process.stdout.write(rows.map((row) => `${truncate ? row.ID.slice(0, shortIdLength) : row.ID}\n`).join(''));
  else process.stdout.write(render(flags.format, containerColumns(truncate, flags.size === true), rows));
  return 0;
}

async function present(context: Context, filters: Filters, limit: number, size: boolean): Promise<ContainerRow[]> {
  const client = await context.client();
  const items = await client.json<ContainerItem[]>('GET', '/containers/json', {
    query: { all: 1, limit: limit > 0 ? limit : undefined, size: size ? 1 : undefined, filters: filtersParameter(filters) },
  });
  const now = Date.now();
  return items.map((item) => containerRow(item, now));
}

async function past(context: Context, filters: Filters, limit: number, at: string): Promise<ContainerRow[]> {
  const matches = pastFilter(filters);
  const client = await context.client();
  const { atMs, containers } = await client.json<ClusterContainers>('GET', '/cluster/containers', { query: { at: toUnixTime('--at', at, Date.now()) } });
  const chosen = containers.filter((one) => one.status !== 'removed' && matches(one)).sort((a, b) => b.createdAtMs - a.createdAtMs);
  return (limit > 0 ? chosen.slice(0, limit) : chosen).map((one) => pastContainerRow(one, atMs));
}

const pastFilters: ReadonlyMap<string, (container: ClusterContainer, value: string) => boolean> = new Map(Object.entries<(container: ClusterContainer, value: string) => boolean>({
  status: (container, value) => container.status === value,
  health: (container, value) => (container.health ?? 'none') === value,
  name: (container, value) => container.name.includes(value),
  id: (container, value) => container.id.startsWith(value),
  runtime: (container, value) => container.runtime === value,
  host: (container, value) => container.hostId === value,
  ancestor: (container, value) => container.image === value || container.image.startsWith(`${value}:`) || container.imageId.replace(/^sha256:/, '').startsWith(value.replace(/^sha256:/, '')),
  label: (container, value) => {
    const at = value.indexOf('=');
    return at === -1 ? value in container.labels : container.labels[value.slice(0, at)] === value.slice(at + 1);
  },
  exited: (container, value) => container.status === 'exited' && container.exitCode === Number(value),
}));

/** Values of one key are alternatives (labels must all hold), different keys must all hold. */
function pastFilter(filters: Filters): (container: ClusterContainer) => boolean {
  const unknown = Object.keys(filters).find((key) => !pastFilters.has(key));
  if (unknown !== undefined) throw new UsageError(`-f ${unknown}: with --at there are ${[...pastFilters.keys()].join(', ')}`);
  return (container) => Object.entries(filters).every(([key, values]) => {
    const holds = (value: string) => pastFilters.get(key)?.(container, value) === true;
    return key === 'label' ? values.every(holds) : values.some(holds);
  });
}
