// Pulls an image from a registry into containerd: manifest, blobs, snapshots, image record. Everything is under one lease until the record
// exists, so a pull that breaks leaves nothing. Does not decide whether a pull is needed.
import type { Containerd } from '../client.ts';
import { ContainerdError } from '../errors.ts';
import type { Descriptor } from '../image-store.ts';
import { endpointsFor, type Credentials, type RegistryConfig } from '../registry/endpoints.ts';
import { DEFAULT_TIMING, Repository, type BlobSource, type HttpTiming } from '../registry/repository.ts';
import { download } from './download.ts';
import { ImageError } from './image-error.ts';
import { digestOf, entriesFor, MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES, parseConfig, parseManifest, parsePlatform, platformText, type ImageConfig, type Index, type Manifest, type Platform } from './manifest.ts';
import { nameImage } from './naming.ts';
import { familiarName, parseReference, type Reference } from './reference.ts';
import { snapshotLabel, unpackLayers } from './unpack.ts';

const CONCURRENT_LAYERS = 3;
const MAX_INDEX_DEPTH = 3;

/** How far a pull is; `id` is the layer's short digest. Sizes are in bytes. `Downloading` comes at most a few times a second per layer. */
export type PullProgress =
  | { type: 'resolving'; reference: string; repository: string; tag: string }
  | { type: 'layer'; id: string; status: 'Pulling fs layer' | 'Downloading' | 'Download complete' | 'Extracting' | 'Pull complete' | 'Already exists'; current?: number; total?: number };

export type PullOptions = {
  /** `os/architecture[/variant]`; by default this machine's. */
  platform?: string;
  /** For the registry of the reference. */
  auth?: Credentials;
  registries?: RegistryConfig;
  /** Asked before registries and mirrors, as mirrors are; the signal ends what they are asked. */
  sources?: (signal: AbortSignal) => readonly BlobSource[];
  onProgress?: (progress: PullProgress) => void;
  /** Stops the pull; it then fails with `cancelled` and leaves nothing. */
  signal?: AbortSignal;
  timing?: Partial<HttpTiming>;
};

/** What is there afterwards. `targetDigest` is what the image record points at (an index, or the manifest itself). */
export type PulledImage = {
  reference: string; targetDigest: string; manifestDigest: string; imageId: string; chainId: string; platform: string;
  /** True where the record existed before and pointed at the same digest. */
  upToDate: boolean;
  /** What the record pointed at before, if it was something else; that image is then kept under its id. */
  previousDigest: string | null;
};

type Resolved = { target: Descriptor; index: { bytes: Buffer; value: Index; descriptor: Descriptor }[]; manifest: Manifest; manifestBytes: Buffer; manifestDescriptor: Descriptor; sources: BlobSource[] };

/** Pulls `name`. Fails with ImageError (`access-denied`, `manifest-unknown`, `unreachable`, `no-platform`, …) or ContainerdError. */
export async function pull(containerd: Containerd, name: string, options: PullOptions = {}): Promise<PulledImage> {
  const reference = parseReference(name);
  const platform = parsePlatform(options.platform);
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  try {
    return await containerd.leases.with((lease) => pullUnder(containerd, lease, { reference, platform, options, signal, stop }));
  } catch (error) {
    if (options.signal?.aborted) throw new ImageError('cancelled', `the pull of ${familiarName(reference)} was cancelled`, error);
    throw stop.signal.aborted ? stop.signal.reason : error; // the first failure stops the rest, which then fail as cancelled
  }
}

type Context = { reference: Reference; platform: Platform; options: PullOptions; signal: AbortSignal; stop: AbortController };

