// The log is another one than what is on this host was last held against: restored from a backup, begun anew, or of another cluster. It may be older than what
// is here. Nothing is stopped or taken away on its word: what it does not know is left alone, and what has gone on since is told to it.
import { startIdOf, type Container, type ContainerCommand } from '@pouch/domain';
import type { LogIdentity } from '@pouch/eventlog';
import type { Rooms } from '../rooms.ts';
import type { RunRow } from '../store/store.ts';
import type { Observed } from '../tasks/observed.ts';
import { containersHere } from './orphans.ts';

/** What is known here of a container besides the log's word. */
export interface Known {
  /** As it was under the log before, with all that had been observed; null: it was not known, or had gone. */
  readonly before: Container | null;
  readonly observed: Observed | null;
  /** The last run that this host began. */
  readonly run: RunRow | null;
  /** Whether anything of it is here. */
  readonly present: boolean;
}

/** When the log was put back, ms since 1970; null: it was not restored, or this host knew no log before. */
export type RestoredAt = number | null;

/** What the log is to be told of a container, given its state `now` in that log. Pure. */
export function retold(now: Container, { before, observed, run, present }: Known, restoredAtMs: RestoredAt): ContainerCommand[] {
  if (now.status === 'removed') return [];
  // It was removed after the backup: its files are gone, so it cannot be what the log says.
  if (!present && restoredAtMs !== null && now.status !== 'assigned') return [{ type: 'ReportRemoved' }];
  const told: ContainerCommand[] = [];
  if (before !== null && restoredAtMs !== null) {
    // Settled one way or the other under the log before; carried out now, a stop of then would end what was started since.
    const open = new Set([...before.requests.map(({ commandId }) => commandId), observed?.startId]);
    for (const { commandId, atMs } of now.requests) {
      if (atMs <= restoredAtMs && !open.has(commandId)) told.push({ type: 'ReportRequestFailed', commandId, code: 'superseded', message: 'the log was restored from a backup that was made while this was under way: it has been settled since' });
    }
  }
  const began = observed !== null && observed.status !== 'created' && run?.startId === observed.startId ? run : null;
  if (now.status === 'assigned') return told;
  if (observed !== null && began !== null && startIdOf(now) !== observed.startId) {
    told.push({ type: 'ReportStarted', byPolicy: false, run: { startId: began.startId, startedAtMs: began.startedAtMs, pid: observed.pid, network: began.network } });
    if (observed.status === 'paused') told.push({ type: 'ReportPaused', commandId: null });
    return told;
  }
  if (now.status !== 'running' && now.status !== 'paused') return told;
  if (observed?.startId === now.run.startId && (observed.status === 'running' || observed.status === 'paused') && observed.status !== now.status) {
    told.push(observed.status === 'paused' ? { type: 'ReportPaused', commandId: null } : { type: 'ReportUnpaused', commandId: null });
  } else if (observed === null && before !== null && (before.status === 'exited' || before.status === 'restarting') && before.lastExit.startId === now.run.startId) {
    told.push({ type: 'ReportExit', exit: before.lastExit, hostShutdown: false });
    // Ended for good then, e.g. by hand, which the log may not know.
    if (before.status === 'exited') told.push({ type: 'ReportRestartCancelled' });
  }
  return told;
}

export interface Meeting {
  readonly log: LogIdentity;
  /** Containers as they were under the log before. */
  readonly before: ReadonlyMap<string, Container>;
  /** Those that the log has. */
  readonly seen: ReadonlySet<string>;
}

/** The log has been read and tasks are listed; nothing else is done meanwhile. Rejects where containerd is away, and can be done again. */
export async function meetOtherLog(rooms: Rooms, { log, before, seen }: Meeting): Promise<void> {
  const { book, store, tasks, report, logger } = rooms;
  const here = await containersHere(rooms);
  const restoredAtMs = store.log() === null ? null : (log.restoredAtMs ?? null);
  const left: string[] = [];
  for (const id of new Set([...here, ...book.ids()])) {
    if (seen.has(id)) continue;
    if (here.has(id)) {
      book.leave(id, before.get(id) ?? null);
      left.push(id);
    } else book.forget(id);
  }
  for (const id of seen) {
    const now = book.local(id);
    if (now === null) continue;
    for (const command of retold(now, { before: before.get(id) ?? null, observed: tasks.get(id), run: store.run(id), present: here.has(id) }, restoredAtMs)) {
      logger.warn({ containerId: id, report: command.type }, 'the log is an older one: it is told what has gone on since');
      void report(id, command);
    }
  }
  store.saveLog(log.streamId);
  if (left.length > 0) logger.warn({ containers: left }, 'containers that the log does not know are left alone');
}
