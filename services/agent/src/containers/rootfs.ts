// The writable snapshots of containers, with what containerd said of them kept at hand, so that a start need not ask again.
import { isContainerdError, type Containerd, type Mount } from '@pouch/containerd';
import { layersOf } from './layered-files.ts';
import { gone } from './remove-gone.ts';

/** Holds the snapshot while nothing else refers to it; `remove` takes it away by name. */
const keptLabels = { 'containerd.io/gc.root': 'pouch' };
const rememberedImages = 256;

export class Rootfs {
  readonly #containerd: Containerd;
  readonly #mounts = new Map<string, readonly Mount[]>();
  /** Layers of an image without a writable one, by chain id; they never change. */
  readonly #imageLayers = new Map<string, readonly string[]>();

  constructor(containerd: Containerd) {
    this.#containerd = containerd;
  }

  /** Makes the snapshot; one from before a crash is as good. */
  async prepare(id: string, chainId: string): Promise<readonly Mount[]> {
    const { snapshots } = this.#containerd;
    let mounts: readonly Mount[];
    try {
      mounts = await snapshots.prepare(id, chainId, { labels: keptLabels });
    } catch (error) {
      if (!isContainerdError(error, 'already-exists')) throw error;
      mounts = await snapshots.mounts(id);
    }
    this.#mounts.set(id, mounts);
    if (this.#imageLayers.size >= rememberedImages) this.#imageLayers.clear();
    this.#imageLayers.set(chainId, layersOf(mounts).slice(1));
    return mounts;
  }

  /** Layers of the image, where a container of it has been prepared before; else null. */
  imageLayers(chainId: string): readonly string[] | null {
    return this.#imageLayers.get(chainId) ?? null;
  }

  async mounts(id: string): Promise<readonly Mount[]> {
    const known = this.#mounts.get(id);
    if (known !== undefined) return known;
    const mounts = await this.#containerd.snapshots.mounts(id);
    this.#mounts.set(id, mounts);
    return mounts;
  }

  /** Directories of the layers, the writable one first. */
  async layers(id: string): Promise<readonly string[]> {
    return layersOf(await this.mounts(id));
  }

  async remove(id: string): Promise<void> {
    this.#mounts.delete(id);
    await gone(this.#containerd.snapshots.remove(id));
  }
}
