// What the rooms of the agent share, and the faces of those rooms that are built apart (images, network). Types only.
import type { Containerd } from '@pouch/containerd';
import type { Message } from '@pouch/contracts';
import type { Container, ContainerCommand, Exec, HostId, ImagePin, NetworkAttachment } from '@pouch/domain';
import type { EventLog, NatsLink } from '@pouch/eventlog';
import type { SysHelper } from '@pouch/native';
import type { CallHandlers, PipeHandlers } from '@pouch/pipes';
import type { Logger } from '@pouch/process';
import type { AgentConfig } from './config.ts';
import type { Admission } from './containers/admission.ts';
import type { Layout } from './containers/layout.ts';
import type { Rootfs } from './containers/rootfs.ts';
import type { Starts } from './containers/starts.ts';
import type { SpecMaker } from './containers/spec-maker.ts';
import type { Copies } from './files/copies.ts';
import type { ProbeStreams } from './health/probe-streams.ts';
import type { Machines } from './machines/machines.ts';
import type { Book } from './reports/book.ts';
import type { Outbox } from './reports/outbox.ts';
import type { Secrets } from './secrets/secrets.ts';
import type { Store } from './store/store.ts';
import type { Attempts } from './reconcile/attempts.ts';
import type { Tasks } from './tasks/tasks.ts';
import type { Volumes } from './volumes/volumes.ts';

/** What the images' room is made with. */
export interface ImagesDeps {
  readonly config: AgentConfig;
  readonly containerd: Containerd;
  readonly log: EventLog<Message>;
  /** To the other hosts. */
  readonly pipesLink: NatsLink;
  readonly logger: Logger;
  readonly now: () => number;
  /** Images that containers of this host (not removed ones) stand on. */
  readonly used: () => readonly { readonly containerId: string; readonly name: string; readonly running: boolean; readonly image: ImagePin }[];
  /** An image has been removed. */
  readonly gone: () => void;
}

/** The images of this host. `ensure` fails with an error whose `code` is `not-found` where the host does not have the image. */
export interface ImagesRoom {
  /** `holders`: other hosts that have it. */
  ensure(pin: ImagePin, holders?: readonly HostId[]): Promise<{ readonly chainId: string }>;
  readonly calls: CallHandlers;
  readonly pipes: PipeHandlers;
  /** Tells the log of images that it does not know, and of names that are gone. Rejects with LogUnavailable. */
  announce(): Promise<void>;
  /** Breaks off what other hosts are asked. */
  close(): void;
}

/** What the networks' room is made with. */
export interface NetworkDeps {
  readonly config: AgentConfig;
  readonly sys: SysHelper;
  readonly logger: Logger;
}

/** The networks of this host: containers whose mode is `bridge`. `attach` and `detach` are idempotent. */
export interface NetworkRoom {
  /** Where the container's namespace is or will be: known before it is made, so that a spec can name it. */
  namespacePath(containerId: string): string;
  /** Makes the namespace and takes the ports; `attach` goes on from there, while others can already make a task in it. */
  prepare(container: Container): Promise<void>;
  attach(container: Container): Promise<{ readonly netnsPath: string | null; readonly attachment: NetworkAttachment }>;
  /** Nothing there is no error. `shared`: others run on in the namespace, so that its interface does not go by itself. */
  detach(containerId: string, options?: { readonly shared: boolean }): Promise<void>;
  /** Address of the host on the bridge, for `host-gateway`; null before the bridge is there. */
  gateway(): string | null;
  /** Takes away what belongs to no container among `known`. */
  cleanupOrphans(known: ReadonlySet<string>): Promise<void>;
}

/** Everything an executor may use. */
export interface Rooms {
  readonly config: AgentConfig;
  readonly logger: Logger;
  readonly now: () => number;
  /** When the host was booted, in ms since 1970. */
  readonly bootedAtMs: number;
  readonly containerd: Containerd;
  readonly sys: SysHelper;
  readonly store: Store;
  readonly outbox: Outbox;
  readonly book: Book;
  readonly tasks: Tasks;
  readonly layout: Layout;
  readonly starts: Starts;
  readonly copies: Copies;
  readonly attempts: Attempts;
  readonly admission: Admission;
  readonly specs: SpecMaker;
  readonly rootfs: Rootfs;
  readonly images: ImagesRoom;
  readonly network: NetworkRoom;
  /** Null: this host runs no virtual machines. */
  readonly machines: Machines | null;
  readonly secrets: Secrets;
  readonly volumes: Pick<Volumes, 'make' | 'home' | 'path'>;
  /** Where a container's next health probe writes. */
  readonly probeStreams: (containerId: string) => Promise<ProbeStreams>;
  /** Set while the host is being shut down: exits are told as such and nothing is started. `stopping`: how many containers are stopped for it, when they have ended. */
  readonly shutdown: { active: boolean; stopping?: Promise<number> };
  /** Set while the agent itself goes down: what ends then ends for that reason, and containers are not to notice. */
  readonly stopping: { active: boolean };
  /** Reports what was observed of a container; durable when it returns. The promise is the log's answer and need not be awaited. */
  readonly report: (containerId: string, command: ContainerCommand) => Promise<number | null>;
  /** An exec stands in the log like this, by the word of who asks for its start. */
  readonly execCreated: (exec: Exec, seq: number) => void;
}

export const noNetwork: NetworkAttachment = { ipAddress: null, prefixLength: null, gateway: null, macAddress: null, ports: [] };
