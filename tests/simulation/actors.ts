// The processes of a simulated cluster: each wraps the product's own deciding code with the simulation's network, log, engine and disk. No decision
// of the product is made here.
import Database from 'better-sqlite3';
import { beatSubject, schedulerLease, type Beat, type NameClaim, type Recorded } from '@pouch/contracts';
import type { Container, Host, HostFacts, HostId, Placement, Service as ReplicaService, Volume } from '@pouch/domain';
import { BucketClaims, Lease } from '@pouch/eventlog';
import { systemClock, type Logger } from '@pouch/process';
import type { AgentConfig } from '../../services/agent/src/config.ts';
import { announce } from '../../services/agent/src/announce.ts';
import { startBeat } from '../../services/agent/src/beat.ts';
import { assembleCore, type Core as AgentCore, type OuterRooms } from '../../services/agent/src/core.ts';
import { Store } from '../../services/agent/src/store/store.ts';
import type { Deps } from '../../services/api/src/deps.ts';
import { startCore, type Core as SchedulerCore } from '../../services/scheduler/src/scheduler.ts';
import type { Engine } from './engine.ts';
import { ClientBucket, ClientLog, type LogServer } from './log.ts';
import type { Link, Network } from './network.ts';
import { Process, type Runtime } from './runtime.ts';

export interface Surroundings {
  readonly runtime: Runtime;
  readonly network: Network;
  readonly server: LogServer;
  /** Heartbeats, wherever they are heard. */
  readonly beats: Set<(beat: Beat) => void>;
}

const restartMs = 1_000;

/** Something that runs as a process and is started again whenever it ends. */
abstract class Service {
  readonly around: Surroundings;
  readonly name: string;
  readonly link: Link;
  process: Process;

  constructor(around: Surroundings, name: string) {
    this.around = around;
    this.name = name;
    this.link = { name, cutTo: false, cutFrom: false };
    this.process = new Process(name);
  }

  abstract begin(): void;

  start(): void {
    const { runtime } = this.around;
    const skewMs = this.process.skewMs;
    this.process = new Process(this.name);
    this.process.skewMs = skewMs;
    this.process.onCrash = (error) => {
      runtime.say(this.name, `crashed: ${error instanceof Error ? error.stack?.split('\n').slice(0, 3).join(' | ') ?? error.message : String(error)}`);
      this.crash();
    };
    runtime.after(this.process, 0, () => this.begin());
  }

  /** kill -9, and the supervisor starts it again. */
  crash(): void {
    if (!this.process.alive) return;
    this.process.alive = false;
    this.around.runtime.after(this.around.runtime.world, restartMs, () => this.start());
  }

  protected clientLog(): ClientLog {
    const { runtime, network, server } = this.around;
    return new ClientLog({ runtime, network, server, client: this.process, link: this.link });
  }

  protected bucket(which: keyof LogServer['buckets']): ClientBucket {
    return new ClientBucket(this.around.network, this.process, this.link, this.around.server.buckets[which]);
  }

  protected logger(): Logger {
    const say = (fields: { err?: unknown; containerId?: string }, message: string): void => {
      const about = [fields.containerId?.slice(0, 8), fields.err instanceof Error ? fields.err.message : undefined].filter((part) => part !== undefined).join(' ');
      this.around.runtime.say(this.name, about === '' ? message : `${message} (${about})`);
    };
    return { trace: () => undefined, debug: () => undefined, info: say, warn: say, error: say, fatal: say } as unknown as Logger;
  }
}

export class SchedulerActor extends Service {
  core: SchedulerCore | null = null;
  readonly #hear = (beat: Beat): void => {
    const life = this.process;
    this.around.network.send(this.link, 'from', life, () => this.core?.hear(beat));
  };

  begin(): void {
    const { process } = this;
    const log = this.clientLog();
    const logger = this.logger();
    this.core = startCore({
      config: { name: this.name, retention: { maxAgeMs: 7 * 86_400_000, maxCount: 100_000 }, strategy: 'spread' },
      logger, clock: systemClock, log,
      claims: new BucketClaims<NameClaim>(this.bucket('names')),
      lease: (told) => new Lease({ bucket: this.bucket('leases'), logger, name: schedulerLease, holder: this.name, ...told }),
      connected: () => log.available,
      onFailed: (error) => process.onCrash(error),
    });
    this.around.beats.add(this.#hear);
  }
}

