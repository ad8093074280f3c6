// The agent's ear on the log: follows the containers of this host, begins anew when the log is another one, and clears up and tells of the host
// once it has read it all. It decides nothing about containers.
import { setTimeout as delay } from 'node:timers/promises';
import { containersOfHost, parseSubject, type Message, type Recorded } from '@pouch/contracts';
import { LogChangedError, type EventLog, type Subscription } from '@pouch/eventlog';
import type { Logger } from '@pouch/process';
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
}

/** Follows the containers of this host, and begins anew when the log is another one. */
export class LogFollower {
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
    const { reached: atLeast } = rooms.book;
    rooms.book.distrust();
    this.#subscription = log.follow({
      atLeast,
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
