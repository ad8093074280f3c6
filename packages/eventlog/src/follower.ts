// Follows a stream for ever: makes a consumer from the sequence after the last one seen whenever the one before ended, so that what is handed
// over has neither gap nor repeat. Ends only when it is stopped, its handler throws, or the stream is not the one it was.
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf, type Clock, type Logger } from '@pouch/process';
import { BatchDelivery } from './batch-delivery.ts';
import type { NatsLink } from './connection.ts';
import { LogChangedError, LogSetupError, LogUnavailable } from './errors.ts';
import type { From, LogEntry, LogIdentity, Subscription } from './event-log.ts';
import { PullConsumer, type ConsumerOptions } from './pull-consumer.ts';

export interface FollowerOptions {
  readonly link: NatsLink;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly stream: string;
  readonly filter: string;
  readonly from: From;
  readonly streamId: string | undefined;
  readonly replicas: number;
  readonly maxBatch: number;
  /** See FollowOptions. */
  readonly gatherMs?: number;
  readonly requestTimeoutMs: number;
  /** What the stream is now; makes it where it is gone. */
  readonly identity: () => Promise<LogIdentity>;
  /** Id of the message at a sequence, null where retention has taken it. */
  readonly messageIdAt: (seq: number, subject: string) => Promise<string | null>;
  readonly idOf: (entry: LogEntry) => string | null;
  readonly handle: (entries: readonly LogEntry[]) => void | Promise<void>;
  readonly onCaughtUp: () => void;
  readonly onInterrupted: (reason: string) => void;
  readonly onFailed: (error: Error) => void;
}

/** Messages in memory at most, between the connection and the handler. */
const maxWaiting = 4_096;
/** No pull is made above this; the one that is out may bring its own bytes on top. */
const maxWaitingBytes = 8 * 1024 * 1024;
const retryFirstMs = 50;
const retryMaxMs = 1_000;
const connectWaitMs = 60_000;

