// Image indexes, manifests and configs (OCI image-spec and Docker's schema 2): parsed and checked, never trusted. Pure.
import { createHash } from 'node:crypto';
import type { Descriptor } from '../image-store.ts';
import { ImageError } from './image-error.ts';
import { isDigest } from './reference.ts';

export const MEDIA = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar',
} as const;

/** What registries are asked for. */
export const ACCEPT_MANIFESTS = [MEDIA.ociIndex, MEDIA.dockerIndex, MEDIA.ociManifest, MEDIA.dockerManifest].join(', ');
export const MAX_MANIFEST_BYTES = 4 << 20;
export const MAX_CONFIG_BYTES = 8 << 20;
const MAX_LAYERS = 500; // the kernel takes far fewer lower directories; this only bounds what is read
const MAX_INDEX_ENTRIES = 1000;

const LAYER_TYPES: ReadonlySet<string> = new Set([
  MEDIA.ociLayer, `${MEDIA.ociLayer}+gzip`, `${MEDIA.ociLayer}+zstd`,
  MEDIA.dockerLayer, `${MEDIA.dockerLayer}.gzip`, `${MEDIA.dockerLayer}.zstd`,
]);

/** `variant` is empty where none is named. */
export type Platform = { os: string; architecture: string; variant: string };
export type IndexEntry = Descriptor & { platform: Platform | null };
export type Index = { kind: 'index'; mediaType: string; manifests: IndexEntry[] };
export type Manifest = { kind: 'manifest'; mediaType: string; config: Descriptor; layers: Descriptor[] };
/** The parts of an OCI image config that a container is made from; `raw` is the whole document. */
export type ImageConfig = {
  architecture: string; os: string; variant: string;
  /** RFC 3339, or null where the image does not say. */
  created: string | null;
  author: string;
  config: {
    User?: string; Env?: string[]; Entrypoint?: string[] | null; Cmd?: string[] | null; WorkingDir?: string; StopSignal?: string;
    ExposedPorts?: Record<string, object>; Volumes?: Record<string, object>; Labels?: Record<string, string>;
    [key: string]: unknown;
  };
  rootfs: { type: string; diff_ids: string[] };
  history: { created?: string; created_by?: string; author?: string; comment?: string; empty_layer?: boolean }[];
  raw: Record<string, unknown>;
};

