// One life of an ordered, unacknowledged pull consumer (NATS ADR-15, ADR-37): made, pulled from, and given up at the first doubt.
// It never repairs itself: `broken` says why it ended, and the follower makes another from where it was.
import { randomUUID } from 'node:crypto';
import type { Msg, NatsConnection, Subscription } from 'nats';
import type { Clock } from '@pouch/process';
import type { NatsLink } from './connection.ts';
import { createConsumer, deleteConsumerSubject, nextSubject, toNanoseconds, type ConsumerConfig } from './jetstream-api.ts';
import type { LogEntry } from './event-log.ts';

export interface ConsumerOptions {
  readonly link: NatsLink;
  readonly clock: Clock;
  readonly stream: string;
  readonly filter: string;
  readonly start: { readonly deliver: 'by_start_sequence'; readonly seq: number } | { readonly deliver: 'last_per_subject' };
  readonly replicas: number;
  readonly requestTimeoutMs: number;
  /** `waiting`: how many more match the filter and wait in the stream. */
  readonly onEntry: (entry: LogEntry, waiting: number) => void;
  /** The pull is over: a new one may be made. */
  readonly onPullEnd: () => void;
}

/** A pull waits this long at the server; with a heartbeat in between. */
const expiresMs = 2_000;
const heartbeatMs = 1_000;
/** No message, heartbeat or end of a pull for this long: the consumer is dead to us. */
const silenceMs = 3_500;
const watchIntervalMs = 500;
/** How long the server keeps a consumer that nobody pulls from, e.g. while the handler is slow. */
const inactiveMs = 30_000;
/** Bytes of one pull; larger only where the server takes larger messages. */
const minPullBytes = 8 * 1024 * 1024;

export class PullConsumer {
  /** Messages that waited when it was made, as far as the server knew that has it. */
  readonly waitingAtStart: number;
  /** That server's name, in a cluster. */
  readonly server: string | undefined;
  /** Resolves, with the reason, when nothing will come from it any more. */
  readonly broken: Promise<string>;
  readonly #break: (reason: string) => void;
  readonly #options: ConsumerOptions;
  readonly #nc: NatsConnection;
  readonly #name: string;
  readonly #inbox: string;
  readonly #subscription: Subscription;
  readonly #watch: NodeJS.Timeout;
  readonly #forgetLink: () => void;
  readonly #pullBytes: number;
  #pulls = 0;
  /** Messages that the present pull may still give; 0: there is none. */
  #due = 0;
  #delivered = 0;
  #heardAtMs: number;
  #watchedAtMs: number;
  #closed = false;

  /** Rejects with LogUnavailable or JetStreamError. */
  static async create(options: ConsumerOptions): Promise<PullConsumer> {
    const { link, stream, filter, start, replicas, requestTimeoutMs } = options;
    const name = `pouch-${randomUUID()}`;
    const config: ConsumerConfig = {
      name,
      deliver_policy: start.deliver,
      ...(start.deliver === 'by_start_sequence' ? { opt_start_seq: start.seq } : {}),
      filter_subject: filter,
      ack_policy: 'none',
      replay_policy: 'instant',
      max_waiting: 8,
      inactive_threshold: toNanoseconds(inactiveMs),
      num_replicas: replicas,
      mem_storage: true,
    };
    const nc = await link.connection();
    const { num_pending, cluster } = await createConsumer(link, stream, config, requestTimeoutMs);
    return new PullConsumer(options, nc, name, { waiting: num_pending, server: cluster?.leader });
  }

