// Reports on their way to the log: kept in SQLite until they are acknowledged, appended in order per aggregate, several in one message
// when they pile up. While the log is away they wait, and are decided against the head that is there when it is back.
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { ContainerCommand, ExecCommand } from '@pouch/domain';
import type { Store } from '../store/store.ts';

type Logger = Record<'debug' | 'info' | 'warn' | 'error', (fields: object, message: string) => void>;

/** A report in the queue of its aggregate. */
export type Report = { readonly id: string; readonly subject: string; readonly atMs: number } & (
  | { readonly kind: 'container'; readonly command: ContainerCommand }
  | { readonly kind: 'exec'; readonly command: ExecCommand }
);

/** Appends reports of one aggregate as one decision; `id` is the decision's, the same at every retry. */
export interface Batch {
  readonly id: string;
  readonly kind: Report['kind'];
  readonly subject: string;
  readonly reports: readonly Report[];
}

export interface OutboxOptions {
  readonly store: Store;
  /** Resolves with the log's sequence after which the reports are told, null when every one was refused. Rejects with `retryable` when the log is away. */
  readonly append: (batch: Batch) => Promise<number | null>;
  readonly now: () => number;
  readonly logger: Logger;
  /** The queue of a subject has changed. */
  readonly onChange: (subject: string) => void;
}

/** Reports of one aggregate that may wait; past it whole runs in the middle are thinned out. */
export const maxQueued = 256;
const maxBatch = 16;
const retryFirstMs = 250;
const retryMaxMs = 5_000;
const maxAttempts = 20;
const parallelRetries = 16;