export class HostActor extends Service {
  readonly engine: Engine;
  readonly hostId: HostId;
  readonly facts: HostFacts;
  readonly #disk = new Database(':memory:');
  core: AgentCore | null = null;
  /** Gets each life's store before the agent does: where a test plants a fault. */
  onStore: (store: Store) => void = () => undefined;
  bootedAtMs: number;

  constructor(around: Surroundings, hostId: HostId, facts: HostFacts, engine: Engine) {
    super(around, hostId);
    this.hostId = hostId;
    this.facts = facts;
    this.engine = engine;
    this.bootedAtMs = around.runtime.wallMs;
  }

  /** What is written from now on fails where it needs more room than there is. */
  fillDisk(full: boolean): void {
    const pages = this.#disk.pragma('page_count', { simple: true }) as number;
    this.#disk.pragma(`max_page_count = ${full ? pages : 1_000_000}`);
  }

  /** The host goes down and comes back without any of its tasks. */
  reboot(): void {
    this.engine.reboot();
    this.bootedAtMs = this.around.runtime.wallMs + restartMs;
    this.crash();
  }

  discard(): void {
    this.#disk.close();
  }

  begin(): void {
    const { runtime, network, beats } = this.around;
    const { process, facts } = this;
    const now = (): number => Date.now();
    const logger = this.logger();
    const log = this.clientLog();
    const config = { hostId: this.hostId, runtimes: facts.runtimes, cgroupParent: 'pouch', containerdNamespace: 'pouch' } as unknown as AgentConfig;
    const store = new Store(this.#disk);
    this.onStore(store);
    const core = assembleCore({
      config, logger, now, bootedAtMs: this.bootedAtMs, capacity: facts.capacity, store, containerd: this.engine.face(process), log,
      outer: () => outerRooms(this.engine, runtime),
    });
    this.core = core;
    core.start(async () => {
      await announce({ log, config, facts, logger, now, signal: new AbortController().signal });
    });
    startBeat({ rooms: core.rooms, seq: () => core.seq, publish: (subject, payload) => {
      if (subject !== beatSubject(this.hostId)) return;
      network.send(this.link, 'to', network.server, () => { for (const hear of beats) hear(JSON.parse(payload) as Beat); });
    } });
  }
}

/** Files, networks and images of a host: there at once, and never wrong. Their faults are their own tests' matter. */
function outerRooms(engine: Engine, runtime: Runtime): OuterRooms {
  const soon = <T>(value: T): Promise<T> => new Promise((resolve) => { runtime.after(runtime.here, 1, () => resolve(value)); });
  const path = (id: string): string => `/simulated/${engine.hostName}/${id}`;
  const mounts = [{ type: 'bind', source: '/rootfs', target: '', options: [] }];
  return {
    sys: {}, machines: null,
    layout: {
      machines: '/machines', container: path, log: (id: string) => `${path(id)}/log`,
      makeContainer: (id: string) => { engine.files.add(id); runtime.paths.add(path(id)); return soon(undefined); },
      removeContainer: (id: string) => { engine.files.delete(id); runtime.paths.delete(path(id)); return soon(undefined); },
      removeIo: () => soon(undefined), present: () => soon([...engine.files]),
    },
    specs: {
      writeFiles: () => soon(undefined), make: () => soon({ text: '{}' }), process: () => soon({}), networkAtCreate: () => ({ kind: 'new' }), runtime: (name: string) => ({ name }), any: () => null,
      written: () => undefined, ensureWritten: () => soon(undefined), forget: () => undefined,
    },
    rootfs: {
      prepare: (id: string) => { engine.snapshots.add(id); return soon(mounts); }, imageLayers: () => null, mounts: () => soon(mounts),
      remove: (id: string) => { engine.snapshots.delete(id); return soon(undefined); },
    },
    images: { ensure: () => soon({ chainId: 'chain' }), announce: () => soon(undefined), calls: {}, pipes: {}, close: () => undefined },
    network: { detach: () => soon(undefined), cleanupOrphans: () => soon(undefined) },
    volumes: { make: () => soon(undefined) },
    probeStreams: () => soon({ stdout: '', stderr: '', output: { read: () => soon(undefined), text: '' }, release: () => undefined, close: () => soon(undefined) }),
    secrets: { fetch: () => soon(undefined), place: () => soon(undefined), clear: () => soon(undefined) },
  } as unknown as OuterRooms;
}

interface Waiter {
  readonly look: () => boolean;
}

/** An api without HTTP: its command path over a picture of the log. */
export class ApiActor extends Service {
  readonly containers = new Map<string, { readonly seq: number; readonly state: Container }>();
  readonly services = new Map<string, ReplicaService>();
  readonly volumes = new Map<string, Volume>();
  readonly #hosts = new Map<string, { readonly seq: number; readonly state: Host }>();
  readonly #placements = new Map<string, { readonly seq: number; readonly state: Placement }>();
  readonly #waiters = new Set<Waiter>();
  #seq = 0;
  deps: Deps | null = null;

