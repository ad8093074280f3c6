// Loads images from an archive: `docker save` (old and new) and OCI layouts. Everything is under one lease and image records come last, so
// an archive that is refused leaves nothing. Does not fetch what the archive lacks.
import type { Containerd } from '../client.ts';
import type { Descriptor } from '../image-store.ts';
import { DEFAULT_LIMITS, fileAt, ingestArchive, type Archive, type ArchiveLimits, type StoredFile } from './archive.ts';
import { ImageError } from './image-error.ts';
import { digestOf, entriesFor, MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES, MEDIA, parseConfig, parseManifest, parsePlatform, platformText, type ImageConfig, type Index, type Manifest, type Platform } from './manifest.ts';
import { nameImage } from './naming.ts';
import { manifestLabels, shortDigest, storeDocument } from './pull.ts';
import { parseReference } from './reference.ts';
import { snapshotLabel, unpackLayers } from './unpack.ts';

const MAX_IMAGES = 500;
const MAX_TAGS = 1000;
const PROGRESS_INTERVAL_MS = 200;

/** How far a load is; sizes are in bytes. `file` is an entry of the archive on its way into the content store. */
export type LoadProgress =
  | { type: 'file'; name: string; current: number; total: number }
  | { type: 'layer'; id: string; status: 'Extracting' | 'Pull complete'; current: number; total: number };

export type LoadOptions = { platform?: string; onProgress?: (progress: LoadProgress) => void; signal?: AbortSignal; limits?: Partial<ArchiveLimits> };

/** An image that is there now. An image without a name has a record that is named by its id, so that it is kept. */
export type LoadedImage = { reference: string | null; recordName: string; targetDigest: string; manifestDigest: string; imageId: string; chainId: string };

/** One image of an archive, before it is unpacked. `index` holds what lies between the record's target and the manifest. */
type Found = { names: string[]; target: Descriptor; index: { digest: string; bytes: Buffer; child: number; childDigest: string }[]; manifest: Manifest; manifestBytes: Buffer; manifestDigest: string; config: ImageConfig };

/** Reads the stream to its end; where the archive is refused before, the stream is closed (a Readable is destroyed). Fails with ImageError (`invalid-archive`, `invalid-image`, `unsupported`, `no-platform`) or ContainerdError. */
export async function load(containerd: Containerd, tar: AsyncIterable<Uint8Array>, options: LoadOptions = {}): Promise<LoadedImage[]> {
  const { signal } = options;
  try {
    return await containerd.leases.with((lease) => loadUnder(containerd, lease, tar, options));
  } catch (error) {
    if (signal?.aborted) throw new ImageError('cancelled', 'the load was cancelled', error);
    throw error;
  }
}

async function loadUnder(containerd: Containerd, lease: string, tar: AsyncIterable<Uint8Array>, { platform: platformName, onProgress, signal, limits }: LoadOptions): Promise<LoadedImage[]> {
  const platform = parsePlatform(platformName);
  let lastReport = 0;
  const archive = await ingestArchive(containerd, tar, {
    lease, signal, limits: { ...DEFAULT_LIMITS, ...limits },
    onFile(name, current, total) {
      const now = Date.now();
      if (current < total && now - lastReport < PROGRESS_INTERVAL_MS) return;
      lastReport = now;
      onProgress?.({ type: 'file', name, current, total });
    },
  });
  const found = archive.documents.has('index.json') ? await readLayout(containerd, archive, platform)
    : archive.documents.has('manifest.json') ? await readDockerArchive(containerd, archive)
    : refuse('it holds neither index.json (OCI layout) nor manifest.json (docker save)');
  if (found.length === 0) refuse('it names no image');

  const loaded: LoadedImage[] = [];
  for (const image of found) {
    const { manifest, config } = image;
    const chainId = await unpackLayers(containerd, {
      layers: manifest.layers, diffIds: config.rootfs.diff_ids, lease, signal,
      onLayer(at, status) {
        const { digest, size } = manifest.layers[at]!;
        onProgress?.({ type: 'layer', id: shortDigest(digest), status: status === 'done' ? 'Pull complete' : 'Extracting', current: size, total: size });
      },
    });
    await containerd.content.updateLabels(manifest.config.digest, { [snapshotLabel(containerd.snapshots.snapshotter)]: chainId }, { lease });
    await storeDocument(containerd, lease, { digest: image.manifestDigest }, image.manifestBytes, manifestLabels(manifest));
    for (const { digest, bytes, child, childDigest } of image.index) {
      await storeDocument(containerd, lease, { digest }, bytes, { [`containerd.io/gc.ref.content.m.${child}`]: childDigest });
    }
    const imageId = manifest.config.digest;
    const common = { targetDigest: image.target.digest, manifestDigest: image.manifestDigest, imageId, chainId };
    for (const name of image.names) loaded.push({ reference: name, recordName: name, ...common });
    if (image.names.length === 0) loaded.push({ reference: null, recordName: imageId, ...common });
  }
  signal?.throwIfAborted();
  const targets = new Map(found.map(({ target }) => [target.digest, target]));
  for (const { recordName, targetDigest, imageId } of loaded) await nameImage(containerd, { name: recordName, target: targets.get(targetDigest)!, imageId, lease });
  return loaded;
}

