// Disk space of containers and layers, as the snapshotter counts it.
import { isContainerdError, type Containerd } from '@pouch/containerd';
import { OperatingError } from '@pouch/process';
import type { Rooms } from '../rooms.ts';

const maxDepth = 256;

/** Bytes of the writable layer, and of the whole root file system. */
export async function containerSize({ containerd, book }: Rooms, id: string): Promise<{ writableBytes: number; rootBytes: number }> {
  const container = book.local(id);
  if (container === null || container.status === 'removed') throw new OperatingError('not-found', `No such container: ${id}`);
  return await sizeOf(containerd, id, new Map());
}

async function sizeOf(containerd: Containerd, id: string, layers: Map<string, Promise<{ bytes: number; parent: string }>>): Promise<{ writableBytes: number; rootBytes: number }> {
  const { snapshots } = containerd;
  const layer = (key: string): Promise<{ bytes: number; parent: string }> => {
    const known = layers.get(key);
    if (known !== undefined) return known;
    const asked = Promise.all([snapshots.usage(key), snapshots.stat(key)]).then(([usage, { parent }]) => ({ bytes: usage.sizeBytes, parent }));
    layers.set(key, asked);
    return asked;
  };
  try {
    const [{ sizeBytes: writableBytes }, { parent: first }] = await Promise.all([snapshots.usage(id), snapshots.stat(id)]);
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
export async function hostUsage({ containerd, book }: Rooms): Promise<{ layersBytes: number; containers: { containerId: string; writableBytes: number; rootBytes: number }[] }> {
  const layers = new Map<string, Promise<{ bytes: number; parent: string }>>();
  const ids = book.ids().filter((id) => book.local(id)?.status !== 'removed');
  const containers = [];
  for (const containerId of ids) containers.push({ containerId, ...(await sizeOf(containerd, containerId, layers)) });
  let layersBytes = 0;
  for (const { kind, name } of await containerd.snapshots.list()) if (kind === 'COMMITTED') layersBytes += (await containerd.snapshots.usage(name)).sizeBytes;
  return { layersBytes, containers };
}
