// Requests and their answers over one connection. The NATS client has such a thing, too, but makes an error with its stack for each request that was answered (nats 2.29,
// lib/nats-base-client/request.js), which took a tenth of the scheduler's processor time under load; every append of the log goes this way.
import type { Msg, MsgHdrs, NatsConnection, NatsError, Subscription } from 'nats';
import { isDelivery } from '@pouch/contracts';
import { messageOf } from '@pouch/process';
import { LogUnavailable } from './errors.ts';

interface Waiting {
  readonly subject: string;
  readonly timer: NodeJS.Timeout;
  readonly resolve: (answer: Msg) => void;
  readonly reject: (error: Error) => void;
}

/** Status of NATS (ADR-4) for a subject that nobody listens to. */
const noResponders = 503;

export class Requests {
  readonly #nc: NatsConnection;
  /** Answers come to `<inbox>.<token>`. */
  readonly #inbox: string;
  readonly #waiting = new Map<string, Waiting>();
  #answers: Subscription | null = null;
  #sent = 0;

  /** `inbox`: a subject of its own that the connection may subscribe to everything under. */
  constructor(nc: NatsConnection, inbox: string) {
    this.#nc = nc;
    this.#inbox = inbox;
  }

  /** Rejects with LogUnavailable; with what the client throws (a NatsError) where it does not send it, e.g. for its size. */
  async request(subject: string, payload: Uint8Array | string, { timeoutMs, headers }: { readonly timeoutMs: number; readonly headers?: MsgHdrs }): Promise<Msg> {
    return await new Promise<Msg>((resolve, reject) => {
      this.#listen();
      const token = (this.#sent++).toString(36);
      // Throws for what cannot be sent, before anything waits.
      this.#nc.publish(subject, payload, { reply: `${this.#inbox}.${token}`, ...(headers === undefined ? {} : { headers }) });
      const timer = setTimeout(() => {
        this.#waiting.delete(token);
        reject(new LogUnavailable(`no answer from NATS within ${timeoutMs} ms`, { outcome: 'unknown' }));
      }, Math.max(1, timeoutMs));
      this.#waiting.set(token, { subject, timer, resolve, reject });
    });
  }

  /** The server refuses what was published to `subject`. It does not say which message; the oldest one that waits is told. */
  refused(subject: string): void {
    for (const [token, waiting] of this.#waiting) {
      if (waiting.subject !== subject) continue;
      return this.#take(token)?.reject(new LogUnavailable(`NATS: no permission to publish to ${subject}`, { outcome: 'unknown' }));
    }
  }

  /** Nothing that waits will be answered any more. */
  fail(error: Error): void {
    for (const token of [...this.#waiting.keys()]) this.#take(token)?.reject(error);
  }

  #listen(): void {
    this.#answers ??= this.#nc.subscribe(`${this.#inbox}.*`, { callback: (error, answer) => (error === null ? this.#hear(answer) : this.#deaf(error)) });
  }

  /** The server does not let us listen: the next request tries again. */
  #deaf(error: NatsError): void {
    this.#answers?.unsubscribe();
    this.#answers = null;
    this.fail(new LogUnavailable(`NATS: ${messageOf(error)}`, { cause: error, outcome: 'unknown' }));
  }

  #hear(answer: Msg): void {
    const waiting = this.#take(answer.subject.slice(this.#inbox.length + 1));
    if (waiting === undefined) return; // it came too late
    if (isDelivery(answer.reply)) return waiting.reject(new LogUnavailable('what came is no answer, but a message that a consumer delivers here', { outcome: 'unknown' }));
    if (answer.headers?.code === noResponders && answer.data.length === 0) return waiting.reject(new LogUnavailable('JetStream does not answer: it is not enabled, starting, or without a leader'));
    waiting.resolve(answer);
  }

  #take(token: string): Waiting | undefined {
    const waiting = this.#waiting.get(token);
    if (waiting === undefined) return undefined;
    this.#waiting.delete(token);
    clearTimeout(waiting.timer);
    return waiting;
  }
}