  begin(): void {
    this.containers.clear();
    this.services.clear();
    this.volumes.clear();
    this.#placements.clear();
    this.#hosts.clear();
    this.#waiters.clear();
    this.#seq = 0;
    const log = this.clientLog();
    const subscription = log.follow({
      filter: 'evt.>', from: { seq: 1 }, onFailed: (error) => { throw error; },
      onMessages: (messages) => {
        for (const { seq, message } of messages as readonly Recorded[]) {
          this.#seq = seq;
          if (message.kind === 'placement') this.#placements.set((message.snapshot as Placement).id, { seq, state: message.snapshot as Placement });
          if (message.kind === 'host') this.#hosts.set((message.snapshot as Host).id, { seq, state: message.snapshot as Host });
          if (message.kind === 'service') this.services.set((message.snapshot as ReplicaService).name, message.snapshot as ReplicaService);
          if (message.kind === 'volume') this.volumes.set((message.snapshot as Volume).name, message.snapshot as Volume);
          if (message.kind !== 'container') continue;
          const state = message.snapshot as Container;
          const present = this.containers.get(state.id);
          // As the projection's rows: one that lives on hides its traces on other hosts.
          if (present === undefined || present.state.hostId === state.hostId || present.state.status === 'removed') this.containers.set(state.id, { seq, state });
        }
        for (const waiter of this.#waiters) if (waiter.look()) this.#waiters.delete(waiter);
      },
    });
    const wait = <T>(look: () => T | undefined, { signal }: { signal?: AbortSignal }): Promise<T> => new Promise((resolve, reject) => {
      const waiter: Waiter = { look: () => {
        try {
          const value = look();
          if (value === undefined) return false;
          resolve(value);
        } catch (error) {
          reject(error as Error);
        }
        return true;
      } };
      if (waiter.look()) return;
      this.#waiters.add(waiter);
      signal?.addEventListener('abort', () => { if (this.#waiters.delete(waiter)) reject(signal.reason as Error); }, { once: true });
    });
    const stored = (id: string): { seq: number; state: Container } | undefined => this.containers.get(id);
    const alive = (id: string): { seq: number; state: Container } | undefined => (stored(id)?.state.status === 'removed' ? undefined : stored(id));
    const seqNow = (): number => Math.max(this.#seq, subscription.lastSeq);
    const projection = {
      get seq() { return seqNow(); },
      present: { container: (id: string) => alive(id) ?? null, placement: (id: string) => this.#placements.get(id) ?? null, host: (id: string) => this.#hosts.get(id) },
      history: { lastContainer: stored },
      waitForSeq: (seq: number, options: { signal?: AbortSignal }) => wait(() => (seqNow() >= seq ? true : undefined), options),
      waitForContainer: <T>(id: string, look: (container: Container | null, placement: Placement | null) => T | undefined, options: { signal: AbortSignal; afterSeq?: number }) =>
        wait(() => seqNow() < (options.afterSeq ?? 0) ? undefined : look(stored(id)?.state ?? null, this.#placements.get(id)?.state ?? null), options),
    };
    this.deps = { log, clock: systemClock, names: new BucketClaims<NameClaim>(this.bucket('names')), projection } as unknown as Deps;
  }
}
