// What is on this host and no container of the log stands for. Run only when the log has been read to its head and tasks are listed; images are not
// its concern. What an earlier life left under this very log is taken away; what a log does not know that has never known it is left alone.
import { isContainerdError } from '@pouch/containerd';
import { removeTraces } from '../containers/remove.ts';
import type { Rooms } from '../rooms.ts';

const ownLabel = 'io.pouch.container';

/** Ids of all containers of which something is here. */
export async function containersHere({ containerd, layout }: Pick<Rooms, 'containerd' | 'layout'>): Promise<Set<string>> {
  const [records, snapshots, present] = await Promise.all([containerd.containers.list(), containerd.snapshots.list(), layout.present()]);
  return new Set<string>([
    ...records.filter(({ labels }) => labels[ownLabel] !== undefined).map(({ id }) => id),
    // Snapshots of containers are named by the container; layers and pulls in progress are named otherwise.
    ...snapshots.filter(({ name, kind }) => kind === 'ACTIVE' && /^[0-9a-f]{64}$/.test(name)).map(({ name }) => name),
    ...present.filter((name) => /^[0-9a-f]{64}$/.test(name)),
  ]);
}

/** Answers with the ids of what was removed. */
export async function removeOrphans(rooms: Rooms): Promise<string[]> {
  const { network, book, store, logger } = rooms;
  const known = (id: string): boolean => (book.local(id)?.status ?? 'removed') !== 'removed';
  const found = await containersHere(rooms);
  // Known again, by a newer backup; or taken away by a person.
  for (const { containerId } of store.unknown()) if (known(containerId) || !found.has(containerId)) store.dropUnknown(containerId);
  const unknown = new Set(store.unknown().map(({ containerId }) => containerId));
  const removed: string[] = [];
  for (const id of found) {
    if (known(id) || unknown.has(id)) continue;
    try {
      await removeTraces(rooms, id);
      removed.push(id);
      logger.warn({ containerId: id }, 'removed what was left of a container that the log does not know');
    } catch (error) {
      if (isContainerdError(error, 'unavailable')) throw error;
      logger.error({ containerId: id, err: error }, 'what is left of a container could not be removed');
    }
  }
  await network.cleanupOrphans(new Set([...book.ids().filter(known), ...unknown]));
  return removed;
}