export class Follower implements Subscription {
  readonly #options: FollowerOptions;
  readonly #delivery: BatchDelivery<LogEntry>;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  #consumer: PullConsumer | null = null;
  /** Last sequence taken from the stream, which the handler may not have yet. */
  #taken: number;
  #handled: number;
  /** To recognise the stream again: the last entry taken. */
  #lastEntry: LogEntry | null = null;
  #streamId: string | undefined;
  #log: LogIdentity | null = null;
  #from: From;
  /** Matching messages that the stream holds beyond those taken. */
  #waiting = Number.POSITIVE_INFINITY;
  /** Of what the handler has not done with. */
  #waitingBytes = 0;
  #caughtUp = false;
  #interrupted = false;
  #failures = 0;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#from = options.from;
    this.#streamId = options.streamId;
    this.#taken = this.#handled = typeof options.from === 'object' ? options.from.seq - 1 : 0;
    this.#delivery = new BatchDelivery({
      handle: options.handle,
      maxBatch: options.maxBatch,
      maxWaiting,
      gathering: { clock: options.clock, ms: () => (this.#caughtUp ? (options.gatherMs ?? 0) : 0) },
      onHandled: (batch) => {
        this.#handled = batch.at(-1)?.seq ?? this.#handled;
        for (const { payload } of batch) this.#waitingBytes -= payload.length;
        this.#pull();
      },
      onEmpty: () => this.#lookIfCaughtUp(),
      onError: (error) => this.#fail(error),
    });
    this.#running = this.#run();
  }

  get lastSeq(): number {
    return this.#handled;
  }

  get caughtUp(): boolean {
    return this.#caughtUp;
  }

  get log(): LogIdentity | null {
    return this.#log;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#consumer?.close();
    await this.#delivery.stop();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { link, logger, stream, filter } = this.#options;
    const { signal } = this.#stopping;
    const stopped = new Promise<string>((resolve) => signal.addEventListener('abort', () => resolve('stopped'), { once: true }));
    while (!signal.aborted) {
      let reason: string;
      try {
        if (!(await link.whenConnected(connectWaitMs, signal))) {
          this.#interrupt('NATS cannot be reached');
          if (link.closed) return;
          continue;
        }
        const before = await this.#recognise();
        if (signal.aborted) return;
        const consumer = await this.#create();
        if (before.leader !== undefined) await this.#check(consumer, before).catch((error: unknown) => { consumer.close(); throw error; });
        // Stopped meanwhile: then nobody else closes it.
        if (signal.aborted) return consumer.close();
        this.#begin(consumer);
        reason = await Promise.race([consumer.broken, stopped]);
        consumer.close();
      } catch (error) {
        if (error instanceof LogChangedError || error instanceof LogSetupError) return this.#fail(error);
        reason = messageOf(error);
      }
      this.#consumer = null;
      if (signal.aborted) return;
      this.#interrupt(reason);
      this.#failures += 1;
      // The first interruption of many followers is the same restart: said once here, the rest is detail.
      logger[this.#failures === 1 ? 'info' : 'debug']({ stream, filter, seq: this.#taken, reason, failures: this.#failures }, 'following the log was interrupted');
      if (this.#failures > 1) await pause(Math.min(retryMaxMs, retryFirstMs * 2 ** Math.min(this.#failures, 10)), signal);
    }
  }

  /** Makes sure that the stream is the one followed so far, and that it has not lost what was taken from it. Answers what it is now. */
  async #recognise(): Promise<LogIdentity> {
    const { identity, messageIdAt, idOf, stream } = this.#options;
    const log = await identity();
    const { streamId, lastSeq } = log;
    if (this.#streamId !== undefined && this.#streamId !== streamId) throw new LogChangedError('recreated', `the stream ${stream} was made anew: ${streamId} instead of ${this.#streamId}`);
    this.#streamId = streamId;
    this.#log = log;
    if (this.#from === 'new') {
      // Fixed now, so that an interruption before the first message loses none.
      this.#from = { seq: lastSeq + 1 };
      this.#taken = this.#handled = lastSeq;
    }
    if (lastSeq < this.#taken) throw new LogChangedError('rewound', `the stream ${stream} ends at ${lastSeq}, but ${this.#taken} was there before`);
    if (this.#lastEntry === null) return log;
    const known = idOf(this.#lastEntry);
    const there = known === null ? null : await messageIdAt(this.#lastEntry.seq, this.#lastEntry.subject);
    if (there !== null && there !== known) throw new LogChangedError('rewound', `message ${this.#lastEntry.seq} of the stream ${stream} is ${there}, it was ${known} before`);
    return log;
  }

  async #create(): Promise<PullConsumer> {
    const { link, clock, stream, filter, replicas, requestTimeoutMs } = this.#options;
    const start: ConsumerOptions['start'] = this.#from === 'last-per-subject' && this.#lastEntry === null ? { deliver: 'last_per_subject' } : { deliver: 'by_start_sequence', seq: this.#taken + 1 };
    return await PullConsumer.create({
      link, clock, stream, filter, start, replicas, requestTimeoutMs,
      onEntry: (entry, waiting) => this.#take(entry, waiting),
      onPullEnd: () => this.#pull(),
    });
  }

  /**
   * What a consumer says is waiting is what the server knows that has it, and any of those that keep the log may: one that has just come to lead, or comes back after it was
   * down, may be behind. Whoever took that for the log's end would remove what it does not know. Throws LogUnavailable.
   */
  async #check({ server }: PullConsumer, before: LogIdentity): Promise<void> {
    if (server !== undefined && before.current?.includes(server) === false) throw new LogUnavailable(`the server ${server}, which would have delivered the log, is behind`);
    if ((await this.#options.identity()).leader !== before.leader) throw new LogUnavailable('the log has got another leader');
  }

  #begin(consumer: PullConsumer): void {
    this.#consumer = consumer;
    this.#waiting = consumer.waitingAtStart;
    this.#pull();
    this.#lookIfCaughtUp();
  }

  #take(entry: LogEntry, waiting: number): void {
    this.#waiting = waiting;
    this.#failures = 0;
    // Cannot be, with one consumer at a time; checked because everything rests on it.
    if (entry.seq <= this.#taken) return;
    this.#taken = entry.seq;
    this.#lastEntry = entry;
    this.#waitingBytes += entry.payload.length;
    this.#delivery.push(entry);
  }

  /** One pull is out whenever there is room for what it may bring. */
  #pull(): void {
    const consumer = this.#consumer;
    if (consumer === null || consumer.pulling || this.#stopping.signal.aborted) return;
    const { room } = this.#delivery;
    if (room >= maxWaiting / 2 && this.#waitingBytes < maxWaitingBytes) consumer.pull(room);
  }

  #lookIfCaughtUp(): void {
    if (this.#caughtUp || this.#consumer === null || this.#waiting > 0 || !this.#delivery.empty) return;
    this.#caughtUp = true;
    this.#interrupted = false;
    this.#failures = 0;
    this.#options.onCaughtUp();
  }

  #interrupt(reason: string): void {
    this.#caughtUp = false;
    this.#waiting = Number.POSITIVE_INFINITY;
    if (this.#interrupted) return;
    this.#interrupted = true;
    this.#options.onInterrupted(reason);
  }

  #fail(error: Error): void {
    if (this.#stopping.signal.aborted) return;
    this.#stopping.abort();
    this.#consumer?.close();
    void this.#delivery.stop();
    this.#options.onFailed(error);
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch (error) {
    // Stopped meanwhile: whoever called looks at the signal.
    if (!signal.aborted) throw error;
  }
}
