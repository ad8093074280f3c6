// containerd's snapshots: layered root filesystems. Never mounts anything itself.
import type { CallOptions, Rpc } from './rpc.ts';
import { timestampText, type WireTimestamp } from './wire.ts';

const SERVICE = 'containerd.services.snapshots.v1.Snapshots';
const DISK_TIMEOUT_MS = 60_000; // commit and remove walk directories

/** A mount as containerd describes it; given on to `tasks.create` or to mount(2). */
export type Mount = { type: string; source: string; target: string; options: string[] };

export type SnapshotKind = 'UNKNOWN' | 'VIEW' | 'ACTIVE' | 'COMMITTED';
export type SnapshotInfo = { name: string; parent: string; kind: SnapshotKind; labels: Record<string, string>; createdAt: string | null; updatedAt: string | null };
type WireInfo = Omit<SnapshotInfo, 'createdAt' | 'updatedAt'> & { createdAt: WireTimestamp; updatedAt: WireTimestamp };
type SnapshotOptions = { labels?: Record<string, string> };

export class Snapshots {
  readonly #rpc: Rpc;
  /** Name of the snapshotter that all calls go to. */
  readonly snapshotter: string;

  constructor(rpc: Rpc, snapshotter = 'overlayfs') {
    this.#rpc = rpc;
    this.snapshotter = snapshotter;
  }

  /** Makes a writable snapshot on `parent` (empty: on nothing). Garbage collection takes it unless a lease, a label or a container holds it. */
  async prepare(key: string, parent: string, { labels = {}, ...options }: SnapshotOptions & CallOptions = {}): Promise<Mount[]> {
    return (await this.#rpc.unary<{ mounts: Mount[] }>(`${SERVICE}/Prepare`, { snapshotter: this.snapshotter, key, parent, labels }, options)).mounts;
  }

  /** Makes a read-only snapshot of `parent`. */
  async view(key: string, parent: string, { labels = {}, ...options }: SnapshotOptions & CallOptions = {}): Promise<Mount[]> {
    return (await this.#rpc.unary<{ mounts: Mount[] }>(`${SERVICE}/View`, { snapshotter: this.snapshotter, key, parent, labels }, options)).mounts;
  }

  /** The mounts of an active snapshot or view. */
  async mounts(key: string, options?: CallOptions): Promise<Mount[]> {
    return (await this.#rpc.unary<{ mounts: Mount[] }>(`${SERVICE}/Mounts`, { snapshotter: this.snapshotter, key }, options)).mounts;
  }

  /** Turns the active snapshot `key` into the committed one `name`. Fails with `already-exists`; the active one then stays. */
  async commit(name: string, key: string, { labels = {}, ...options }: SnapshotOptions & CallOptions = {}): Promise<void> {
    await this.#rpc.unary(`${SERVICE}/Commit`, { snapshotter: this.snapshotter, name, key, labels }, options, DISK_TIMEOUT_MS);
  }

  /** Fails with `not-found`, and with `failed-precondition` while another snapshot stands on it. */
  async remove(key: string, options?: CallOptions): Promise<void> {
    await this.#rpc.unary(`${SERVICE}/Remove`, { snapshotter: this.snapshotter, key }, options, DISK_TIMEOUT_MS);
  }

  /** Fails with `not-found`. */
  async stat(key: string, options?: CallOptions): Promise<SnapshotInfo> {
    return fromWire((await this.#rpc.unary<{ info: WireInfo }>(`${SERVICE}/Stat`, { snapshotter: this.snapshotter, key }, options)).info);
  }

  /** Sets the given labels and leaves the others; an empty value removes a label. */
  async updateLabels(name: string, labels: Record<string, string>, options?: CallOptions): Promise<SnapshotInfo> {
    const updateMask = { paths: Object.keys(labels).map((key) => `labels.${key}`) };
    return fromWire((await this.#rpc.unary<{ info: WireInfo }>(`${SERVICE}/Update`, { snapshotter: this.snapshotter, info: { name, labels }, updateMask }, options)).info);
  }

  async list(filters: string[] = [], options?: CallOptions): Promise<SnapshotInfo[]> {
    const found: SnapshotInfo[] = [];
    for await (const { info } of this.#rpc.stream<{ info: WireInfo[] }>(`${SERVICE}/List`, { snapshotter: this.snapshotter, filters }, options)) {
      found.push(...info.map(fromWire));
    }
    return found;
  }

  /** Bytes and inodes of the snapshot alone, without its parents. Walks the directory of an active one. */
  async usage(key: string, options?: CallOptions): Promise<{ sizeBytes: number; inodes: number }> {
    const { size, inodes } = await this.#rpc.unary<{ size: number; inodes: number }>(`${SERVICE}/Usage`, { snapshotter: this.snapshotter, key }, options, DISK_TIMEOUT_MS);
    return { sizeBytes: size, inodes };
  }
}

function fromWire(info: WireInfo): SnapshotInfo {
  return { ...info, createdAt: timestampText(info.createdAt), updatedAt: timestampText(info.updatedAt) };
}