  private constructor(options: ConsumerOptions, nc: NatsConnection, name: string, { waiting, server }: { readonly waiting: number; readonly server: string | undefined }) {
    this.#options = options;
    this.#nc = nc;
    this.#name = name;
    this.waitingAtStart = waiting;
    this.server = server;
    this.#pullBytes = Math.max(minPullBytes, 2 * (nc.info?.max_payload ?? 0) + 65_536);
    const broken = Promise.withResolvers<string>();
    this.broken = broken.promise;
    this.#break = (reason) => {
      this.close();
      broken.resolve(reason);
    };
    this.#inbox = options.link.inbox();
    this.#subscription = nc.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (this.#closed) return;
        if (error !== null) return this.#break(error.message);
        this.#hear(message);
      },
    });
    this.#heardAtMs = this.#watchedAtMs = options.clock.monotonicMs();
    this.#watch = setInterval(() => this.#look(), watchIntervalMs);
    this.#forgetLink = options.link.onChange((connected) => {
      if (!connected) this.#break('the connection to NATS broke');
    });
    if (!options.link.connected) this.#break('the connection to NATS broke');
  }

  /** Whether a pull is out: then `pull` must not be called. */
  get pulling(): boolean {
    return this.#due > 0;
  }

  /** Asks for up to `count` messages. One pull at a time, so that what comes is counted exactly. */
  pull(count: number): void {
    if (this.#closed || count <= 0) return;
    this.#pulls += 1;
    this.#due = count;
    this.#heardAtMs = this.#options.clock.monotonicMs();
    const request = { batch: count, max_bytes: this.#pullBytes, expires: toNanoseconds(expiresMs), idle_heartbeat: toNanoseconds(heartbeatMs) };
    this.#nc.publish(nextSubject(this.#options.stream, this.#name), JSON.stringify(request), { reply: `${this.#inbox}.${this.#pulls}` });
  }

  /** Nothing comes from it after this. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#watch);
    this.#forgetLink();
    this.#subscription.unsubscribe();
    // Best effort: the server forgets it by itself too.
    if (this.#options.link.connected) this.#nc.publish(deleteConsumerSubject(this.#options.stream, this.#name));
  }

  #hear(message: Msg): void {
    this.#heardAtMs = this.#options.clock.monotonicMs();
    const reply = message.reply ?? '';
    if (!reply.startsWith('$JS.ACK.')) return this.#hearStatus(message);
    if (!reply.includes(`.${this.#name}.`)) return; // of a consumer that somebody else has pointed here
    const place = placeOf(reply);
    if (place === null) return this.#break(`an acknowledgement subject that is not understood: ${reply}`);
    if (place.consumerSeq !== this.#delivered + 1) return this.#break(`a gap: message ${this.#delivered + 1} of the consumer was expected, ${place.consumerSeq} came`);
    this.#delivered += 1;
    if (this.#due > 0) this.#due -= 1;
    this.#options.onEntry({ seq: place.seq, subject: message.subject, storedAtMs: place.storedAtMs, payload: message.data }, place.waiting);
    if (this.#due === 0 && !this.#closed) this.#options.onPullEnd();
  }

  /** Statuses are empty messages with a code, on the inbox of the pull that they are about. */
  #hearStatus(message: Msg): void {
    const code = message.headers?.code ?? 0;
    const text = message.headers?.description ?? '';
    if (code === 100) return;
    const ofPresentPull = message.subject === `${this.#inbox}.${this.#pulls}`;
    if (code === 408 || code === 404 || (code === 409 && /exceeds maxbytes|batch completed/i.test(text))) {
      if (!ofPresentPull || this.#due === 0) return;
      this.#due = 0;
      this.#options.onPullEnd();
      return;
    }
    this.#break(code === 503 ? 'the consumer is gone' : `the server ended it: ${code} ${text}`);
  }

  #look(): void {
    const nowMs = this.#options.clock.monotonicMs();
    const lateMs = nowMs - this.#watchedAtMs - watchIntervalMs;
    this.#watchedAtMs = nowMs;
    // While this process itself was held up it could not hear: what came meanwhile is read first.
    if (lateMs > watchIntervalMs) this.#heardAtMs = nowMs;
    else if (this.#due > 0 && nowMs - this.#heardAtMs > silenceMs) this.#break(`nothing was heard for ${silenceMs} ms`);
  }
}

interface Place {
  readonly seq: number;
  readonly consumerSeq: number;
  readonly storedAtMs: number;
  readonly waiting: number;
}

/** `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<ns>.<waiting>`, or with domain and account hash before the stream, and a token more behind (ADR-15). */
function placeOf(reply: string): Place | null {
  const tokens = reply.split('.');
  const at = tokens.length === 9 ? 5 : tokens.length >= 11 ? 7 : -1;
  if (at < 0) return null;
  const place = { seq: Number(tokens[at]), consumerSeq: Number(tokens[at + 1]), storedAtMs: Number(tokens[at + 2]?.slice(0, -6)), waiting: Number(tokens[at + 3]) };
  return Object.values(place).every(Number.isFinite) ? place : null;
}
