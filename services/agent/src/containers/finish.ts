// The end of a run: told first, taken away then. Also the ends that nobody saw.
import { isMachine, kernelOf, type Container } from '@pouch/domain';
import { refusedKernel } from '../machines/old-kernel.ts';
import { readEnd, runFiles } from '../machines/run-files.ts';
import type { Rooms } from '../rooms.ts';
import { hasOomKill } from './oom.ts';
import { clearRun } from './start.ts';

/** A program that was not found, and everything that a signal ended, has a code from here on. */
const firstUnusualCode = 127;
const sigkillCode = 137;

/** The task has stopped: reports the exit, durably, and removes the task while the report is on its way. */
export async function finish(rooms: Rooms, container: Container): Promise<void> {
  if (container.status !== 'running' && container.status !== 'paused') return;
  const { id, run } = container;
  const { code, atMs } = rooms.tasks.get(id)?.exit ?? { code: 255, atMs: rooms.now() };
  // A machine's kernel tells of its own want of memory; the host's control group tells of the machine's.
  const end = isMachine(container.spec) ? await readEnd(runFiles(rooms.layout.machines, rooms.layout.container(id), id)) : null;
  const counted = end?.oomKilled === true || (code === sigkillCode && (await hasOomKill(rooms.config.cgroupParent, id)));
  const oomKilled = counted || (rooms.tasks.get(id)?.oomKilled ?? false);
  if (oomKilled && rooms.tasks.get(id)?.oomKilled === false) {
    // containerd's event may come later, or not at all once the task is gone: it is told here, and once.
    rooms.tasks.update(id, { oomKilled });
    void rooms.report(id, { type: 'ReportOomKilled' });
  }
  const error = end?.error ?? (isMachine(container.spec) && code >= firstUnusualCode && code !== sigkillCode ? await kernelRefused(rooms, container, run.startId) : null);
  const exit = { startId: run.startId, startedAtMs: run.startedAtMs, finishedAtMs: Math.max(atMs, run.startedAtMs), exitCode: code, oomKilled, error };
  void rooms.report(id, { type: 'ReportExit', exit, hostShutdown: rooms.shutdown.active, knew: known(container) });
  rooms.logger.info({ containerId: id, startId: run.startId, exitCode: code, oomKilled }, 'container exited');
  await clearRun(rooms, container);
}

const known = ({ manuallyStopped, requests }: Container): { manuallyStopped: boolean; requests: string[] } => ({ manuallyStopped, requests: requests.map(({ commandId }) => commandId) });

async function kernelRefused({ layout, machines, logger }: Rooms, { id, spec }: Container, startId: string): Promise<string | null> {
  try {
    return await refusedKernel(layout.log(id), startId, `the guest kernel ${machines?.kernelName(kernelOf(spec)) ?? kernelOf(spec) ?? ''}`.trim());
  } catch (error) {
    logger.warn({ containerId: id, err: error }, 'the end of a machine’s output could not be read'); // the code is told all the same
    return null;
  }
}

/** The task vanished without an exit: the host was restarted, or somebody removed it. */
export async function lost(rooms: Rooms, container: Container, { startId, startedAtMs }: { readonly startId: string; readonly startedAtMs: number }): Promise<void> {
  const { id } = container;
  const error = 'the container was lost: its host was restarted or its task was removed by somebody else';
  const exit = { startId, startedAtMs, finishedAtMs: Math.max(rooms.now(), startedAtMs), exitCode: 255, oomKilled: false, error };
  void rooms.report(id, { type: 'ReportExit', exit, hostShutdown: rooms.shutdown.active, knew: known(container) });
  rooms.logger.warn({ containerId: id, startId }, 'container was lost');
  if (rooms.tasks.get(id) === null) await clearRun(rooms, container);
}
