// containerd's container records: metadata only, no processes (those are tasks).
import type { CallOptions, Rpc } from './rpc.ts';
import { timestampText, type Any, type WireTimestamp } from './wire.ts';

const SERVICE = 'containerd.services.containers.v1.Containers';

/** A container record. `spec` is the OCI runtime spec as JSON in an Any (see `runtimeSpecAny`). */
export type Container = {
  id: string;
  labels: Record<string, string>;
  /** Name of the image it was made from; containerd keeps nothing alive by it. */
  image: string;
  runtime: { name: string; options: Any | null };
  spec: Any | null;
  snapshotter: string;
  /** The snapshot that is its root filesystem; held back from garbage collection while the record exists. */
  snapshotKey: string;
  extensions: Record<string, Any>;
  createdAt: string | null;
  updatedAt: string | null;
};

/** What is needed to create a container record. */
export type NewContainer = Pick<Container, 'id'> & {
  runtime: { name: string; options?: Any | null };
} & Partial<Pick<Container, 'labels' | 'image' | 'spec' | 'snapshotter' | 'snapshotKey' | 'extensions'>>;

type WireContainer = Omit<Container, 'createdAt' | 'updatedAt'> & { createdAt: WireTimestamp; updatedAt: WireTimestamp };

export class Containers {
  readonly #rpc: Rpc;
  constructor(rpc: Rpc) { this.#rpc = rpc; }

  /** Fails with `already-exists`. */
  async create(container: NewContainer, options?: CallOptions): Promise<Container> {
    return fromWire(await this.#rpc.unary<{ container: WireContainer }>(`${SERVICE}/Create`, { container }, options));
  }

  /** Fails with `not-found`. */
  async get(id: string, options?: CallOptions): Promise<Container> {
    return fromWire(await this.#rpc.unary<{ container: WireContainer }>(`${SERVICE}/Get`, { id }, options));
  }

  /** Those that match any of the filters (containerd's filter syntax, e.g. `labels."a"==b`); all without filters. */
  async list(filters: string[] = [], options?: CallOptions): Promise<Container[]> {
    const { containers } = await this.#rpc.unary<{ containers: WireContainer[] }>(`${SERVICE}/List`, { filters }, options);
    return containers.map((container) => fromWire({ container }));
  }

  /** Sets the given labels and leaves the others; an empty value removes a label. */
  async updateLabels(id: string, labels: Record<string, string>, options?: CallOptions): Promise<Container> {
    const updateMask = { paths: Object.keys(labels).map((key) => `labels.${key}`) };
    return fromWire(await this.#rpc.unary<{ container: WireContainer }>(`${SERVICE}/Update`, { container: { id, labels }, updateMask }, options));
  }

  /** Replaces the OCI runtime spec; the next task is created with it. */
  async updateSpec(id: string, spec: Any, options?: CallOptions): Promise<Container> {
    return fromWire(await this.#rpc.unary<{ container: WireContainer }>(`${SERVICE}/Update`, { container: { id, spec }, updateMask: { paths: ['spec'] } }, options));
  }

  /** Fails with `not-found`. containerd does not look whether a task runs: deleting that first is the caller's duty. Its snapshot is then garbage, so a `snapshots.remove` that follows may find it gone. */
  async delete(id: string, options?: CallOptions): Promise<void> {
    await this.#rpc.unary(`${SERVICE}/Delete`, { id }, options);
  }
}

function fromWire({ container }: { container: WireContainer }): Container {
  return { ...container, createdAt: timestampText(container.createdAt), updatedAt: timestampText(container.updatedAt) };
}
