// Takes away what earlier lives left on this host and no container of the log stands for. Run only when the log has been read to its
// head and tasks are listed; images are not its concern.
import { isContainerdError } from '@pouch/containerd';
import { removeTraces } from '../containers/remove.ts';
import type { Rooms } from '../rooms.ts';

const ownLabel = 'io.pouch.container';

/** Answers with the ids of what was removed. */
export async function removeOrphans(rooms: Rooms): Promise<string[]> {
  const { containerd, layout, network, book, logger } = rooms;
  const known = (id: string): boolean => (book.local(id)?.status ?? 'removed') !== 'removed';
  const [records, snapshots, present] = await Promise.all([containerd.containers.list(), containerd.snapshots.list(), layout.present()]);
  const found = new Set<string>([
    ...records.filter(({ labels }) => labels[ownLabel] !== undefined).map(({ id }) => id),
    // Snapshots of containers are named by the container; layers and pulls in progress are named otherwise.
    ...snapshots.filter(({ name, kind }) => kind === 'ACTIVE' && /^[0-9a-f]{64}$/.test(name)).map(({ name }) => name),
    ...present.filter((name) => /^[0-9a-f]{64}$/.test(name)),
  ]);
  const removed: string[] = [];
  for (const id of found) {
    if (known(id)) continue;
    try {
      await removeTraces(rooms, id);
      removed.push(id);
      logger.warn({ containerId: id }, 'removed what was left of a container that the log does not know');
    } catch (error) {
      if (isContainerdError(error, 'unavailable')) throw error;
      logger.error({ containerId: id, err: error }, 'what is left of a container could not be removed');
    }
  }
  await network.cleanupOrphans(new Set(book.ids().filter(known)));
  return removed;
}
