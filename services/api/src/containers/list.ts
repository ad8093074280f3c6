// GET /containers/json: which containers, by Docker's filters, put together from entries that the projection keeps rendered. Entries
// are parsed only where a filter looks into them.
import type { ContainerListEntry } from '@pouch/contracts';
import { canonicalReference, parseReference } from '@pouch/contracts';
import { isReplacedName, type Host } from '@pouch/domain';
import { finishDockerItem, type ContainerItem } from '@pouch/projections';
import { badField, HttpError } from '../errors.ts';
import { labelsMatch, parseFilters, truth, type Filters } from '../http/filters.ts';
import type { Projection } from '../projection/projection.ts';
import { rowStatusText } from './status.ts';

const filterNames = ['ancestor', 'before', 'exited', 'expose', 'health', 'id', 'is-task', 'isolation', 'label', 'name', 'network', 'publish', 'since', 'status', 'volume'] as const;
const states = ['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead'];

export interface ListQuery {
  readonly all?: boolean;
  readonly limit?: number;
  readonly filters?: string;
}

/** The rows that a list shows, newest first. */
export function listRows(projection: Projection, { all = false, limit = 0, filters: text }: ListQuery): ContainerItem[] {
  const filters = parseFilters(text, filterNames);
  const matches = rowFilter(projection, filters);
  const bounded = limit > 0;
  // As Docker: a filter on the state, or a limit, asks for stopped ones too; before and since do as well.
  const everything = all || bounded || ['status', 'exited', 'before', 'since'].some((name) => (filters.get(name)?.length ?? 0) > 0);
  const rows = everything ? projection.present.containerItems() : projection.present.containerItems({ statuses: ['running', 'paused', 'restarting'] }).filter((row) => !isReplacedName(row));
  const found = matches === null ? rows : rows.filter(matches);
  return bounded ? found.slice(0, limit) : found;
}

/** Since when hosts are lost, by id. */
export function lostHosts(hosts: readonly { readonly state: Host }[]): ReadonlyMap<string, number> {
  return new Map(hosts.filter(({ state }) => state.state === 'lost').map(({ state }) => [state.id, state.stateSinceMs]));
}

/** The JSON of the list; `further` gives more members of an entry. */
export function renderList(rows: readonly ContainerItem[], nowMs: number, lost: ReadonlyMap<string, number>, further: (row: ContainerItem) => Readonly<Record<string, unknown>> | null): string {
  return `[${rows.map((row) => finishDockerItem(row.item, rowStatusText(row, nowMs, lost), further(row))).join(',')}]`;
}

type RowTest = (row: ContainerItem) => boolean;
type Entry = Omit<ContainerListEntry, 'Status'>;

/** Null: nothing is asked. Values of one filter are alternatives (of `label` all must hold), different filters must all hold. */
function rowFilter(projection: Projection, filters: Filters): RowTest | null {
  const onRow: RowTest[] = [];
  const onEntry: ((entry: Entry, row: ContainerItem) => boolean)[] = [];
  const values = (name: string): readonly string[] => filters.get(name) ?? [];
  const any = (name: string, compile: (value: string) => RowTest): void => {
    const tests = values(name).map(compile);
    if (tests.length > 0) onRow.push((row) => tests.some((test) => test(row)));
  };
  const anyEntry = (name: string, compile: (value: string) => (entry: Entry, row: ContainerItem) => boolean): void => {
    const tests = values(name).map(compile);
    if (tests.length > 0) onEntry.push((entry, row) => tests.some((test) => test(entry, row)));
  };

  any('id', (value) => (row) => row.id.startsWith(value));
  any('name', nameTest);
  any('status', (value) => {
    if (!states.includes(value)) throw badField('filters.status', `invalid filter 'status=${value.slice(0, 40)}'; states are ${states.join(', ')}`);
    if (value === 'dead') return isReplacedName;
    return (row) => !isReplacedName(row) && (row.status === value || (value === 'created' && row.status === 'assigned'));
  });
  any('exited', (value) => {
    if (!/^-?\d{1,9}$/.test(value)) throw badField('filters.exited', `invalid filter 'exited=${value.slice(0, 40)}': it must be an exit code`);
    return (row) => row.status === 'exited' && row.exitCode === Number(value);
  });
  any('health', (value) => {
    if (!['starting', 'healthy', 'unhealthy', 'none'].includes(value)) throw badField('filters.health', `invalid filter 'health=${value.slice(0, 40)}'`);
    return (row) => (row.health ?? 'none') === value;
  });
  any('is-task', (value) => () => !truth('is-task', value));
  any('isolation', (value) => () => value === 'default' || value === '');
  for (const name of ['before', 'since'] as const) {
    const limits = values(name).map((value) => required(projection, value));
    if (limits.length > 0) onRow.push((row) => limits.every((limit) => (name === 'before' ? isOlder(row, limit) : isOlder(limit, row))));
  }
  anyEntry('ancestor', (value) => ancestorTest(projection, value));
  anyEntry('expose', (value) => portTest('expose', value, 'PrivatePort'));
  anyEntry('publish', (value) => portTest('publish', value, 'PublicPort'));
  anyEntry('network', (value) => ({ HostConfig, NetworkSettings }) => HostConfig.NetworkMode === value || Object.hasOwn(NetworkSettings.Networks, value));
  anyEntry('volume', (value) => ({ Mounts }) => Mounts.some((mount) => mount.Destination === value || mount.Source === value || mount.Name === value));
  const labels = values('label');
  if (labels.length > 0) onEntry.push(({ Labels }) => labelsMatch(Labels, labels));

  if (onEntry.length > 0) {
    onRow.push((row) => {
      const entry = JSON.parse(`${row.item}}`) as Entry;
      return onEntry.every((test) => test(entry, row));
    });
  }
  return onRow.length === 0 ? null : (row) => onRow.every((test) => test(row));
}

