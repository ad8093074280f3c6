// The agent's ear on the log: follows the containers of this host, begins anew when the log is another one, and clears up and tells of the host
// once it has read it all. It decides nothing about containers.
import { setTimeout as delay } from 'node:timers/promises';
import { containersOfHost, parseSubject, type Message, type Recorded } from '@pouch/contracts';
import type { Container } from '@pouch/domain';
import { LogChangedError, type EventLog, type LogIdentity, type Subscription } from '@pouch/eventlog';
import type { Logger } from '@pouch/process';
import { meetOtherLog } from './reconcile/other-log.ts';
import { removeOrphans } from './reconcile/orphans.ts';
import type { Reconciler } from './reconcile/reconciler.ts';
import type { Rooms } from './rooms.ts';

const retryFirstMs = 100;
const retryMaxMs = 5_000;

export interface FollowerDeps {
  readonly rooms: Rooms;
  readonly log: EventLog<Message>;
  readonly reconciler: Reconciler;
  readonly logger: Logger;
  /** Tasks have been listed for the first time. */
  readonly ready: Promise<void>;
  /** Tells the log of this host and its images. */
  readonly facts: () => Promise<void>;
  /** The log is another one than before. */
  readonly onOtherLog: () => void;
}

/** Follows the containers of this host, and begins anew when the log is another one. */
export class LogFollower {
  readonly #deps: FollowerDeps;
  #subscription: Subscription | null = null;
  #stopped = false;
  #seen = new Set<string>();
  /** Counts the logs that were begun to be read: what is under way for an earlier one ends. */
  #life = 0;
  /** Containers under the last log that was met, and its newest sequence that is known here. */
  #before: ReadonlyMap<string, Container> | null = null;
  #newestSeq = 0;
  #rewound = false;
  #recreated = false;

  constructor(deps: FollowerDeps) {
    this.#deps = deps;
  }

  get seq(): number {
    return this.#subscription?.lastSeq ?? 0;
  }

  /** What is known of the log is what it holds now, as far as anybody can say. */
  get current(): boolean {
    return this.#subscription?.caughtUp ?? false;
  }

  start(): void {
    const { rooms, log, reconciler, logger } = this.#deps;
    const life = ++this.#life;
    this.#seen = new Set();
    this.#before ??= new Map(rooms.book.ids().flatMap((id) => [[id, rooms.book.local(id)] as const]).filter((each): each is [string, Container] => each[1] !== null));
    const { reached: atLeast } = rooms.book;
    this.#newestSeq = Math.max(this.#newestSeq, atLeast);
    let caughtUp = false;
    let met: LogIdentity | null = null;
    /** Comes before anything that the log says is heeded. */
    const meet = (): void => {
      const found = this.#subscription?.log ?? null;
      if (met !== null || found === null) return;
      met = found;
      if (this.#isOther(found)) reconciler.hold();
    };
    rooms.book.distrust();
    this.#subscription = log.follow({
      // What another log reached says nothing of this one.
      atLeast: this.#recreated ? 0 : atLeast,
      filter: containersOfHost(rooms.config.hostId),
      from: 'last-per-subject',
      onMessages: (messages) => {
        meet();
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
        meet();
        if (met !== null) void this.#caughtUp(met, life);
      },
      onInterrupted: (reason) => logger.warn({ reason }, 'the log is interrupted'),
      onFailed: (error) => {
        if (!(error instanceof LogChangedError)) throw error;
        logger.error({ err: error }, 'the log is another one than before: reading it anew');
        this.#rewound ||= error.change === 'rewound';
        this.#recreated ||= error.change === 'recreated';
        reconciler.hold();
        this.#deps.onOtherLog();
        void this.#subscription?.stop().then(() => { if (!this.#stopped) this.start(); });
      },
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#subscription?.stop();
  }

  /** Another stream, or this one without its end: older than what is known here. */
  #isOther({ streamId, lastSeq }: LogIdentity): boolean {
    return this.#rewound || lastSeq < this.#newestSeq || this.#deps.rooms.store.log() !== streamId;
  }

  /** The log has been read to its head: what it does not know is left from an earlier life, if it is the log of that life. */
  async #caughtUp(log: LogIdentity, life: number): Promise<void> {
    const { rooms, logger, ready, facts, reconciler } = this.#deps;
    const over = (): boolean => this.#stopped || life !== this.#life;
    logger.info({ containers: this.#seen.size }, 'the log has been read');
    await ready;
    for (let delayMs = retryFirstMs; !over(); delayMs = Math.min(delayMs * 2, retryMaxMs)) {
      try {
        if (this.#before !== null) {
          if (this.#isOther(log)) await meetOtherLog(rooms, { log, before: this.#before, seen: this.#seen });
          else for (const id of rooms.book.ids()) if (!this.#seen.has(id) && rooms.book.head(id)?.seq === 0) rooms.book.forget(id);
          if (over()) return;
          this.#before = null;
          this.#newestSeq = 0;
          this.#rewound = false;
          this.#recreated = false;
          this.#seen.clear();
        }
        await removeOrphans(rooms);
        await facts();
        break;
      } catch (error) {
        if (over()) return;
        logger.warn({ err: error }, 'clearing up and announcing this host is tried again');
        await delay(delayMs);
      }
    }
    if (!over()) reconciler.logWasRead();
  }
}
