// The images of this host: which snapshot a container stands on.
import { inspectImage, isContainerdError, unpackImage } from '@pouch/containerd';
import { OperatingError } from '@pouch/process';
import type { ImagesDeps, ImagesRoom } from '../rooms.ts';

const cachedChains = 512;

export function createImages({ containerd }: ImagesDeps): ImagesRoom {
  const chains = new Map<string, string>();
  return {
    async ensure(pin) {
      const known = chains.get(pin.id);
      if (known !== undefined) return { chainId: known };
      try {
        const { unpacked, chainId } = await inspectImage(containerd, pin.manifestDigest);
        if (!unpacked) await unpackImage(containerd, pin.manifestDigest);
        if (chains.size >= cachedChains) chains.clear();
        chains.set(pin.id, chainId);
        return { chainId };
      } catch (error) {
        if (isContainerdError(error, 'not-found')) throw new OperatingError('not-found', `No such image: ${pin.reference}`, { cause: error });
        throw error;
      }
    },
    calls: {},
    pipes: {},
    announce: () => Promise.resolve(),
  };
}
