// Reads what an image in containerd is. Changes nothing, except that `unpackImage` makes missing snapshots.
import type { Containerd } from '../client.ts';
import { isContainerdError } from '../errors.ts';
import type { Descriptor } from '../image-store.ts';
import { ImageError } from './image-error.ts';
import { chainIds, entriesFor, MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES, parseConfig, parseManifest, parsePlatform, platformText, type ImageConfig, type Manifest } from './manifest.ts';
import { isDigest } from './reference.ts';
import { snapshotLabel, unpackLayers } from './unpack.ts';

/** An image as it lies in containerd, for one platform. */
export type ImageDetails = {
  /** What was asked for points at this: an index, or the manifest itself. */
  targetDigest: string;
  manifestDigest: string;
  /** Digest of the config, which is the image's id in Docker's sense. */
  imageId: string;
  /** Media type of the manifest. */
  mediaType: string;
  /** Bytes of the unpacked layers, as Docker shows an image's size; of the compressed blobs where it is not unpacked. */
  sizeBytes: number;
  unpacked: boolean;
  config: ImageConfig;
  /** Snapshot that containers of this image stand on; empty for an image without layers. */
  chainId: string;
  architecture: string;
  os: string;
  variant: string;
  /** RFC 3339 or null. */
  created: string | null;
  layers: Descriptor[];
};

/** Where an image's parts are. */
type Located = { targetDigest: string; manifestDigest: string; manifest: Manifest };

/**
 * `name` is the name of an image record (a canonical reference) or the digest of an index or manifest in the content store.
 * Fails with ContainerdError `not-found`, and with ImageError `no-platform` where the content is not there for the platform.
 */
export async function inspectImage(containerd: Containerd, name: string, options: { platform?: string } = {}): Promise<ImageDetails> {
  const { targetDigest, manifestDigest, manifest } = await locate(containerd, name, options.platform);
  const config = await readConfig(containerd, manifest, name);
  const chain = chainIds(config.rootfs.diff_ids);
  const snapshotBytes = await snapshotSizes(containerd, chain);
  const blobBytes = manifest.layers.reduce((sum, { size }) => sum + size, manifest.config.size);
  return {
    targetDigest, manifestDigest, imageId: manifest.config.digest, mediaType: manifest.mediaType,
    sizeBytes: snapshotBytes ?? blobBytes, unpacked: snapshotBytes !== null, config, chainId: chain.at(-1) ?? '',
    architecture: config.architecture, os: config.os, variant: config.variant, created: config.created, layers: manifest.layers,
  };
}

/** Makes the snapshots of an image that is there (e.g. imported by other means) and ties them to it. Returns the top chain id. */
export async function unpackImage(containerd: Containerd, name: string, options: { platform?: string; signal?: AbortSignal } = {}): Promise<string> {
  const { manifest } = await locate(containerd, name, options.platform);
  const config = await readConfig(containerd, manifest, name);
  return containerd.leases.with(async (lease) => {
    const chainId = await unpackLayers(containerd, { layers: manifest.layers, diffIds: config.rootfs.diff_ids, lease, signal: options.signal });
    await containerd.content.updateLabels(manifest.config.digest, { [snapshotLabel(containerd.snapshots.snapshotter)]: chainId });
    return chainId;
  });
}

/** Bytes per layer, by chain id, so that a caller can count layers that images share once. `snapshotBytes` is null for a layer that is not unpacked. */
export async function imageUsage(containerd: Containerd, name: string, options: { platform?: string } = {}): Promise<{ layers: { chainId: string; digest: string; blobBytes: number; snapshotBytes: number | null }[]; configBytes: number }> {
  const { manifest } = await locate(containerd, name, options.platform);
  const config = await readConfig(containerd, manifest, name);
  const chain = chainIds(config.rootfs.diff_ids);
  const layers = await Promise.all(manifest.layers.map(async ({ digest, size }, at) => ({ chainId: chain[at]!, digest, blobBytes: size, snapshotBytes: await snapshotSize(containerd, chain[at]!) })));
  return { layers, configBytes: manifest.config.size };
}

async function locate(containerd: Containerd, name: string, platformName: string | undefined): Promise<Located> {
  const targetDigest = await targetOf(containerd, name);
  const platform = parsePlatform(platformName);
  const descend = async (digest: string, depth: number): Promise<Located | undefined> => {
    let bytes: Buffer;
    try {
      bytes = await containerd.content.readBlob(digest, { maxBytes: MAX_MANIFEST_BYTES });
    } catch (error) {
      if (depth > 0 && isContainerdError(error, 'not-found')) return undefined; // an index names platforms that were never pulled
      throw error;
    }
    const value = parseManifest(bytes, `content ${digest}`);
    if (value.kind === 'manifest') return { targetDigest, manifestDigest: digest, manifest: value };
    if (depth >= 3) return undefined;
    for (const entry of entriesFor(value, platform)) {
      const found = await descend(entry.digest, depth + 1);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  const found = await descend(targetDigest, 0);
  if (found === undefined) throw new ImageError('no-platform', `${name} is not here for ${platformText(platform)}`);
  return found;
}

// An image without a name has a record that is named by its id, so a digest may be a record's name, too.
async function targetOf(containerd: Containerd, name: string): Promise<string> {
  try {
    return (await containerd.images.get(name)).target.digest;
  } catch (error) {
    if (isContainerdError(error, 'not-found') && isDigest(name)) return name;
    throw error;
  }
}

async function readConfig(containerd: Containerd, manifest: Manifest, name: string): Promise<ImageConfig> {
  const bytes = await containerd.content.readBlob(manifest.config.digest, { maxBytes: MAX_CONFIG_BYTES });
  return parseConfig(bytes, `the config of ${name}`, manifest.layers.length);
}

async function snapshotSizes(containerd: Containerd, chain: readonly string[]): Promise<number | null> {
  const sizes = await Promise.all(chain.map((name) => snapshotSize(containerd, name)));
  return sizes.includes(null) ? null : sizes.reduce<number>((sum, size) => sum + size!, 0);
}

async function snapshotSize(containerd: Containerd, name: string): Promise<number | null> {
  try {
    return (await containerd.snapshots.usage(name)).sizeBytes;
  } catch (error) {
    if (isContainerdError(error, 'not-found')) return null;
    throw error;
  }
}