async function pullUnder(containerd: Containerd, lease: string, { reference, platform, options, signal, stop }: Context): Promise<PulledImage> {
  const { content } = containerd;
  const progress = options.onProgress ?? (() => undefined);
  progress({ type: 'resolving', reference: reference.canonical, repository: reference.domain === 'docker.io' ? reference.path : reference.name, tag: reference.tag ?? reference.digest! });
  const resolved = await resolve(reference, platform, options, signal);
  const { manifest, manifestDescriptor, sources } = resolved;
  const origin = { [`containerd.io/distribution.source.${reference.domain}`]: reference.path };
  const fetched = new Map<string, Promise<void>>();
  const fetchBlob = (blob: Descriptor, onBytes?: (current: number) => void): Promise<'downloaded' | 'exists'> =>
    download({ containerd, sources, blob, lease, labels: origin, signal, retryMs: options.timing?.retryMs ?? DEFAULT_TIMING.retryMs, ...(onBytes ? { onBytes } : {}) });

  if (manifest.config.size > MAX_CONFIG_BYTES) throw new ImageError('invalid-image', `the image's config is larger than ${MAX_CONFIG_BYTES} bytes`);
  await fetchBlob(manifest.config);
  const config = parseConfig(await content.readBlob(manifest.config.digest, { maxBytes: MAX_CONFIG_BYTES, signal }), `the config of ${familiarName(reference)}`, manifest.layers.length);
  checkPlatform(config, platform, reference);

  const extracted = new Set<number>();
  const existing = new Set<string>();
  const work = fetchLayers(manifest.layers, fetched, existing, fetchBlob, progress, stop);
  let chainId: string;
  try {
    chainId = await unpackLayers(containerd, {
      layers: manifest.layers, diffIds: config.rootfs.diff_ids, lease, signal,
      ready: (at) => fetched.get(manifest.layers[at]!.digest)!,
      onLayer: (at, status) => {
        if (status === 'extracting') extracted.add(at);
        if (!extracted.has(at) && existing.has(manifest.layers[at]!.digest)) return; // it has been told already that it exists
        const { digest, size } = manifest.layers[at]!;
        progress({ type: 'layer', id: shortDigest(digest), status: status === 'done' ? 'Pull complete' : 'Extracting', current: size, total: size });
      },
    });
  } catch (error) {
    stop.abort(error); // nothing may write after the lease is gone
    await work;
    throw error;
  }
  await work;

  const labels = manifestLabels(manifest);
  await content.updateLabels(manifest.config.digest, { [snapshotLabel(containerd.snapshots.snapshotter)]: chainId }, { lease });
  await storeDocument(containerd, lease, manifestDescriptor, resolved.manifestBytes, { ...labels, ...origin });
  for (const { bytes, descriptor, value } of resolved.index) {
    const child = value.manifests.findIndex(({ digest }) => digest === manifestDescriptor.digest || resolved.index.some((other) => other.descriptor.digest === digest));
    await storeDocument(containerd, lease, descriptor, bytes, { [`containerd.io/gc.ref.content.m.${child}`]: value.manifests[child]!.digest, ...origin });
  }
  if (signal.aborted) throw new ContainerdError('cancelled', 'pull', 'cancelled by the caller', signal.reason);
  const before = await nameImage(containerd, { name: reference.canonical, target: resolved.target, imageId: manifest.config.digest, lease });
  return {
    reference: reference.canonical, targetDigest: resolved.target.digest, manifestDigest: manifestDescriptor.digest, imageId: manifest.config.digest,
    chainId, platform: platformText(platform), upToDate: before?.target.digest === resolved.target.digest,
    previousDigest: before === null || before.target.digest === resolved.target.digest ? null : before.target.digest,
  };
}

/** The labels by which a manifest keeps its config and layers. */
export function manifestLabels(manifest: Manifest): Record<string, string> {
  const labels: Record<string, string> = { 'containerd.io/gc.ref.content.config': manifest.config.digest };
  for (const [at, { digest }] of manifest.layers.entries()) labels[`containerd.io/gc.ref.content.l.${at}`] = digest;
  return labels;
}

/** Stores a manifest, index or config whose bytes are at hand; its labels are set also where it was there before. */
export async function storeDocument(containerd: Containerd, lease: string, { digest }: { digest: string }, bytes: Uint8Array, labels: Record<string, string>): Promise<void> {
  await containerd.content.writeBlob({ ref: `${lease}-${digest}`, expected: digest, labels }, bytes, { lease });
  if (Object.keys(labels).length > 0) await containerd.content.updateLabels(digest, labels, { lease });
}

/** Twelve hex digits, as Docker shows layers. */
export function shortDigest(digest: string): string {
  return digest.slice(digest.indexOf(':') + 1, digest.indexOf(':') + 13);
}

/** Other sources, mirrors and registry in order; the first that has the manifest is asked for the blobs, too. */
async function resolve(reference: Reference, platform: Platform, options: PullOptions, signal: AbortSignal): Promise<Resolved> {
  const timing = { ...DEFAULT_TIMING, ...options.timing };
  const registries = endpointsFor(reference, options.registries ?? {}, options.auth).map((endpoint) => new Repository(endpoint, reference.path, timing, signal));
  const sources: readonly BlobSource[] = [...(options.sources?.(signal) ?? []), ...registries];
  const failures: Failure[] = [];
  for (const source of sources) {
    try {
      const found = await resolveAt(source, reference, platform);
      // The registry itself stands here once per scheme: where one has answered, the other has nothing to add.
      return { ...found, sources: [source, ...sources.filter((other) => other !== source && (other.isMirror || source.isMirror))] };
    } catch (error) {
      if (!(error instanceof ImageError) || error.code === 'cancelled') throw error;
      failures.push({ source, error });
    }
  }
  throw explain(reference, failures);
}

