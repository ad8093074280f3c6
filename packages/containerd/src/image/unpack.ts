// Layers into snapshots: one committed snapshot per layer, named by its chain id. Does not fetch and does not make image records.
import { randomUUID } from 'node:crypto';
import type { Containerd } from '../client.ts';
import { isContainerdError } from '../errors.ts';
import type { Descriptor } from '../image-store.ts';
import { ImageError } from './image-error.ts';
import { chainIds } from './manifest.ts';

/** What shall be unpacked. `ready` delays a layer until its blob is there. */
export type UnpackRequest = {
  layers: readonly Descriptor[];
  diffIds: readonly string[];
  /** Holds the snapshots until something refers to them. */
  lease: string;
  ready?: (layer: number) => Promise<void>;
  onLayer?: (layer: number, status: 'extracting' | 'done') => void;
  signal?: AbortSignal | undefined;
};

/** Label on an image's config blob that keeps its snapshots, as containerd's own tools write it. */
export function snapshotLabel(snapshotter: string): string {
  return `containerd.io/gc.ref.snapshot.${snapshotter}`;
}

/** Unpacks what is missing and returns the chain id of the top layer (empty for an image without layers). Doing it twice is harmless. */
export async function unpackLayers(containerd: Containerd, request: UnpackRequest): Promise<string> {
  const chain = chainIds(request.diffIds);
  let parent = '';
  for (const [at, layer] of request.layers.entries()) {
    const name = chain[at]!;
    await request.ready?.(at);
    if (!(await holdExisting(containerd, name, request.lease))) {
      request.onLayer?.(at, 'extracting');
      await unpackOne(containerd, request, { layer, diffId: request.diffIds[at]!, name, parent });
    }
    request.onLayer?.(at, 'done');
    parent = name;
  }
  return parent;
}

// The lease takes the snapshot first and looks then, so that it cannot be collected in between.
async function holdExisting(containerd: Containerd, name: string, lease: string): Promise<boolean> {
  const { snapshots, leases } = containerd;
  await leases.addResource(lease, { type: `snapshots/${snapshots.snapshotter}`, id: name });
  try {
    await snapshots.stat(name);
    return true;
  } catch (error) {
    if (isContainerdError(error, 'not-found')) return false;
    throw error;
  }
}

async function unpackOne(containerd: Containerd, { lease, signal }: UnpackRequest, { layer, diffId, name, parent }: { layer: Descriptor; diffId: string; name: string; parent: string }): Promise<void> {
  const { snapshots } = containerd;
  const key = `extract-${randomUUID()} ${name}`;
  const options = { lease, signal };
  const mounts = await snapshots.prepare(key, parent, options);
  try {
    const applied = await containerd.applyDiff(layer, mounts, options);
    if (applied.digest !== diffId) {
      throw new ImageError('digest-mismatch', `layer ${layer.digest} holds ${applied.digest} when unpacked, but the image's config says ${diffId}`);
    }
    await snapshots.commit(name, key, options);
  } catch (error) {
    await removeQuietly(containerd, key);
    if (!isContainerdError(error, 'already-exists')) throw error; // else another unpack of the same layer was faster
  }
}

async function removeQuietly(containerd: Containerd, key: string): Promise<void> {
  try {
    await containerd.snapshots.remove(key);
  } catch (error) {
    // The lease's end collects it; the error of the unpacking is what the caller must hear.
    containerd.logger?.warn({ key, error }, 'snapshot of a failed unpack not removed at once');
  }
}
