// A row of the history as /cluster tells it, and which rows a query asks for. Pure.
import { toMessage, type ClusterEvent } from '@pouch/contracts';
import type { HistoryFilter, HistoryRow } from '@pouch/projections';

/** The message without its snapshot. A malformed one is told as that, with no events. */
export function clusterEvent(row: HistoryRow): ClusterEvent {
  const place = { seq: row.seq, subject: row.subject, hostId: row.hostId, id: row.aggregateId, storedAtMs: row.storedAtMs, atMs: row.atMs };
  if (row.messageId === '') return { ...place, kind: 'malformed', name: null, events: [], service: '', actor: '', cause: null, commandId: '' };
  const { events, meta, snapshot, id } = toMessage(JSON.parse(row.message.toString('utf8')));
  const { name } = snapshot as { name?: unknown };
  return { ...place, kind: row.kind, name: typeof name === 'string' ? name : null, events, service: meta.service, actor: meta.actor, cause: meta.cause, commandId: id };
}

/** Values as they come from a query: once, several times, or with commas. */
export type Values = string | readonly string[] | undefined;

export interface EventSelection {
  readonly kinds: readonly string[] | null;
  readonly hosts: readonly string[] | null;
  /** Ids, prefixes of ids, or names. */
  readonly containers: readonly string[] | null;
  /** Ids that the names stand for now: an earlier or later name of the same container counts too. */
  readonly containerIds: ReadonlySet<string>;
  readonly types: readonly string[] | null;
  readonly actors: readonly string[] | null;
  readonly sinceMs: number | null;
  readonly untilMs: number | null;
}

export function listOf(values: Values): readonly string[] | null {
  if (values === undefined) return null;
  const list = (typeof values === 'string' ? [values] : values).flatMap((value) => value.split(',')).map((value) => value.trim()).filter((value) => value !== '');
  return list.length === 0 ? null : list;
}

/** Whether a row is asked for; `event` is what `clusterEvent` makes of it. */
export function selected(row: HistoryRow, event: ClusterEvent, selection: EventSelection): boolean {
  const { kinds, hosts, containers, types, actors, sinceMs, untilMs } = selection;
  if (sinceMs !== null && row.storedAtMs < sinceMs) return false;
  if (untilMs !== null && row.storedAtMs > untilMs) return false;
  if (kinds !== null && !kinds.includes(event.kind)) return false;
  if (hosts !== null && (row.hostId === null || !hosts.includes(row.hostId))) return false;
  if (types !== null && !event.events.some(({ type }) => types.includes(type))) return false;
  if (actors !== null && !actors.includes(event.actor)) return false;
  return containers === null || ofContainer(row, event, containers, selection.containerIds);
}

function ofContainer(row: HistoryRow, event: ClusterEvent, wanted: readonly string[], ids: ReadonlySet<string>): boolean {
  if (row.kind !== 'container' && row.kind !== 'placement' && row.kind !== 'exec') return false;
  const id = row.kind === 'exec' ? row.parentId : row.aggregateId;
  if (id === null) return false;
  return ids.has(id) || wanted.some((reference) => id.startsWith(reference) || (event.name !== null && event.name === reference.replace(/^\//, '')));
}

/** What of a selection the database can narrow by itself; the rest is left to `selected`. */
export function historyFilter({ kinds, hosts, types, actors, sinceMs, untilMs }: EventSelection): HistoryFilter {
  return {
    // Malformed messages stand in the history under their subject's kind.
    ...(kinds !== null && !kinds.includes('malformed') ? { kinds } : {}),
    ...(hosts === null ? {} : { hostIds: hosts }),
    ...(types === null ? {} : { types }),
    ...(actors === null ? {} : { actors }),
    ...(sinceMs === null ? {} : { sinceMs }),
    ...(untilMs === null ? {} : { untilMs }),
  };
}
