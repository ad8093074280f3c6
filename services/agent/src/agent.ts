// One agent: puts its rooms together, follows the log, and lets go of everything in order. What happens in the rooms is theirs.
import { chmod, mkdir } from 'node:fs/promises';
import { dirname, isAbsolute } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from '@pouch/containerd';
import { containersOfHost, hostSubject, kernelsBucket, messageVersion, secretsBucket, parseSubject, toMessage, type Message, type Recorded } from '@pouch/contracts';
import { decideHost, fold, machineRuntime, type Container, type Exec, type Host } from '@pouch/domain';
import { ConflictError, LogChangedError, NatsEventLog, NatsObjectStore, type NatsLink, type Subscription } from '@pouch/eventlog';
import { SysHelper } from '@pouch/native';
import type { Logger } from '@pouch/process';
import { KeyFile } from '@pouch/sealing';
import { randomUUID } from 'node:crypto';
import { startBeat } from './beat.ts';
import type { AgentConfig } from './config.ts';
import { Admission } from './containers/admission.ts';
import { Layout } from './containers/layout.ts';
import { Rootfs } from './containers/rootfs.ts';
import { SpecMaker } from './containers/spec-maker.ts';
import { Starts } from './containers/starts.ts';
import { Execs } from './exec/exec.ts';
import { bootedAtMs, hostFacts } from './host-facts.ts';
import { createImages } from './images/index.ts';
import { Machines } from './machines/machines.ts';
import { createNetwork } from './network/index.ts';
import { Attempts } from './reconcile/attempts.ts';
import { removeOrphans } from './reconcile/orphans.ts';
import { Reconciler } from './reconcile/reconciler.ts';
import { appender } from './reports/append.ts';
import { Book } from './reports/book.ts';
import { Outbox } from './reports/outbox.ts';
import type { Rooms } from './rooms.ts';
import { Secrets } from './secrets/secrets.ts';
import { serve } from './serve.ts';
import { Store } from './store/store.ts';
import { Tasks } from './tasks/tasks.ts';

const containerdReadyMs = 60_000;
const retryFirstMs = 100;
const retryMaxMs = 5_000;
const flushMs = 3_000;

/** A running agent. `stop` lets its containers go on. */
export interface Agent {
  readonly rooms: Rooms;
  /** Everything that was asked so far has been carried out. */
  idle(): Promise<void>;
  stop(): Promise<void>;
}

export interface AgentDeps {
  readonly config: AgentConfig;
  readonly logger: Logger;
  /** Of the log and of heartbeats. Not closed by the agent. */
  readonly link: NatsLink;
  /** Of calls and pipes: bulk bytes have a connection of their own. Not closed by the agent. */
  readonly pipesLink: NatsLink;
}

