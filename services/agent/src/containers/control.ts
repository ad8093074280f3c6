// Acts on a running container: signals, pause, unpause. What cannot be done is told to whoever asked.
import { ContainerdError, isContainerdError } from '@pouch/containerd';
import type { Container } from '@pouch/domain';
import { messageOf } from '@pouch/process';
import { requestOf } from '../reconcile/plan.ts';
import type { Rooms } from '../rooms.ts';
import type { Observed } from '../tasks/observed.ts';
import { isPassing } from './failures.ts';
import { signalNumber } from './signals.ts';

export interface SignalOf {
  readonly signal: string;
  readonly attemptId: string;
  /** The kill request that this fulfils; null for signals of a stop or removal. */
  readonly done: string | null;
  /** A paused container is let go on, since it could not act on the signal else. */
  readonly wakes: boolean;
}

export async function signal(rooms: Rooms, container: Container, { signal: name, attemptId, done, wakes }: SignalOf): Promise<void> {
  const { id } = container;
  const { attempts, containerd, report, logger } = rooms;
  const number = signalNumber(name);
  if (number === null) {
    void report(id, { type: 'ReportRequestFailed', commandId: attemptId, code: 'bad-parameter', message: `invalid signal: ${name}` });
    return;
  }
  // A kill is noted before it is sent, so that no signal is handled twice. A stop is noted after: one that is sent again after a crash does
  // little, one that is never sent ends in SIGKILL.
  const first = done === null || attempts.note(id, attemptId, rooms.now());
  if (first || name === 'SIGKILL') {
    try {
      await containerd.tasks.kill(id, number);
      logger.info({ containerId: id, signal: name, commandId: attemptId }, 'signal sent');
    } catch (error) {
      if (isPassing(error) && (name === 'SIGKILL' || done === null)) throw error;
      // Not found: it has just ended by itself, which the exit will tell.
      if (!isContainerdError(error, 'not-found')) return failed(rooms, id, requestOf(attemptId), `cannot kill container: ${id}`, error);
    }
  }
  // An agent that died may have paused it without telling.
  if (wakes && (container.status === 'paused' || rooms.tasks.get(id)?.status === 'paused')) await unpause(rooms, container, { commandId: null });
  if (done === null) attempts.note(id, attemptId, rooms.now());
  if (done !== null) void report(id, { type: 'ReportSignalled', commandId: done, signal: name });
}

export async function pause(rooms: Rooms, { id }: Container, { commandId }: { readonly commandId: string }): Promise<void> {
  try {
    await rooms.containerd.tasks.pause(id);
  } catch (error) {
    if (isPassing(error)) throw error;
    if (!(await is(rooms, id, 'paused'))) return failed(rooms, id, commandId, `cannot pause container ${id}`, error);
  }
  rooms.tasks.update(id, { status: 'paused' });
  void rooms.report(id, { type: 'ReportPaused', commandId });
}

/** `commandId` null: so that a signal reaches it. */
export async function unpause(rooms: Rooms, { id }: Container, { commandId }: { readonly commandId: string | null }): Promise<void> {
  try {
    await rooms.containerd.tasks.resume(id);
  } catch (error) {
    if (isPassing(error)) throw error;
    if (commandId === null && isContainerdError(error, 'not-found')) return; // the signal has ended it
    if (!(await is(rooms, id, 'running'))) {
      if (commandId === null) throw error;
      return failed(rooms, id, commandId, `cannot resume container ${id}`, error);
    }
  }
  rooms.tasks.update(id, { status: 'running' });
  void rooms.report(id, { type: 'ReportUnpaused', commandId });
}

/** Whether a container is already as it was to become: by an earlier try whose outcome was not seen, or whose agent died before it told. */
async function is({ tasks }: Rooms, id: string, status: Observed['status']): Promise<boolean> {
  await tasks.refresh(id);
  return tasks.get(id)?.status === status;
}

function failed({ report, logger }: Rooms, id: string, commandId: string, what: string, error: unknown): void {
  logger.warn({ containerId: id, commandId, err: error }, 'request failed');
  const detail = error instanceof ContainerdError ? error.detail : messageOf(error);
  void report(id, { type: 'ReportRequestFailed', commandId, code: isPassing(error) ? 'unavailable' : 'internal', message: `${what}: ${detail}` });
}
