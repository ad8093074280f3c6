// The deciding part of an agent, put together: what it believes (book), what it owes the log (outbox), what it sees (tasks), and what it does about
// it (reconciler). It opens no connection, file or program: those come in, so that it runs the same over the real ones and over a simulation's.
import type { Containerd } from '@pouch/containerd';
import { execSubject, parseSubject, type Message } from '@pouch/contracts';
import type { Capacity, Container, Exec } from '@pouch/domain';
import type { EventLog } from '@pouch/eventlog';
import type { Logger } from '@pouch/process';
import type { AgentConfig } from './config.ts';
import { Admission } from './containers/admission.ts';
import { Starts } from './containers/starts.ts';
import { Execs } from './exec/exec.ts';
import { clearMachine } from './files/boot-machine.ts';
import { Copies } from './files/copies.ts';
import { HeldMachines } from './files/held-machines.ts';
import { Health } from './health/health.ts';
import { LogFollower } from './log-follower.ts';
import { Attempts } from './reconcile/attempts.ts';
import { Reconciler } from './reconcile/reconciler.ts';
import { appender } from './reports/append.ts';
import { Book } from './reports/book.ts';
import { Outbox } from './reports/outbox.ts';
import type { ImagesDeps, Rooms } from './rooms.ts';
import type { Store } from './store/store.ts';
import { Tasks } from './tasks/tasks.ts';

const flushMs = 3_000;

/** The rooms that reach out of the process. */
export type OuterRooms = Pick<Rooms, 'sys' | 'layout' | 'specs' | 'rootfs' | 'images' | 'network' | 'machines' | 'secrets' | 'volumes' | 'probeStreams'>;

export interface CoreDeps {
  readonly config: AgentConfig;
  readonly logger: Logger;
  readonly now: () => number;
  /** When the host was booted, in ms since 1970. */
  readonly bootedAtMs: number;
  readonly capacity: Capacity;
  readonly store: Store;
  readonly containerd: Containerd;
  readonly log: EventLog<Message>;
  /** `used`: images that containers of this host stand on. */
  readonly outer: (used: ImagesDeps['used']) => OuterRooms;
}

export interface Core {
  readonly rooms: Rooms;
  readonly execs: Execs;
  readonly health: Health;
  /** Sequence of the log that has been followed to; 0 before `start`. */
  readonly seq: number;
  /** Takes over what an earlier life left, and begins. `facts` tells the log of this host; it is called when the log has been read, and again when it is another one. */
  start(facts: () => Promise<void>): void;
  /** Everything that was asked so far has been carried out. */
  idle(): Promise<void>;
  /** Nothing more is begun; resolves when what runs has ended. */
  stop(): Promise<void>;
  /** Gives the log a last chance to take what it is owed. */
  close(): Promise<void>;
}

export function assembleCore({ config, logger, now, bootedAtMs, capacity, store, containerd, log, outer }: CoreDeps): Core {
  const execHeads = new Map<string, { seq: number; snapshot: Exec }>();
  const current = (): boolean => follower?.current === true;
  const outbox: Outbox = new Outbox({
    store, now, logger,
    onChange: (subject) => {
      book.invalidate(subject);
      const parts = parseSubject(subject);
      if (parts?.kind === 'container') reconciler.wake(parts.id);
    },
    append: appender({
      log, logger, now, current,
      guess: (subject) => {
        const parts = parseSubject(subject);
        // While it is not known which log answers, a sequence may be of another one's.
        if (!current()) return null;
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
  const used: ImagesDeps['used'] = () => book.ids().flatMap((id) => {
    const container = book.local(id);
    if (container === null || container.status === 'removed') return [];
    return [{ containerId: id, name: container.name, running: container.status === 'running' || container.status === 'paused', image: container.spec.image }];
  });
  const outside = outer(used);
  const copies = new Copies(new HeldMachines({ clear: (id) => clearMachine(outside.machines, outside.layout, id) }));
  const rooms: Rooms = {
    config, logger, now, bootedAtMs, containerd, store, outbox, book, tasks, starts: new Starts(), copies, attempts: new Attempts(store), admission: new Admission(capacity, book),
    shutdown: { active: false }, stopping: { active: false }, report, execCreated: (exec, seq) => { execHeads.set(execSubject(exec.hostId, exec.id), { seq, snapshot: exec }); }, ...outside,
  };
  const reconciler: Reconciler = new Reconciler(rooms, (id) => { if (!rooms.stopping.active) health.look(id); });
  const health = new Health(rooms);
  const execs = new Execs(rooms);
  let follower: LogFollower | null = null;
  let unlisten = (): void => undefined;

  return {
    rooms,
    execs,
    health,
    get seq() {
      return follower?.seq ?? 0;
    },
    start(facts) {
      outbox.restore();
      book.restore();
      tasks.start();
      follower = new LogFollower({ rooms, log, reconciler, logger, ready: firstListing, facts, onOtherLog: () => execHeads.clear() });
      follower.start();
      unlisten = log.onStateChange((available) => { if (available) outbox.retryNow(); });
    },
    idle: () => reconciler.idle(),
    async stop() {
      unlisten();
      await follower?.stop();
      await reconciler.stop();
      await health.stop();
    },
    async close() {
      await tasks.stop();
      await outbox.close(flushMs);
    },
  };
}
