// The `Status` text of a list entry: "Up 3 minutes", "Exited (0) 2 seconds ago". Pure; it depends on the time of asking, so nothing keeps it.
import { isReplacedName } from '@pouch/domain';
import type { ContainerItem } from '@pouch/projections';

type Row = Pick<ContainerItem, 'id' | 'name' | 'hostId' | 'status' | 'startedAtMs' | 'finishedAtMs' | 'exitCode' | 'health' | 'createdAtMs'>;

/** The text of a row, where `lostHosts` (since when, by id) cannot be asked: what is known of their containers is old. */
export function rowStatusText(row: Row, nowMs: number, lostHosts: ReadonlyMap<string, number>): string {
  if (isReplacedName(row)) return `Dead (replaced; it is removed from host ${row.hostId}${lostHosts.has(row.hostId) ? ' when that is back' : ''})`;
  const sinceMs = lostHosts.get(row.hostId);
  if (sinceMs === undefined) return statusText(row, nowMs);
  return `Host Lost ${elapsedText(nowMs - sinceMs)} ago, was: ${statusText(row, sinceMs)}`;
}

/** Docker's words for the state of a list row as of `nowMs`. */
export function statusText({ status, startedAtMs, finishedAtMs, exitCode, health, createdAtMs }: Omit<Row, 'id' | 'name' | 'hostId'>, nowMs: number): string {
  switch (status) {
    case 'assigned':
    case 'created':
      return 'Created';
    case 'running':
      return `Up ${elapsedText(nowMs - (startedAtMs ?? nowMs))}${health === null ? '' : ` (${health === 'starting' ? 'health: starting' : health})`}`;
    case 'paused':
      return `Up ${elapsedText(nowMs - (startedAtMs ?? nowMs))} (Paused)`;
    case 'restarting':
      return `Restarting (${exitCode ?? 0}) ${elapsedText(nowMs - (finishedAtMs ?? nowMs))} ago`;
    case 'exited':
      return `Exited (${exitCode ?? 0}) ${elapsedText(nowMs - (finishedAtMs ?? createdAtMs))} ago`;
    case 'removed':
      return 'Removal In Progress';
  }
}

/** A length of time in Docker's words; less than nothing (clocks of two machines) counts as nothing. */
export function elapsedText(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  if (seconds < 1) return 'Less than a second';
  if (seconds === 1) return '1 second';
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.floor(seconds / 60);
  if (minutes === 1) return 'About a minute';
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.round(seconds / 3_600);
  if (hours === 1) return 'About an hour';
  if (hours < 48) return `${hours} hours`;
  const days = Math.floor(hours / 24);
  if (days < 14) return `${days} days`;
  if (days < 60) return `${Math.floor(days / 7)} weeks`;
  if (days < 365) return `${Math.floor(days / 30)} months`;
  return `${Math.floor(days / 365)} years`;
}