function refuse(why: string): never {
  throw new ImageError('invalid-archive', `invalid image archive: ${why}`);
}

// ---- OCI layout (image-spec, image-layout.md), which is also what docker save writes since 25

async function readLayout(containerd: Containerd, archive: Archive, platform: Platform): Promise<Found[]> {
  const top = parseManifest(archive.documents.get('index.json')!, 'index.json', MEDIA.ociIndex);
  if (top.kind !== 'index') return refuse('index.json is not an image index');
  if (top.manifests.length > MAX_IMAGES) refuse(`index.json names more than ${MAX_IMAGES} images`);
  const blobs = new Map([...archive.files.values()].map((file) => [file.digest, file]));
  const tags = dockerTags(archive);
  const found: Found[] = [];
  for (const entry of top.manifests) {
    if (entry.platform?.os === 'unknown') continue; // an attestation
    const image = await readLayoutImage(containerd, blobs, entry, platform);
    const name = layoutName(entry);
    image.names = name === null ? tags.get(image.manifest.config.digest) ?? [] : [name];
    found.push(image);
  }
  return found;
}

async function readLayoutImage(containerd: Containerd, blobs: ReadonlyMap<string, StoredFile>, entry: Descriptor, platform: Platform): Promise<Found> {
  const target: Descriptor = { mediaType: entry.mediaType, digest: entry.digest, size: entry.size };
  const index: Found['index'] = [];
  let next = entry;
  for (let depth = 0; depth < 4; depth++) {
    const bytes = await readFrom(containerd, blobs, next, MAX_MANIFEST_BYTES, 'a manifest');
    const value = parseManifest(bytes, `blob ${next.digest}`, next.mediaType);
    if (value.kind === 'manifest') {
      for (const layer of value.layers) present(blobs, layer, 'a layer');
      const config = parseConfig(await readFrom(containerd, blobs, value.config, MAX_CONFIG_BYTES, 'a config'), `the config ${value.config.digest}`, value.layers.length);
      return { names: [], target, index, manifest: value, manifestBytes: bytes, manifestDigest: next.digest, config };
    }
    const child: Index['manifests'][number] | undefined = entriesFor(value, platform).find(({ digest }) => blobs.has(digest)) ?? entriesFor(value, platform)[0];
    if (child === undefined) throw new ImageError('no-platform', `the archive has no image for ${platformText(platform)} under ${next.digest}`);
    index.push({ digest: next.digest, bytes, child: value.manifests.indexOf(child), childDigest: child.digest });
    next = child;
  }
  return refuse('its indexes are nested too deep');
}

function layoutName({ annotations = {} }: Descriptor): string | null {
  const name = annotations['io.containerd.image.name'] ?? annotations['org.opencontainers.image.ref.name'];
  // A bare tag such as "latest" names no repository.
  if (name === undefined || (annotations['io.containerd.image.name'] === undefined && !/[/:]/.test(name))) return null;
  return parseReference(name).canonical;
}

function present(blobs: ReadonlyMap<string, StoredFile>, { digest, size }: Descriptor, what: string): void {
  const file = blobs.get(digest);
  if (file === undefined) refuse(`${what}, blob ${digest}, is missing`);
  if (file.size !== size) refuse(`${what}, blob ${digest}, has ${file.size} bytes and not the ${size} that are named`);
}

