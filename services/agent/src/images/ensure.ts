// The image that a container stands on: there, unpacked and the very one that was asked for. Where it is missing it comes from
// other hosts that have it, or is pulled as the cluster knows it. Changes no name that means something else here.
import { familiarName, ImageError, inspectImage, isContainerdError, nameImage, parseReference, pull, unpackImage, type Containerd, type RegistryConfig } from '@pouch/containerd';
import type { HostId, ImagePin } from '@pouch/domain';
import { messageOf, OperatingError, type Logger } from '@pouch/process';
import type { Inventory } from './inventory.ts';
import { noSuchImage } from './failures.ts';
import type { Peers } from './peers.ts';

export interface EnsureDeps {
  readonly containerd: Containerd;
  readonly registries: RegistryConfig;
  readonly inventory: Inventory;
  readonly peers: Peers;
  readonly logger: Logger;
  readonly hostId: string;
  /** An image came: the log is to be told. */
  readonly arrived: (name: string) => Promise<void>;
}

const maxKept = 512;

export class Ensurer {
  readonly #deps: EnsureDeps;
  /** Top snapshot of each image that is known to be unpacked, by image id. */
  readonly #chains = new Map<string, string>();
  readonly #underWay = new Map<string, Promise<string>>();

  constructor(deps: EnsureDeps) {
    this.#deps = deps;
  }

  /** An image has gone, or may have. */
  forget(imageId: string): void {
    this.#chains.delete(imageId);
  }

  /** `holders`: other hosts that have it. Rejects with `not-found` where the host does not have the image and cannot get it; with ContainerdError where containerd is away. */
  async ensure(pin: ImagePin, holders: readonly HostId[] = []): Promise<{ readonly chainId: string }> {
    const known = this.#chains.get(pin.id);
    if (known !== undefined) return { chainId: known };
    let going = this.#underWay.get(pin.id);
    if (going === undefined) {
      going = this.#find(pin, holders).finally(() => this.#underWay.delete(pin.id));
      this.#underWay.set(pin.id, going);
    }
    const chainId = await going;
    if (this.#chains.size >= maxKept) this.#chains.clear();
    this.#chains.set(pin.id, chainId);
    return { chainId };
  }

  async #find(pin: ImagePin, holders: readonly HostId[]): Promise<string> {
    const here = await this.#unpacked(pin.manifestDigest, pin.id);
    if (here !== null) return here;
    // The same image may have come another way, under another manifest.
    const same = (await this.#deps.inventory.list()).find(({ record }) => record.id === pin.id);
    const otherwise = same === undefined ? null : await this.#unpacked(same.target.digest, pin.id);
    return otherwise ?? await this.#pull(pin, holders);
  }

  /** Top snapshot of the image that a digest leads to; null: it is not here, or is another one. */
  async #unpacked(digest: string, imageId: string): Promise<string | null> {
    const { containerd } = this.#deps;
    try {
      const details = await inspectImage(containerd, digest);
      if (details.imageId !== imageId) return null;
      return details.unpacked ? details.chainId : await unpackImage(containerd, digest);
    } catch (error) {
      if (isContainerdError(error, 'not-found') || error instanceof ImageError) return null;
      throw error;
    }
  }

  /** By digest first: that is the image which was chosen, wherever the name points to by now. */
  async #pull({ name, id, reference, manifestDigest }: ImagePin, holders: readonly HostId[]): Promise<string> {
    const { containerd, registries, peers, hostId, logger, arrived } = this.#deps;
    if (name === null) throw noSuchImage(`${reference} (host ${hostId} does not have it, and it has no name to pull it by)`);
    const parsed = parseReference(name);
    const tries = parsed.digest === null ? [`${parsed.name}@${manifestDigest}`, name] : [name];
    let failure: unknown;
    for (const wanted of tries) {
      logger.info({ image: wanted, imageId: id, holders }, 'pulling an image that is missing');
      try {
        const pulled = await pull(containerd, wanted, { registries, sources: (signal) => peers.sources(holders, signal) });
        if (pulled.imageId === id) {
          if (wanted !== name) await this.#nameAsKnown(wanted, name);
          await arrived(name);
          return pulled.chainId;
        }
        await arrived(wanted);
        failure = new Error(`${familiarName(name)} is ${pulled.imageId} now, not ${id}`);
      } catch (error) {
        if (isContainerdError(error)) throw error;
        failure ??= error;
      }
    }
    throw new OperatingError('not-found', `No such image: ${reference} (host ${hostId} does not have it and cannot pull it: ${messageOf(failure)})`, { cause: failure });
  }

  /** Pulled by digest, it is given the name that it has in the cluster, unless that name means another image here. */
  async #nameAsKnown(pulled: string, name: string): Promise<void> {
    const { containerd } = this.#deps;
    try {
      await containerd.images.get(name);
    } catch (error) {
      if (!isContainerdError(error, 'not-found')) throw error;
      const { target } = await containerd.images.get(pulled);
      const { imageId } = await inspectImage(containerd, pulled);
      await nameImage(containerd, { name, target, imageId });
      await containerd.images.delete(pulled);
    }
  }
}