interface Queue {
  readonly subject: string;
  readonly entries: { readonly report: Report; readonly settle: (seq: number | null) => void }[];
  /** Reports at the front that are being appended; fixed across retries, since they share one id. */
  inFlight: number;
  draining: Promise<void> | null;
  attempts: number;
}

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #queues = new Map<string, Queue>();
  #retry: NodeJS.Timeout | null = null;
  #retryMs = retryFirstMs;
  #away = false;
  #closed = false;
  #size = 0;
  readonly #leave = new Set<() => void>();

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** Takes over what an earlier life of the agent left; call once, before the first `add`. */
  restore(): void {
    for (const { id, kind, subject, command, atMs } of this.#options.store.outbox()) {
      const report = { id, kind, subject, atMs, command: JSON.parse(command) as never } as Report;
      this.#queue(subject).entries.push({ report, settle: () => undefined });
      this.#size++;
    }
  }

  /** Whether the log could not be told when last tried. */
  get away(): boolean {
    return this.#away;
  }

  /** The log's sequence of a report, or 0 as soon as it turns out that the log is away: for those who must not be kept waiting. */
  async seqUnlessAway(told: Promise<number | null>): Promise<number> {
    if (this.#away) return 0;
    const away = Promise.withResolvers<0>();
    const leave = (): void => away.resolve(0);
    this.#leave.add(leave);
    try {
      return (await Promise.race([told, away.promise])) ?? 0;
    } finally {
      this.#leave.delete(leave);
    }
  }

  /** Reports that wait. */
  get size(): number {
    return this.#size;
  }

  /** What waits for one aggregate, in order. */
  waiting(subject: string): readonly Report[] {
    return this.#queues.get(subject)?.entries.map(({ report }) => report) ?? [];
  }

  /**
   * Queues a report durably (when this returns, a crash does not lose it) and appends it as soon as may be. The promise settles with the log's
   * sequence, or null where the report was no news any more; it never rejects.
   */
  add(report: Omit<Extract<Report, { kind: 'container' }>, 'id' | 'atMs'> | Omit<Extract<Report, { kind: 'exec' }>, 'id' | 'atMs'>): Promise<number | null> {
    const whole = { ...report, id: randomUUID(), atMs: this.#options.now() } as Report;
    this.#options.store.enqueue({ id: whole.id, kind: whole.kind, subject: whole.subject, command: JSON.stringify(whole.command), atMs: whole.atMs });
    const queue = this.#queue(whole.subject);
    if (queue.entries.length >= maxQueued) this.#thin(queue);
    const settled = new Promise<number | null>((settle) => { queue.entries.push({ report: whole, settle }); });
    this.#size++;
    this.#options.onChange(whole.subject);
    if (!this.#away) this.#drain(queue);
    return settled;
  }

  /** The log may be back: tries at once. */
  retryNow(): void {
    if (this.#closed) return;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    void this.#retryAll();
  }

  /** Stops retrying and waits, at most `timeoutMs`, for what is being appended. The rest stays in SQLite. */
  async close(timeoutMs: number): Promise<void> {
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    const draining = [...this.#queues.values()].flatMap(({ draining }) => (draining === null ? [] : [draining]));
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([Promise.all(draining), new Promise((resolve) => { timer = setTimeout(resolve, timeoutMs); })]);
    clearTimeout(timer);
  }

  #queue(subject: string): Queue {
    const present = this.#queues.get(subject);
    if (present !== undefined) return present;
    const queue: Queue = { subject, entries: [], inFlight: 0, draining: null, attempts: 0 };
    this.#queues.set(subject, queue);
    return queue;
  }

  #drain(queue: Queue): void {
    queue.draining ??= this.#appendAll(queue).finally(() => {
      queue.draining = null;
      if (queue.entries.length === 0) this.#queues.delete(queue.subject);
      // Added by whoever was told of the last one, before this was known to be over.
      else if (!this.#away && !this.#closed) this.#drain(queue);
    });
  }

  async #appendAll(queue: Queue): Promise<void> {
    const { append, logger, store } = this.#options;
    while (queue.entries.length > 0) {
      if (queue.inFlight === 0) queue.inFlight = Math.min(queue.entries.length, maxBatch);
      const reports = queue.entries.slice(0, queue.inFlight).map(({ report }) => report);
      const last = reports.at(-1) as Report;
      let seq: number | null = null;
      try {
        // The last one's id: after a crash the same reports, or these and further ones, are decided again, and no id ever stands for fewer reports than were in its message.
        seq = await append({ id: last.id, kind: last.kind, subject: queue.subject, reports });
        this.#back();
      } catch (error) {
        if ((error as { retryable?: unknown }).retryable === true) {
          logger.warn({ subject: queue.subject, waiting: queue.entries.length, err: error }, 'the log cannot be told now, the report waits');
          this.#wait();
          return;
        }
        if (++queue.attempts < maxAttempts && !this.#closed) {
          logger.error({ subject: queue.subject, attempts: queue.attempts, err: error }, 'a report could not be appended and is tried again');
          await delay(Math.min(retryFirstMs, 5 * 2 ** queue.attempts));
          continue;
        }
        if (this.#closed) return;
        logger.error({ subject: queue.subject, reports, err: error }, 'reports were given up: the log refused them again and again');
      }
      queue.attempts = 0;
      const done = queue.entries.splice(0, queue.inFlight);
      queue.inFlight = 0;
      this.#size -= done.length;
      store.dequeue(done.map(({ report }) => report.id));
      this.#options.onChange(queue.subject);
      for (const { settle } of done) settle(seq);
    }
  }

  #back(): void {
    if (!this.#away) return;
    this.#away = false;
    this.#retryMs = retryFirstMs;
    this.#options.logger.info({ waiting: this.#size }, 'the log is back');
  }

  #wait(): void {
    this.#away = true;
    for (const leave of this.#leave) leave();
    if (this.#closed || this.#retry !== null) return;
    this.#retry = setTimeout(() => {
      this.#retry = null;
      void this.#retryAll();
    }, this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, retryMaxMs);
  }

  /** One aggregate first, as a probe; the others once it went through, with those that came to wait meanwhile. */
  async #retryAll(): Promise<void> {
    const waiting = (): Queue[] => [...this.#queues.values()].filter(({ entries, draining }) => entries.length > 0 && draining === null);
    const probe = [...this.#queues.values()].find(({ entries }) => entries.length > 0);
    if (probe === undefined) {
      this.#back();
      return;
    }
    this.#drain(probe);
    await probe.draining;
    for (let some = waiting(); some.length > 0 && !this.#away && !this.#closed; some = waiting()) {
      const now = some.slice(0, parallelRetries);
      for (const queue of now) this.#drain(queue);
      await Promise.all(now.map(({ draining }) => draining ?? Promise.resolve()));
    }
    // Reports that the log refused were given up: that tells nothing about the others, which must not wait for ever.
    if (this.#away) this.#wait();
  }

  /** Makes room for one more: takes out the oldest run that began and ended while the log was away, else the oldest report. */
  #thin(queue: Queue): void {
    const { entries, inFlight } = queue;
    const startId = (at: number): string | null => {
      const command = entries[at]?.report.command;
      return command?.type === 'ReportStarted' ? command.run.startId : null;
    };
    let taken = entries.slice(inFlight, inFlight + 1);
    for (let at = inFlight; at < entries.length; at++) {
      const id = startId(at);
      if (id === null) continue;
      const end = entries.findIndex(({ report: { command } }) => command.type === 'ReportExit' && command.exit.startId === id);
      if (end > at && entries.slice(end).some(({ report }) => report.command.type === 'ReportStarted')) {
        taken = entries.slice(at, end + 1);
        break;
      }
    }
    for (const entry of taken) {
      entries.splice(entries.indexOf(entry), 1);
      entry.settle(null);
    }
    this.#size -= taken.length;
    this.#options.store.dequeue(taken.map(({ report }) => report.id));
    this.#options.logger.warn({ subject: queue.subject, dropped: taken.length }, 'too many reports wait for the log: the oldest were dropped');
  }
}
