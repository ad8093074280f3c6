// Names of images: letting a name point at an image without losing the image that it pointed at before. An image that has no name keeps a
// record under its id (`sha256:<config digest>`), since containerd collects what no record refers to.
import type { Containerd } from '../client.ts';
import { isContainerdError } from '../errors.ts';
import type { Descriptor, ImageRecord } from '../image-store.ts';
import { inspectImage } from './inspect.ts';

/** What is named. `imageId` is the digest of the image's config. */
export type NameRequest = { name: string; target: Descriptor; imageId: string; lease?: string };

/**
 * Lets `name` point at the image. What it pointed at before stays under its id if nothing else names it; a record of the new image under
 * its id goes, now that it has a name. Returns the record that was there before, if any.
 */
export async function nameImage(containerd: Containerd, { name, target, imageId, lease }: NameRequest): Promise<ImageRecord | null> {
  const { images } = containerd;
  const options = lease === undefined ? {} : { lease };
  const before = await find(containerd, name);
  if (before !== null && before.target.digest !== target.digest) await keepUnnamed(containerd, before);
  await images.put({ name, target }, options);
  if (name !== imageId) {
    await images.delete(imageId).catch((error: unknown) => {
      if (!isContainerdError(error, 'not-found')) throw error;
    });
  }
  return before;
}

async function find(containerd: Containerd, name: string): Promise<ImageRecord | null> {
  try {
    return await containerd.images.get(name);
  } catch (error) {
    if (isContainerdError(error, 'not-found')) return null;
    throw error;
  }
}

async function keepUnnamed(containerd: Containerd, record: ImageRecord): Promise<void> {
  const others = (await containerd.images.list([`target.digest==${record.target.digest}`])).filter(({ name }) => name !== record.name);
  if (others.length > 0) return;
  let imageId: string;
  try {
    ({ imageId } = await inspectImage(containerd, record.target.digest));
  } catch (error) {
    // An image that cannot be read, e.g. of another platform, has no id to be kept under.
    containerd.logger?.warn({ image: record.name, error }, 'image that loses its name is not kept');
    return;
  }
  await containerd.images.put({ name: imageId, target: record.target });
}
