// All pipes of one process on one connection: a single subscription whose last token says which pipe a frame is for. It owns their clock.
import { randomBytes } from 'node:crypto';
import { createInbox, type Msg, type NatsConnection, type Subscription } from 'nats';
import { decodeFrame } from './frame.ts';
import { pingAfterMs, Pipe, type Carrier } from './pipe.ts';

export class Endpoint implements Carrier {
  readonly #connection: NatsConnection;
  readonly #prefix: string;
  readonly #pipes = new Map<string, Pipe>();
  readonly #subscription: Subscription;
  readonly #ticker: NodeJS.Timeout;
  /** Told when nobody listens on a subject that a pipe was opened on. */
  readonly #onNoResponders: (pipe: Pipe) => void;

  /** `prefix`: of its subjects; must be what the process may hear. */
  constructor(connection: NatsConnection, prefix: string, onNoResponders: (pipe: Pipe) => void = () => undefined) {
    this.#connection = connection;
    this.#prefix = createInbox(prefix);
    this.#onNoResponders = onNoResponders;
    this.#subscription = connection.subscribe(`${this.#prefix}.*`, { callback: (error, message) => error === null && this.#take(message) });
    this.#ticker = setInterval(() => this.#tick(), pingAfterMs / 3);
    this.#ticker.unref();
  }

  get size(): number {
    return this.#pipes.size;
  }

  /** Makes this end of a pipe. `peer`: subject of the other end, null where it will say so itself. */
  add(peer: string | null): { readonly pipe: Pipe; readonly subject: string } {
    const token = randomBytes(12).toString('hex');
    const subject = `${this.#prefix}.${token}`;
    const pipe = new Pipe({ token, carrier: this, ownSubject: subject, peer });
    pipe.on('error', () => undefined); // each side sees it through its promises too; without a listener it would end the process
    this.#pipes.set(token, pipe);
    return { pipe, subject };
  }

  send(subject: string, frame: Buffer): void {
    if (!this.#connection.isClosed()) this.#connection.publish(subject, frame);
  }

  forget(pipe: Pipe): void {
    this.#pipes.delete(pipe.token);
  }

  now(): number {
    return performance.now();
  }

  /** Breaks every pipe and ends the subscription. */
  close(): void {
    clearInterval(this.#ticker);
    for (const pipe of this.#pipes.values()) pipe.destroy();
    this.#subscription.unsubscribe();
  }

  #take(message: Msg): void {
    const pipe = this.#pipes.get(message.subject.slice(this.#prefix.length + 1));
    if (pipe === undefined) return; // its pipe is over: a last grant or ping that was under way
    if (message.data.length === 0 && message.headers?.code === 503) return this.#onNoResponders(pipe);
    const frame = decodeFrame(message.data);
    if (frame !== null) pipe.receive(frame);
  }

  #tick(): void {
    const nowMs = this.now();
    for (const pipe of this.#pipes.values()) pipe.tick(nowMs);
  }
}