/** A regular expression as Docker takes it, searched in the name with and without its slash. */
function nameTest(value: string): RowTest {
  if (value.length > 512) throw badField('filters.name', 'it must not be longer than 512 characters');
  // Most are plain words; and an expression of a stranger can take for ever, so only those without nested repetition are taken.
  if (/^[\w-]*$/.test(value)) return (row) => row.name.includes(value);
  if (/[*+}?]\)*[*+{]/.test(value) || /\([^)]*[*+{][^)]*\)[*+{]/.test(value)) throw badField('filters.name', 'a repetition of a repetition is not supported');
  let pattern: RegExp;
  try {
    pattern = new RegExp(value);
  } catch (error) {
    throw Object.assign(badField('filters.name', `${JSON.stringify(value.slice(0, 80))} is not a regular expression`), { cause: error });
  }
  return (row) => pattern.test(row.name) || pattern.test(`/${row.name}`);
}

function required(projection: Projection, reference: string): Pick<ContainerItem, 'createdAtMs' | 'id'> {
  const resolved = projection.present.resolveContainer(reference);
  if (!resolved.ok) throw new HttpError(resolved.code === 'ambiguous' ? 400 : 404, resolved.message);
  return resolved.container.state;
}

function isOlder(a: Pick<ContainerItem, 'createdAtMs' | 'id'>, b: Pick<ContainerItem, 'createdAtMs' | 'id'>): boolean {
  return a.createdAtMs < b.createdAtMs || (a.createdAtMs === b.createdAtMs && a.id < b.id);
}

/** Containers of an image by name, id or beginning of one. An unknown image matches nothing, as in Docker. */
function ancestorTest({ present }: Projection, value: string): (entry: Entry, row: ContainerItem) => boolean {
  const parsed = parseReference(value);
  const named = parsed === null ? [] : present.imagesByName(canonicalReference(parsed));
  const byId = /^(?:sha256:)?[0-9a-f]{4,64}$/.test(value) ? present.imagesById(value) : [];
  const ids = new Set([...named, ...byId].map(({ state }) => state.record.id as string));
  return (entry, row) => ids.has(row.imageId) || entry.Image === value;
}

/** `80`, `80/tcp`, `8000-8010/udp` */
function portTest(name: string, value: string, member: 'PrivatePort' | 'PublicPort'): (entry: Entry) => boolean {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/.exec(value);
  if (match === null) throw badField(`filters.${name}`, `invalid filter '${name}=${value.slice(0, 40)}': it must be port[-port][/protocol]`);
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  const protocol = match[3] ?? 'tcp';
  return ({ Ports }) => Ports.some((port) => { const number = port[member]; return number !== undefined && number >= first && number <= last && port.Type === protocol; });
}
