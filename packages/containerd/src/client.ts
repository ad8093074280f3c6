// The face of one containerd: its services over one connection and in one namespace.
import { Containers } from './containers.ts';
import { Content } from './content.ts';
import { isContainerdError } from './errors.ts';
import { Events } from './events.ts';
import { ImageStore, type Descriptor } from './image-store.ts';
import { Leases } from './leases.ts';
import { DEFAULT_TIMEOUT_MS, Rpc, type CallOptions } from './rpc.ts';
import { Snapshots, type Mount } from './snapshots.ts';
import { Tasks } from './tasks.ts';

const APPLY_TIMEOUT_MS = 30 * 60_000; // a large layer on a slow disk

/** The part of a logger (pino's shape) that this package uses. */
export type Logger = Record<'debug' | 'info' | 'warn' | 'error', (fields: object, message: string) => void>;
export type ConnectOptions = { socketPath: string; namespace: string; snapshotter?: string; logger?: Logger };
export type PluginInfo = { type: string; id: string; exports: Record<string, string>; capabilities: string[]; /** why it is not usable, or null */ initError: string | null };

export class Containerd {
  readonly namespace: string;
  readonly logger: Logger | undefined;
  readonly containers: Containers;
  readonly content: Content;
  readonly events: Events;
  readonly images: ImageStore;
  readonly leases: Leases;
  readonly snapshots: Snapshots;
  readonly tasks: Tasks;
  readonly #rpc: Rpc;

  constructor({ socketPath, namespace, snapshotter, logger }: ConnectOptions) {
    this.#rpc = new Rpc(socketPath, namespace);
    this.namespace = namespace;
    this.logger = logger;
    this.containers = new Containers(this.#rpc);
    this.content = new Content(this.#rpc);
    this.events = new Events(this.#rpc);
    this.images = new ImageStore(this.#rpc);
    this.leases = new Leases(this.#rpc);
    this.snapshots = new Snapshots(this.#rpc, snapshotter);
    this.tasks = new Tasks(this.#rpc);
  }

  async version(options?: CallOptions): Promise<{ version: string; revision: string }> {
    return this.#rpc.unary('containerd.services.version.v1.Version/Version', {}, options);
  }

  /** Plugins that match any filter (e.g. `type==io.containerd.snapshotter.v1`), usable or not. */
  async plugins(filters: string[] = [], options?: CallOptions): Promise<PluginInfo[]> {
    type Wire = Omit<PluginInfo, 'initError'> & { initErr: { message: string } | null };
    const { plugins } = await this.#rpc.unary<{ plugins: Wire[] }>('containerd.services.introspection.v1.Introspection/Plugins', { filters }, options);
    return plugins.map(({ type, id, exports, capabilities, initErr }) => ({ type, id, exports, capabilities, initError: initErr?.message ?? null }));
  }

  /** Unpacks a layer onto the mounts of a prepared snapshot; returns the descriptor of its uncompressed tar (its digest is the diff id). */
  async applyDiff(diff: Descriptor, mounts: Mount[], options?: CallOptions): Promise<Descriptor> {
    return (await this.#rpc.unary<{ applied: Descriptor }>('containerd.services.diff.v1.Diff/Apply', { diff, mounts }, options, APPLY_TIMEOUT_MS)).applied;
  }

  /** Makes the client's namespace if it is missing. containerd makes it by itself at the first object; this only makes it visible before. */
  async ensureNamespace(options?: CallOptions): Promise<void> {
    try {
      await this.#rpc.unary('containerd.services.namespaces.v1.Namespaces/Create', { namespace: { name: this.namespace } }, options);
    } catch (error) {
      if (!isContainerdError(error, 'already-exists')) throw error;
    }
  }

  /** Waits until containerd answers. Fails with `unavailable`. */
  async waitForReady(timeoutMs: number = DEFAULT_TIMEOUT_MS): Promise<void> {
    await this.#rpc.waitForReady(timeoutMs);
  }

  /** Closes the connection; calls under way fail. */
  close(): void {
    this.#rpc.close();
  }
}

/** Makes a client. Connects lazily and reconnects by itself; a call while containerd is away fails with `unavailable`. */
export function connect(options: ConnectOptions): Containerd {
  return new Containerd(options);
}