/** `sha256:<hex>` of bytes. */
export function digestOf(bytes: Uint8Array | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** `linux/amd64[/variant]`; by default the platform this process runs on. */
export function parsePlatform(text?: string): Platform {
  if (text === undefined || text === '') {
    const architecture = { x64: 'amd64', ia32: '386', arm64: 'arm64', arm: 'arm', ppc64: 'ppc64le', s390x: 's390x', riscv64: 'riscv64' }[process.arch as string] ?? process.arch;
    return { os: 'linux', architecture, variant: '' };
  }
  const [os, architecture, variant = '', ...more] = text.toLowerCase().split('/');
  if (!os || !architecture || more.length > 0 || !/^[a-z0-9_./-]+$/.test(text.toLowerCase())) {
    throw new ImageError('invalid-reference', `invalid platform ${JSON.stringify(text.slice(0, 100))}: write it as os/architecture or os/architecture/variant`);
  }
  return { os, architecture: { x86_64: 'amd64', 'x86-64': 'amd64', aarch64: 'arm64' }[architecture] ?? architecture, variant };
}

export function platformText({ os, architecture, variant }: Platform): string {
  return variant === '' ? `${os}/${architecture}` : `${os}/${architecture}/${variant}`;
}

/** Entries of an index that run on the platform, the best first. Entries that are no images (attestations) are left out. */
export function entriesFor(index: Index, wanted: Platform): IndexEntry[] {
  const score = ({ platform }: IndexEntry): number => {
    if (platform === null) return 1; // a nested index or a single-platform archive does not always say
    if (platform.os !== wanted.os || platform.architecture !== wanted.architecture) return 0;
    if (wanted.variant === '') return platform.variant === '' || platform.variant === 'v8' ? 3 : 2;
    return platform.variant === wanted.variant ? 3 : platform.variant === '' ? 2 : 0;
  };
  return index.manifests.map((entry) => ({ entry, points: score(entry) })).filter(({ points }) => points > 0)
    .sort((a, b) => b.points - a.points).map(({ entry }) => entry);
}

/** Parses an index or a manifest. `what` names it in errors (ImageError `invalid-image` or `unsupported`). */
export function parseManifest(bytes: Uint8Array, what: string, mediaType = ''): Index | Manifest {
  const value = parseObject(bytes, what);
  const refuse = (why: string): never => { throw new ImageError('invalid-image', `${what}: ${why}`); };
  const type = typeof value['mediaType'] === 'string' && value['mediaType'] !== '' ? value['mediaType'] : mediaType.split(';')[0]!.trim();
  if (value['schemaVersion'] === 1) throw new ImageError('unsupported', `${what} has the old schema version 1, which is not supported; push the image again with a current tool`);
  if (value['schemaVersion'] !== 2) refuse('schemaVersion is not 2');
  if (type === MEDIA.ociIndex || type === MEDIA.dockerIndex || (!('config' in value) && Array.isArray(value['manifests']))) {
    const manifests = value['manifests'];
    if (!Array.isArray(manifests) || manifests.length > MAX_INDEX_ENTRIES) return refuse(`manifests is not a list of at most ${MAX_INDEX_ENTRIES}`);
    const entries = manifests.map((item, at) => ({ ...descriptor(item, `${what}: manifests[${at}]`), platform: platformOf((item as Record<string, unknown>)['platform']) }));
    return { kind: 'index', mediaType: type || MEDIA.ociIndex, manifests: entries };
  }
  const { layers } = value;
  if (!Array.isArray(layers) || layers.length > MAX_LAYERS) return refuse(`layers is not a list of at most ${MAX_LAYERS}`);
  const config = descriptor(value['config'], `${what}: config`);
  if (config.mediaType !== MEDIA.ociConfig && config.mediaType !== MEDIA.dockerConfig) {
    throw new ImageError('unsupported', `${what} is not a container image (its config is ${JSON.stringify(config.mediaType)})`);
  }
  const parsed = layers.map((layer, at) => descriptor(layer, `${what}: layers[${at}]`));
  const strange = parsed.find((layer) => !LAYER_TYPES.has(layer.mediaType));
  if (strange !== undefined) throw new ImageError('unsupported', `${what} has a layer of media type ${JSON.stringify(strange.mediaType)}, which is not supported`);
  return { kind: 'manifest', mediaType: type || MEDIA.ociManifest, config, layers: parsed };
}

/** Parses an image config and checks what is used of it; `layers` is how many layers the manifest has. */
export function parseConfig(bytes: Uint8Array, what: string, layers: number): ImageConfig {
  const raw = parseObject(bytes, what);
  const refuse = (why: string): never => { throw new ImageError('invalid-image', `${what}: ${why}`); };
  const text = (key: string): string => (typeof raw[key] === 'string' ? raw[key] : '');
  const rootfs = raw['rootfs'] as { type?: unknown; diff_ids?: unknown } | null | undefined;
  const diffIds = rootfs?.diff_ids ?? [];
  if (!Array.isArray(diffIds) || !diffIds.every(isDigest)) return refuse('rootfs.diff_ids is not a list of digests');
  if (diffIds.length !== layers) return refuse(`it names ${diffIds.length} layers and the manifest ${layers}`);
  const config = raw['config'] ?? {};
  if (typeof config !== 'object' || Array.isArray(config)) return refuse('config is not an object');
  const history = raw['history'] ?? [];
  if (!Array.isArray(history) || history.some((item) => typeof item !== 'object' || item === null)) return refuse('history is not a list of objects');
  for (const key of ['Env', 'Entrypoint', 'Cmd']) {
    const list = (config as Record<string, unknown>)[key] ?? [];
    if (!Array.isArray(list) || !list.every((item) => typeof item === 'string')) return refuse(`config.${key} is not a list of texts`);
  }
  for (const key of ['User', 'WorkingDir', 'StopSignal']) {
    if (typeof ((config as Record<string, unknown>)[key] ?? '') !== 'string') return refuse(`config.${key} is not a text`);
  }
  return {
    architecture: text('architecture'), os: text('os'), variant: text('variant'), created: text('created') || null, author: text('author'),
    config: config as ImageConfig['config'], rootfs: { type: 'layers', diff_ids: diffIds }, history: history as ImageConfig['history'], raw,
  };
}

/** The chain id of every layer, lowest first (image-spec, "Layer ChainID"): the names of the committed snapshots. */
export function chainIds(diffIds: readonly string[]): string[] {
  const chain: string[] = [];
  for (const diffId of diffIds) {
    const parent = chain.at(-1);
    chain.push(parent === undefined ? diffId : digestOf(`${parent} ${diffId}`));
  }
  return chain;
}

/** JSON object from untrusted bytes. */
export function parseObject(bytes: Uint8Array, what: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new ImageError('invalid-image', `${what} is not valid JSON: ${(error as Error).message}`, error);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new ImageError('invalid-image', `${what} is not a JSON object`);
  return value as Record<string, unknown>;
}

function descriptor(value: unknown, what: string): Descriptor {
  const { mediaType, digest, size, annotations } = (value ?? {}) as Record<string, unknown>;
  if (!isDigest(digest)) throw new ImageError('invalid-image', `${what}: the digest is missing or not sha256`);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw new ImageError('invalid-image', `${what}: the size is not a whole number of bytes`);
  if (typeof mediaType !== 'string') throw new ImageError('invalid-image', `${what}: the media type is missing`);
  const texts = Object.entries((annotations ?? {}) as object).filter((pair): pair is [string, string] => typeof pair[1] === 'string');
  return { mediaType, digest, size, ...(texts.length > 0 ? { annotations: Object.fromEntries(texts) } : {}) };
}

function platformOf(value: unknown): Platform | null {
  if (typeof value !== 'object' || value === null) return null;
  const { os, architecture, variant } = value as Record<string, unknown>;
  return { os: String(os), architecture: String(architecture), variant: typeof variant === 'string' ? variant : '' };
}