/** Starts an agent. Needs containerd; the log may be away and come later. */
export async function startAgent({ config, logger, link, pipesLink }: AgentDeps): Promise<Agent> {
  const now = (): number => Date.now();
  const layout = new Layout(config);
  await mkdir(config.dataDir, { recursive: true, mode: 0o711 });
  await mkdir(config.runDir, { recursive: true, mode: 0o711 });
  await chmod(dirname(layout.database), 0o711);
  await layout.make();
  const containerd = connect({ socketPath: config.containerdSocket, namespace: config.containerdNamespace, snapshotter: config.snapshotter });
  await containerd.waitForReady(containerdReadyMs);
  const facts = await hostFacts(config, containerd);
  const store = new Store(layout.database);
  const sys = new SysHelper();
  const log = new NatsEventLog<Message>({ link, logger, check: toMessage });

  const execHeads = new Map<string, { seq: number; snapshot: Exec }>();
  const outbox: Outbox = new Outbox({
    store, now, logger,
    onChange: (subject) => {
      book.invalidate(subject);
      const parts = parseSubject(subject);
      if (parts?.kind === 'container') reconciler.wake(parts.id);
    },
    append: appender({
      log, logger, now,
      guess: (subject) => {
        const parts = parseSubject(subject);
        if (parts?.kind === 'exec') return execHeads.get(subject) ?? null;
        const head = parts === null ? undefined : book.head(parts.id);
        return head === undefined || head.seq === 0 ? null : head;
      },
      learned: (subject, seq, snapshot) => {
        const parts = parseSubject(subject);
        if (parts?.kind === 'container') book.learn(parts.id, seq, snapshot as Container);
        else if (snapshot.status === 'exited') execHeads.delete(subject);
        else execHeads.set(subject, { seq, snapshot: snapshot as Exec });
      },
    }),
  });
  const book = new Book(store, config.hostId, (subject) => outbox.waiting(subject));
  const report: Rooms['report'] = (id, command) => outbox.add({ kind: 'container', subject: book.subject(id), command });
  let tasksListed = (): void => undefined;
  const firstListing = new Promise<void>((resolve) => { tasksListed = resolve; });
  const tasks = new Tasks({
    containerd, logger, now,
    onChange: (id) => { reconciler.wake(id); },
    onOom: (id) => { void report(id, { type: 'ReportOomKilled' }); },
    onListed: () => {
      tasksListed();
      execs.resume();
      reconciler.wakeAll();
    },
  });
  const used = (): ReturnType<Parameters<typeof createImages>[0]['used']> => book.ids().flatMap((id) => {
    const container = book.local(id);
    if (container === null || container.status === 'removed') return [];
    return [{ containerId: id, name: container.name, running: container.status === 'running' || container.status === 'paused', image: container.spec.image }];
  });
  const images = createImages({ config, containerd, log, logger, now, used, gone: () => { void machines?.sweepLater(); } });
  const network = createNetwork({ config, sys, logger });
  const rootfs = new Rootfs(containerd);
  const secrets = new Secrets({
    keys: config.secretsKey === null ? null : new KeyFile(config.secretsKey), log, objects: new NatsObjectStore({ link: pipesLink, logger, bucket: secretsBucket }),
    kept: (id) => layout.container(id), mountPoint: layout.secrets, logger,
  });
  const specs = new SpecMaker({ config, containerd, layout, rootfs, logger, network, secrets });
  const stopped = new AbortController();
  const runv = config.runtimes.find(({ name }) => name === machineRuntime);
  const machines = runv === undefined || !isAbsolute(runv.path) ? null : new Machines({
    config, path: runv.path, root: layout.machines, log, logger, now, objects: new NatsObjectStore({ link: pipesLink, logger, bucket: kernelsBucket }),
    onChange: () => announceNow().catch((error: unknown) => {
      logger.warn({ err: error }, 'what has changed of this host is told when the log is back');
      return null;
    }),
  });
  await machines?.open();
  const announceNow = (): Promise<number | null> => announce({ log, config, facts: { ...facts, ...machineFacts(machines), warnings: [...facts.warnings, ...(machines?.warnings() ?? [])] }, logger, now, signal: stopped.signal });
  const rooms: Rooms = {
    config, logger, now, bootedAtMs: bootedAtMs(), containerd, sys, store, outbox, book, tasks, layout, starts: new Starts(), attempts: new Attempts(store), admission: new Admission(facts.capacity, book),
    specs, rootfs, images, network, machines, secrets, shutdown: { active: false }, stopping: { active: false }, report,
  };
  const reconciler = new Reconciler(rooms);
  const execs = new Execs(rooms);

  outbox.restore();
  book.restore();
  tasks.start();
  const follower = new LogFollower({ rooms, log, reconciler, logger, ready: firstListing, facts: async () => {
    await announceNow();
    await images.announce();
    await machines?.forgetRemoved();
    void machines?.probeAcceleration();
  } });
  follower.start();
  const unlisten = log.onStateChange((available) => { if (available) outbox.retryNow(); });
  const stopBeat = startBeat({ rooms, seq: () => follower.seq, publish: (subject, payload) => { if (link.connected) void link.connection().then((nc) => nc.publish(subject, payload)).catch(() => { /* the next beat is as good */ }); } });
  const server = serve({ rooms, execs, link: pipesLink, logger, images });

  return {
    rooms,
    idle: () => reconciler.idle(),
    async stop() {
      rooms.stopping.active = true;
      stopped.abort();
      stopBeat();
      unlisten();
      await follower.stop();
      await reconciler.stop();
      await server.stop();
      await tasks.stop();
      await outbox.close(flushMs);
      await log.close();
      await sys.close();
      containerd.close();
      store.close();
    },
  };
}

