// Takes a container away with all that was made for it. Every part is idempotent, so that a removal cut short is simply done again.
import { isContainerdError } from '@pouch/containerd';
import type { Container } from '@pouch/domain';
import { keepConsole, runFiles } from '../machines/run-files.ts';
import type { Rooms } from '../rooms.ts';
import { removeLeftCgroups } from './leftover-cgroups.ts';
import { gone } from './remove-gone.ts';

const killWaitMs = 30_000;
const killTries = 3;

export async function remove(rooms: Rooms, { id, requests, status }: Container): Promise<void> {
  // A start that was cut short, a person's or the restart policy's, can have left a task that no listing shows.
  if (status === 'restarting' || requests.some(({ action }) => action.kind === 'start' || action.kind === 'restart')) await removeTask(rooms, id);
  await removeTraces(rooms, id);
  void rooms.report(id, { type: 'ReportRemoved' });
  rooms.logger.info({ containerId: id }, 'container removed');
}

/** Ends and removes whatever there is of a container on this host. */
export async function removeTraces(rooms: Rooms, id: string): Promise<void> {
  const { containerd, layout, network, specs, logger } = rooms;
  if (rooms.tasks.get(id) !== null) await removeTask(rooms, id);
  await rooms.copies.breakOff(id);
  await Promise.all([
    network.detach(id),
    gone(containerd.containers.delete(id)),
    rooms.rootfs.remove(id),
    rooms.secrets.clear(id),
    removeLeftCgroups(rooms.config.cgroupParent, id).catch((error: unknown) => logger.warn({ containerId: id, err: error }, 'control groups of a removed container are left')),
  ]);
  // Last: while its files are there, a removed container is known to be not yet cleared up.
  await layout.removeContainer(id);
  specs.forget(id);
}

/** Ends a task, if it has not ended, and takes it away. */
export async function removeTask(rooms: Rooms, id: string): Promise<void> {
  const { containerd, tasks, layout } = rooms;
  // With the task its machine's files go; what its kernel said last is wanted where it did not end well.
  if (rooms.machines !== null) await keepConsole(runFiles(layout.machines, layout.container(id), id)).catch((error: unknown) => rooms.logger.warn({ containerId: id, err: error }, 'the console of a machine could not be kept'));
  for (let tried = 0; ; tried++) {
    try {
      await gone(containerd.tasks.delete(id));
      break;
    } catch (error) {
      // Still running.
      if (tried >= killTries || !isContainerdError(error, 'failed-precondition', 'unknown')) throw error;
      await gone(containerd.tasks.kill(id, 9, { all: true }));
      await gone(containerd.tasks.wait(id, { timeoutMs: killWaitMs }));
    }
  }
  tasks.drop(id);
}