async function resolveAt(source: BlobSource, reference: Reference, platform: Platform): Promise<Omit<Resolved, 'sources'>> {
  const index: Resolved['index'] = [];
  let wanted = reference.digest ?? reference.tag!;
  for (let depth = 0; depth <= MAX_INDEX_DEPTH; depth++) {
    const { bytes, mediaType } = await source.manifest(wanted);
    const digest = digestOf(bytes);
    if (wanted.startsWith('sha256:') && digest !== wanted) throw new ImageError('digest-mismatch', `${source.host} answered with ${digest} where ${wanted} was asked for`);
    const value = parseManifest(bytes, `the manifest of ${familiarName(reference)} from ${source.host}`, mediaType);
    const descriptor: Descriptor = { mediaType: value.mediaType, digest, size: bytes.length };
    if (value.kind === 'manifest') {
      return { target: index[0]?.descriptor ?? descriptor, index, manifest: value, manifestBytes: bytes, manifestDescriptor: descriptor };
    }
    const entry = entriesFor(value, platform)[0];
    if (entry === undefined) {
      const has = value.manifests.flatMap((item) => (item.platform === null || item.platform.os === 'unknown' ? [] : [platformText(item.platform)]));
      throw new ImageError('no-platform', `no matching manifest for ${platformText(platform)} in the manifest list entries of ${familiarName(reference)}; it has ${[...new Set(has)].join(', ') || 'none'}`);
    }
    if (entry.size > MAX_MANIFEST_BYTES) throw new ImageError('invalid-image', `a manifest of ${familiarName(reference)} is larger than ${MAX_MANIFEST_BYTES} bytes`);
    index.push({ bytes, value, descriptor });
    wanted = entry.digest;
  }
  throw new ImageError('invalid-image', `${familiarName(reference)} nests more than ${MAX_INDEX_DEPTH} indexes`);
}

interface Failure {
  readonly source: BlobSource;
  readonly error: ImageError;
}

/** One error for everything that was tried; the registry's own answer decides its kind. */
function explain(reference: Reference, failures: readonly Failure[]): ImageError {
  const short = familiarName(reference);
  const own = failures.filter(({ source }) => !source.isMirror);
  // On a loopback host https comes first and usually is not there; what http said counts then.
  const { source, error } = own.at(-1)!;
  const mirrors = failures.filter((failure) => failure.source.isMirror).map((failure) => `${failure.source.title}: ${failure.error.message}`);
  const also = mirrors.length === 0 ? '' : `; tried before: ${mirrors.join('; ')}`;
  switch (error.code) {
    case 'access-denied':
      return new ImageError('access-denied', `pull access denied for ${familiarName(reference.name)}, repository does not exist or may require 'docker login': ${error.message} (asked ${source.host}${also})`, error);
    case 'manifest-unknown':
      return new ImageError('manifest-unknown', `manifest for ${short} not found: manifest unknown: ${error.message} (asked ${source.host}${also})`, error);
    default:
      return new ImageError(error.code, `cannot pull ${short}: ${error.message}${also}`, error);
  }
}

function checkPlatform(config: ImageConfig, platform: Platform, reference: Reference): void {
  if (config.os !== '' && config.os !== platform.os) throw new ImageError('no-platform', `${familiarName(reference)} is for ${config.os}/${config.architecture}, not for ${platformText(platform)}`);
}

/**
 * Downloads layers, a few at a time and each digest once. `fetched` gets a promise per digest at once, `existing` those that were there
 * before. Settles when nothing writes any more.
 */
function fetchLayers(layers: readonly Descriptor[], fetched: Map<string, Promise<void>>, existing: Set<string>, fetchBlob: (blob: Descriptor, onBytes: (current: number) => void) => Promise<'downloaded' | 'exists'>,
  progress: (progress: PullProgress) => void, stop: AbortController): Promise<void> {
  const queue: { layer: Descriptor; settle: PromiseWithResolvers<void> }[] = [];
  for (const layer of layers) {
    if (fetched.has(layer.digest)) continue;
    const settle = Promise.withResolvers<void>();
    settle.promise.catch(() => { /* unpackLayers awaits it, unless an earlier layer has failed */ });
    fetched.set(layer.digest, settle.promise);
    queue.push({ layer, settle });
    progress({ type: 'layer', id: shortDigest(layer.digest), status: 'Pulling fs layer' });
  }
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const { layer, settle } = next;
      const id = shortDigest(layer.digest);
      try {
        const outcome = await fetchBlob(layer, (current) => { progress({ type: 'layer', id, status: 'Downloading', current, total: layer.size }); });
        if (outcome === 'exists') existing.add(layer.digest);
        progress({ type: 'layer', id, status: outcome === 'exists' ? 'Already exists' : 'Download complete', current: layer.size, total: layer.size });
        settle.resolve();
      } catch (error) {
        settle.reject(error as Error);
        stop.abort(error);
      }
    }
  };
  return Promise.all(Array.from({ length: CONCURRENT_LAYERS }, worker)).then(() => undefined);
}