interface FollowerDeps {
  readonly rooms: Rooms;
  readonly log: NatsEventLog<Message>;
  readonly reconciler: Reconciler;
  readonly logger: Logger;
  /** Tasks have been listed for the first time. */
  readonly ready: Promise<void>;
  /** Tells the log of this host and its images. */
  readonly facts: () => Promise<void>;
}

/** Follows the containers of this host, and begins anew when the log is another one. */
class LogFollower {
  readonly #deps: FollowerDeps;
  #subscription: Subscription | null = null;
  #stopped = false;
  #seen = new Set<string>();

  constructor(deps: FollowerDeps) {
    this.#deps = deps;
  }

  get seq(): number {
    return this.#subscription?.lastSeq ?? 0;
  }

  start(): void {
    const { rooms, log, reconciler, logger } = this.#deps;
    this.#seen = new Set();
    let caughtUp = false;
    rooms.book.distrust();
    this.#subscription = log.follow({
      filter: containersOfHost(rooms.config.hostId),
      from: 'last-per-subject',
      onMessages: (messages) => {
        for (const recorded of messages as readonly Recorded[]) {
          const id = parseSubject(recorded.subject)?.id;
          if (id === undefined) continue;
          this.#seen.add(id);
          if (rooms.book.apply(recorded)) reconciler.wake(id);
        }
      },
      onCaughtUp: () => {
        rooms.outbox.retryNow();
        if (caughtUp) return;
        caughtUp = true;
        void this.#caughtUp();
      },
      onInterrupted: (reason) => logger.warn({ reason }, 'the log is interrupted'),
      onFailed: (error) => {
        if (!(error instanceof LogChangedError)) throw error;
        logger.error({ err: error }, 'the log is another one than before: reading it anew');
        void this.#subscription?.stop().then(() => { if (!this.#stopped) this.start(); });
      },
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#subscription?.stop();
  }

  /** The log has been read to its head: what it does not know is not to be here. */
  async #caughtUp(): Promise<void> {
    const { rooms, logger, ready, facts, reconciler } = this.#deps;
    for (const id of rooms.book.ids()) if (!this.#seen.has(id) && rooms.book.head(id)?.seq === 0) rooms.book.forget(id);
    this.#seen.clear();
    logger.info({ containers: rooms.book.ids().length }, 'the log has been read');
    await ready;
    for (let delayMs = retryFirstMs; !this.#stopped; delayMs = Math.min(delayMs * 2, retryMaxMs)) {
      try {
        await removeOrphans(rooms);
        await facts();
        break;
      } catch (error) {
        if (this.#stopped) return;
        logger.warn({ err: error }, 'clearing up and announcing this host is tried again');
        await delay(delayMs);
      }
    }
    reconciler.logWasRead();
  }
}

/** What the host says of its machines; nothing where their runtime does not say anything itself. */
function machineFacts(machines: Machines | null): Pick<Host['facts'], 'machines'> {
  const told = machines?.facts() ?? null;
  return told === null ? {} : { machines: told };
}

/** Tells the log what this host is; again when the log is another one, or something of it has changed. Answers with the sequence that tells of it. */
async function announce({ log, config, facts, logger, now, signal }: { log: NatsEventLog<Message>; config: AgentConfig; facts: Host['facts']; logger: Logger; now: () => number; signal: AbortSignal }): Promise<number | null> {
  const subject = hostSubject(config.hostId);
  const id = randomUUID();
  while (!signal.aborted) {
    const last = await log.last(subject);
    const state = (last?.message.snapshot ?? null) as Host | null;
    const decision = decideHost(state, { type: 'AnnounceHost', id: config.hostId, facts }, now());
    if (!decision.ok || decision.events.length === 0) return last?.seq ?? null;
    const message: Message = {
      v: messageVersion, id, kind: 'host', events: decision.events, snapshot: fold('host', state, decision.events) as Host,
      meta: { atMs: now(), service: 'agent', actor: 'agent', cause: null },
    };
    try {
      const { seq } = await log.append({ subject, message, expectedSeq: last?.seq ?? 0 });
      logger.info({ hostId: config.hostId, events: decision.events.map(({ type }) => type) }, 'host announced');
      return seq;
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
    }
  }
  return null;
}
