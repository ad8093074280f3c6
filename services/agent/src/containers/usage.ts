// Disk space of containers and layers, as the snapshotter counts it; what a machine writes is on a disk of its own, which it does not count.
import { isContainerdError } from '@pouch/containerd';
import { isMachine } from '@pouch/domain';
import { OperatingError } from '@pouch/process';
import { machineDiskBytes } from '../machines/run-files.ts';
import type { Rooms } from '../rooms.ts';
import { layersOf } from './layered-files.ts';

const maxDepth = 256;

/** Bytes of the writable layer, and of the whole root file system. */
export async function containerSize(rooms: Rooms, id: string): Promise<{ writableBytes: number; rootBytes: number }> {
  const container = rooms.book.local(id);
  if (container === null || container.status === 'removed') throw new OperatingError('not-found', `No such container: ${id}`);
  return await sizeOf(rooms, id, new Map());
}

/** 0 for a container that is no machine. */
async function ownDiskBytes({ book, containerd }: Rooms, id: string): Promise<number> {
  const container = book.local(id);
  if (container === null || !isMachine(container.spec)) return 0;
  const [upper] = layersOf(await containerd.snapshots.mounts(id));
  return upper === undefined ? 0 : await machineDiskBytes(upper);
}

async function sizeOf(rooms: Rooms, id: string, layers: Map<string, Promise<{ bytes: number; parent: string }>>): Promise<{ writableBytes: number; rootBytes: number }> {
  const { snapshots } = rooms.containerd;
  const layer = (key: string): Promise<{ bytes: number; parent: string }> => {
    const known = layers.get(key);
    if (known !== undefined) return known;
    const asked = Promise.all([snapshots.usage(key), snapshots.stat(key)]).then(([usage, { parent }]) => ({ bytes: usage.sizeBytes, parent }));
    layers.set(key, asked);
    return asked;
  };
  try {
    const [{ sizeBytes }, { parent: first }, diskBytes] = await Promise.all([snapshots.usage(id), snapshots.stat(id), ownDiskBytes(rooms, id)]);
    const writableBytes = sizeBytes + diskBytes;
    let rootBytes = writableBytes;
    let parent = first;
    for (let depth = 0; parent !== '' && depth < maxDepth; depth++) {
      const { bytes, parent: next } = await layer(parent);
      rootBytes += bytes;
      parent = next;
    }
    return { writableBytes, rootBytes };
  } catch (error) {
    if (isContainerdError(error, 'not-found')) return { writableBytes: 0, rootBytes: 0 }; // being created or removed just now
    throw error;
  }
}

/** For `system df`: all layers once, and each container. */
export async function hostUsage(rooms: Rooms): Promise<{ layersBytes: number; containers: { containerId: string; writableBytes: number; rootBytes: number }[] }> {
  const { containerd, book } = rooms;
  const layers = new Map<string, Promise<{ bytes: number; parent: string }>>();
  const ids = book.ids().filter((id) => book.local(id)?.status !== 'removed');
  const containers = [];
  for (const containerId of ids) containers.push({ containerId, ...(await sizeOf(rooms, containerId, layers)) });
  let layersBytes = 0;
  for (const { kind, name } of await containerd.snapshots.list()) if (kind === 'COMMITTED') layersBytes += (await containerd.snapshots.usage(name)).sizeBytes;
  return { layersBytes, containers };
}
