// Makes what is observed of each container match what is wanted: plans, does one step, plans again. Wakes itself for what is due later.
import { existsSync } from 'node:fs';
import type { Rooms } from '../rooms.ts';
import { isPassing } from '../containers/failures.ts';
import { execute } from './executors.ts';
import { plan } from './plan.ts';
import { Workers } from './workers.ts';

/** Containers worked on at once: enough to keep containerd busy, few enough to leave the host some air. */
const parallelContainers = 16;
/** Steps of one container before others get their turn. */
const stepsPerTurn = 16;
const failureFirstMs = 100;
const failureMaxMs = 5_000;
/** Failures in a row after which the oldest request is given up, so that whoever waits for it gets an answer. */
const failuresBeforeGivingUp = 8;
const longestTimerMs = 2 ** 31 - 1;

export class Reconciler {
  readonly #rooms: Rooms;
  readonly #workers: Workers;
  readonly #onSettled: (containerId: string) => void;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #failures = new Map<string, number>();
  #stopped = false;
  #logRead = false;
  #held = false;

  /** `onSettled`: nothing is to be done for a container just now. */
  constructor(rooms: Rooms, onSettled: (containerId: string) => void) {
    this.#rooms = rooms;
    this.#onSettled = onSettled;
    this.#workers = new Workers({ limit: parallelContainers, work: (id) => this.#work(id), logger: rooms.logger });
  }

  wake(containerId: string): void {
    this.#workers.wake(containerId);
  }

  wakeAll(): void {
    for (const id of new Set([...this.#rooms.book.ids(), ...this.#rooms.tasks.ids()])) this.wake(id);
  }

  /** The log has been read to its head: what it says of every container is known. */
  logWasRead(): void {
    this.#logRead = true;
    this.#held = false;
    this.wakeAll();
  }

  /** The log is another one than before: nothing is done until it is known what of this host it does not know. `logWasRead` ends it. */
  hold(): void {
    this.#held = true;
  }

  async idle(): Promise<void> {
    await this.#workers.idle();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    await this.#workers.stop();
  }

  async #work(id: string): Promise<void> {
    const { book, tasks, attempts, layout, now, shutdown } = this.#rooms;
    this.#clearTimer(id);
    let before: string | null = null;
    for (let steps = 0; steps < stepsPerTurn && !this.#stopped; steps++) {
      if (this.#held) return;
      const container = book.local(id);
      if (container === null) {
        this.#onSettled(id);
        return;
      }
      const observed = tasks.get(id);
      const { step, wakeAtMs } = plan(container, {
        observed, attempts: attempts.get(id), nowMs: now(), shuttingDown: shutdown.active, bootedAtMs: this.#rooms.bootedAtMs, tasksKnown: tasks.knows(id),
        clearing: book.clearing, logRead: this.#logRead, hasFiles: container.status === 'removed' && existsSync(layout.container(id)),
      });
      if (step === null) {
        if (container.requests.length === 0) attempts.drop(id);
        if (wakeAtMs !== null) this.#wakeIn(id, wakeAtMs - now());
        this.#failures.delete(id);
        this.#forget(id);
        this.#onSettled(id);
        return;
      }
      // Every step changes something, so that planning goes on. One that did not must not be done over and over as fast as may be: the host would do nothing else.
      const seen = JSON.stringify([step, container, observed, [...attempts.get(id).keys()]]);
      if (seen === before) {
        this.#failed(id, step.type, new Error(`${step.type} was done and has changed nothing`));
        return;
      }
      if (before !== null) this.#failures.delete(id);
      before = seen;
      try {
        await execute(this.#rooms, container, step);
        // Others may have waited for it to be gone.
        if (container.replaced !== undefined && step.type === 'remove' && !book.clearing) this.wakeAll();
      } catch (error) {
        this.#failed(id, step.type, error);
        return;
      }
    }
    this.wake(id);
  }

  /** A removed container whose removal the log knows is nobody's concern any more; not before it is known that it has no task, for only then has it been cleared up. */
  #forget(id: string): void {
    const { book, tasks, outbox } = this.#rooms;
    if (book.head(id)?.snapshot.status !== 'removed' || !tasks.knows(id) || tasks.get(id) !== null || outbox.waiting(book.subject(id)).length > 0) return;
    book.forget(id);
    this.#failures.delete(id);
    this.#clearTimer(id);
  }

  #failed(id: string, step: string, error: unknown): void {
    const { logger, book, report } = this.#rooms;
    const failures = (this.#failures.get(id) ?? 0) + 1;
    this.#failures.set(id, failures);
    const passing = isPassing(error);
    logger[passing ? 'warn' : 'error']({ containerId: id, step, failures, err: error }, 'a step failed and is tried again');
    const oldest = book.local(id)?.requests[0];
    if (!passing && failures >= failuresBeforeGivingUp && oldest !== undefined) {
      this.#failures.delete(id);
      void report(id, { type: 'ReportRequestFailed', commandId: oldest.commandId, code: 'internal', message: error instanceof Error ? error.message : String(error) });
    }
    this.#wakeIn(id, Math.min(failureFirstMs * 2 ** (failures - 1), failureMaxMs));
  }

  #wakeIn(id: string, ms: number): void {
    this.#clearTimer(id);
    if (this.#stopped) return;
    this.#timers.set(id, setTimeout(() => {
      this.#timers.delete(id);
      this.wake(id);
    }, Math.min(Math.max(0, ms), longestTimerMs)));
  }

  #clearTimer(id: string): void {
    const timer = this.#timers.get(id);
    if (timer === undefined) return;
    clearTimeout(timer);
    this.#timers.delete(id);
  }
}
