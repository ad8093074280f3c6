// What images containerd has now, by name, with what the log is to know of each. It changes nothing.
import { ImageError, imageUsage, inspectImage, isContainerdError, type Containerd, type Descriptor, type ImageDetails } from '@pouch/containerd';
import { imageId, type ImageDefaults, type ImageRecord } from '@pouch/domain';
import type { Logger } from '@pouch/process';
import { imageHealthCheck } from './health-check.ts';

/** A name and what it points at. */
export interface Named {
  /** Canonical, or the image's id for an image without a name. */
  readonly name: string;
  readonly target: Descriptor;
  readonly record: ImageRecord;
}

const maxKept = 1_024;
const maxStepChars = 4_096;

export class Inventory {
  readonly #containerd: Containerd;
  readonly #logger: Logger;
  /** By digest of the target: what a digest stands for does not change. */
  readonly #records = new Map<string, ImageRecord>();

  constructor(containerd: Containerd, logger: Logger) {
    this.#containerd = containerd;
    this.#logger = logger;
  }

  /** Every name. An image that cannot be read (of another platform, damaged) is left out, and the log of this process says so. */
  async list(): Promise<Named[]> {
    const found: Named[] = [];
    for (const { name, target } of await this.#containerd.images.list()) {
      try {
        found.push({ name, target, record: await this.#record(target.digest) });
      } catch (error) {
        if (!(error instanceof ImageError) && !isContainerdError(error, 'not-found')) throw error;
        this.#logger.warn({ image: name, err: error }, 'an image in containerd cannot be read and is passed over');
      }
    }
    return found;
  }

  /** Fails with ImageError and ContainerdError. */
  async #record(digest: string): Promise<ImageRecord> {
    const known = this.#records.get(digest);
    if (known !== undefined) return known;
    const details = await inspectImage(this.#containerd, digest);
    const { layers } = await imageUsage(this.#containerd, digest);
    const record = recordOf(details, layers.map(({ snapshotBytes, blobBytes }) => snapshotBytes ?? blobBytes));
    if (this.#records.size >= maxKept) this.#records.clear();
    if (details.unpacked) this.#records.set(digest, record); // else its size is to change
    return record;
  }
}

/** Names of images that are no names: `sha256:…`, which keep an image that has none. */
export const isUnnamed = (name: string): boolean => name.startsWith('sha256:');

/** Pure. `layerBytes`: of each layer, lowest first. */
export function recordOf(details: ImageDetails, layerBytes: readonly number[]): ImageRecord {
  const { config, imageId: id, targetDigest, os, architecture, variant, sizeBytes, created } = details;
  const text = (name: string): string => (typeof config.raw[name] === 'string' ? config.raw[name] : '');
  let layer = 0;
  return {
    id: imageId(id),
    manifestDigest: targetDigest,
    platform: { os: os || 'linux', architecture, variant: variant === '' ? null : variant },
    sizeBytes,
    createdAtMs: instant(created),
    author: config.author,
    comment: text('comment'),
    dockerVersion: text('docker_version'),
    config: defaultsOf(config.config),
    layers: config.rootfs.diff_ids,
    history: config.history.map((step) => {
      const emptyLayer = step.empty_layer === true;
      const bytes = emptyLayer ? 0 : (layerBytes[layer++] ?? 0);
      return { createdAtMs: instant(step.created), createdBy: short(step.created_by), comment: short(step.comment), sizeBytes: bytes, emptyLayer };
    }),
  };
}

function defaultsOf(config: ImageDetails['config']['config']): ImageDefaults {
  const labels = Object.entries(config.Labels ?? {}).filter((pair): pair is [string, string] => typeof pair[1] === 'string');
  return {
    entrypoint: config.Entrypoint ?? [], cmd: config.Cmd ?? [], env: config.Env ?? [], workingDir: config.WorkingDir ?? '', user: config.User ?? '',
    labels: Object.fromEntries(labels), exposedPorts: Object.keys(config.ExposedPorts ?? {}), volumes: Object.keys(config.Volumes ?? {}), stopSignal: config.StopSignal ?? '',
    ...imageHealthCheck(config['Healthcheck']),
  };
}

function instant(text: string | null | undefined): number {
  const ms = typeof text === 'string' ? Date.parse(text) : Number.NaN;
  return Number.isNaN(ms) ? 0 : ms;
}

/** A step may carry a whole script; the log's messages are bounded. */
function short(text: unknown): string {
  return typeof text === 'string' ? (text.length > maxStepChars ? `${text.slice(0, maxStepChars - 1)}…` : text) : '';
}