async function readFrom(containerd: Containerd, blobs: ReadonlyMap<string, StoredFile>, blob: Descriptor, maxBytes: number, what: string): Promise<Buffer> {
  present(blobs, blob, what);
  if (blob.size > maxBytes) refuse(`${what}, blob ${blob.digest}, has ${blob.size} bytes, more than ${maxBytes}`);
  return containerd.content.readBlob(blob.digest, { maxBytes });
}

// ---- docker save before 25: manifest.json names configs and layer tars by path

type DockerEntry = { Config: string; RepoTags: string[]; Layers: string[] };

function dockerEntries(archive: Archive): DockerEntry[] {
  const bytes = archive.documents.get('manifest.json');
  if (bytes === undefined) return [];
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new ImageError('invalid-archive', `invalid image archive: manifest.json is not valid JSON: ${(error as Error).message}`, error);
  }
  if (!Array.isArray(value) || value.length > MAX_IMAGES) return refuse(`manifest.json is not a list of at most ${MAX_IMAGES} images`);
  return value.map((item: unknown, at) => {
    const { Config, RepoTags, Layers } = (item ?? {}) as Record<string, unknown>;
    const texts = (list: unknown): list is string[] => Array.isArray(list) && list.length <= MAX_TAGS && list.every((text) => typeof text === 'string');
    if (typeof Config !== 'string') return refuse(`manifest.json[${at}].Config is not a path`);
    if (!texts(RepoTags ?? [])) return refuse(`manifest.json[${at}].RepoTags is not a list of names`);
    if (!texts(Layers ?? [])) return refuse(`manifest.json[${at}].Layers is not a list of paths`);
    return { Config, RepoTags: (RepoTags ?? []) as string[], Layers: (Layers ?? []) as string[] };
  });
}

/** Names by config digest, for layouts that name their images only in manifest.json. */
function dockerTags(archive: Archive): Map<string, string[]> {
  const tags = new Map<string, string[]>();
  for (const { Config, RepoTags } of dockerEntries(archive)) {
    const config = fileAt(archive, Config);
    if (config !== undefined) tags.set(config.digest, RepoTags.map((name) => parseReference(name).canonical));
  }
  return tags;
}

async function readDockerArchive(containerd: Containerd, archive: Archive): Promise<Found[]> {
  const found: Found[] = [];
  for (const entry of dockerEntries(archive)) {
    const configFile = fileAt(archive, entry.Config) ?? refuse(`the config ${JSON.stringify(entry.Config)}, which manifest.json names, is missing`);
    if (configFile.size > MAX_CONFIG_BYTES) refuse(`the config ${entry.Config} has ${configFile.size} bytes, more than ${MAX_CONFIG_BYTES}`);
    const configBytes = await containerd.content.readBlob(configFile.digest, { maxBytes: MAX_CONFIG_BYTES });
    const config = parseConfig(configBytes, `the config ${entry.Config}`, entry.Layers.length);
    const layers = entry.Layers.map((path, at): Descriptor => {
      const file = fileAt(archive, path) ?? refuse(`the layer ${JSON.stringify(path)}, which manifest.json names, is missing`);
      const diffId = config.rootfs.diff_ids[at]!;
      if (file.compression === 'none' && file.digest !== diffId) refuse(`the layer ${path} is ${file.digest}, but the config says ${diffId}`);
      return { mediaType: file.compression === 'none' ? MEDIA.dockerLayer : `${MEDIA.dockerLayer}.${file.compression}`, digest: file.digest, size: file.size };
    });
    const document = { schemaVersion: 2, mediaType: MEDIA.dockerManifest, config: { mediaType: MEDIA.dockerConfig, digest: configFile.digest, size: configFile.size }, layers };
    const manifestBytes = Buffer.from(JSON.stringify(document));
    const manifestDigest = digestOf(manifestBytes);
    found.push({
      names: entry.RepoTags.map((name) => parseReference(name).canonical),
      target: { mediaType: MEDIA.dockerManifest, digest: manifestDigest, size: manifestBytes.length },
      index: [], manifest: { kind: 'manifest', mediaType: MEDIA.dockerManifest, config: document.config, layers }, manifestBytes, manifestDigest, config,
    });
  }
  return found;
}
