// containerd's image records: a name and the descriptor it points at. Does not read content.
import { isContainerdError } from './errors.ts';
import type { CallOptions, Rpc } from './rpc.ts';
import { timestampText, type WireTimestamp } from './wire.ts';

const SERVICE = 'containerd.services.images.v1.Images';
const GC_TIMEOUT_MS = 120_000;

/** A reference to content by digest (`sha256:<64 hex>`) with its size in bytes. */
export type Descriptor = { mediaType: string; digest: string; size: number; annotations?: Record<string, string> };
export type ImageRecord = { name: string; labels: Record<string, string>; target: Descriptor; createdAt: string | null; updatedAt: string | null };
type WireImage = Omit<ImageRecord, 'createdAt' | 'updatedAt'> & { createdAt: WireTimestamp; updatedAt: WireTimestamp };
type NewImage = Pick<ImageRecord, 'name' | 'target'> & { labels?: Record<string, string> };

export class ImageStore {
  readonly #rpc: Rpc;
  constructor(rpc: Rpc) { this.#rpc = rpc; }

  /** Fails with `not-found`. */
  async get(name: string, options?: CallOptions): Promise<ImageRecord> {
    return fromWire(await this.#rpc.unary<{ image: WireImage }>(`${SERVICE}/Get`, { name }, options));
  }

  /** Those that match any filter, e.g. `name==docker.io/library/busybox:latest`, `target.digest==sha256:…`; all without filters. */
  async list(filters: string[] = [], options?: CallOptions): Promise<ImageRecord[]> {
    const { images } = await this.#rpc.unary<{ images: WireImage[] }>(`${SERVICE}/List`, { filters }, options);
    return images.map((image) => fromWire({ image }));
  }

  /** Fails with `already-exists`. */
  async create(image: NewImage, options?: CallOptions): Promise<ImageRecord> {
    return fromWire(await this.#rpc.unary<{ image: WireImage }>(`${SERVICE}/Create`, { image }, options));
  }

  /** Replaces target and labels of an existing record. Fails with `not-found`. */
  async update(image: NewImage, options?: CallOptions): Promise<ImageRecord> {
    const request = { image: { labels: {}, ...image }, updateMask: { paths: ['target', 'labels'] } };
    return fromWire(await this.#rpc.unary<{ image: WireImage }>(`${SERVICE}/Update`, request, options));
  }

  /** Creates the record, or lets the existing one point at the new target. */
  async put(image: NewImage, options?: CallOptions): Promise<ImageRecord> {
    try {
      return await this.create(image, options);
    } catch (error) {
      if (!isContainerdError(error, 'already-exists')) throw error;
      return this.update(image, options);
    }
  }

  /** Removes the name. `sync` waits until garbage collection has taken what nothing else refers to. */
  async delete(name: string, { sync = false, ...options }: { sync?: boolean } & CallOptions = {}): Promise<void> {
    await this.#rpc.unary(`${SERVICE}/Delete`, { name, sync }, options, GC_TIMEOUT_MS);
  }
}

function fromWire({ image }: { image: WireImage }): ImageRecord {
  return { ...image, createdAt: timestampText(image.createdAt), updatedAt: timestampText(image.updatedAt) };
}
