// Leases: hold content and snapshots back from garbage collection while something is being built.
import { randomUUID } from 'node:crypto';
import { isContainerdError } from './errors.ts';
import type { CallOptions, Rpc } from './rpc.ts';
import { timestampText, type WireTimestamp } from './wire.ts';

const SERVICE = 'containerd.services.leases.v1.Leases';
const GC_TIMEOUT_MS = 120_000; // a synchronous delete waits for a whole garbage collection
const DEFAULT_EXPIRY_MS = 24 * 60 * 60 * 1000;

export type Lease = { id: string; labels: Record<string, string>; createdAt: string | null };
export type LeaseResource = { id: string; type: string };
type WireLease = Omit<Lease, 'createdAt'> & { createdAt: WireTimestamp };
type NewLease = { id?: string; labels?: Record<string, string>; /** after this time the lease holds nothing any more, so that a crashed holder cannot keep garbage for ever */ expiryMs?: number };

export class Leases {
  readonly #rpc: Rpc;
  constructor(rpc: Rpc) { this.#rpc = rpc; }

  /** Makes a lease that expires by itself after a day unless `expiryMs` says otherwise. */
  async create({ id = `lease-${randomUUID()}`, labels = {}, expiryMs = DEFAULT_EXPIRY_MS }: NewLease = {}, options?: CallOptions): Promise<Lease> {
    const expire = new Date(Date.now() + expiryMs).toISOString();
    const all = { 'containerd.io/gc.expire': expire, ...labels };
    const { lease } = await this.#rpc.unary<{ lease: WireLease }>(`${SERVICE}/Create`, { id, labels: all }, options);
    return { ...lease, createdAt: timestampText(lease.createdAt) };
  }

  /** `sync` waits until garbage collection has taken what the lease alone held. */
  async delete(id: string, { sync = false, ...options }: { sync?: boolean } & CallOptions = {}): Promise<void> {
    await this.#rpc.unary(`${SERVICE}/Delete`, { id, sync }, options, GC_TIMEOUT_MS);
  }

  async list(filters: string[] = [], options?: CallOptions): Promise<Lease[]> {
    const { leases } = await this.#rpc.unary<{ leases: WireLease[] }>(`${SERVICE}/List`, { filters }, options);
    return leases.map((lease) => ({ ...lease, createdAt: timestampText(lease.createdAt) }));
  }

  /** Lets a lease hold something that exists already. `type` is `content` or `snapshots/<snapshotter>`. */
  async addResource(id: string, resource: LeaseResource, options?: CallOptions): Promise<void> {
    await this.#rpc.unary(`${SERVICE}/AddResource`, { id, resource }, options);
  }

  async listResources(id: string, options?: CallOptions): Promise<LeaseResource[]> {
    return (await this.#rpc.unary<{ resources: LeaseResource[] }>(`${SERVICE}/ListResources`, { id }, options)).resources;
  }

  /**
   * Runs `work` with the id of a fresh lease and deletes the lease afterwards. If `work` fails, what only the lease held is
   * collected before the error is thrown on; so a failed piece of work leaves nothing.
   */
  async with<T>(work: (leaseId: string) => Promise<T>, lease: NewLease = {}): Promise<T> {
    const { id } = await this.create(lease);
    let result: T;
    try {
      result = await work(id);
    } catch (error) {
      await this.#discard(id, true);
      throw error;
    }
    await this.#discard(id, false);
    return result;
  }

  async #discard(id: string, sync: boolean): Promise<void> {
    try {
      await this.delete(id, { sync });
    } catch (error) {
      // Not found: it is gone already. Anything else: it expires by itself, and the outcome of the work is what the caller must hear.
      if (!isContainerdError(error)) throw error;
    }
  }
}
