// One pipe: a Duplex whose bytes travel as numbered frames with credits, so that a reader that stalls stops the writer at the window.
// It knows its peer's subject and nothing of hosts or methods.
import { Duplex } from 'node:stream';
import { fromWire, PipeBroken, toWire, type WireError } from './errors.ts';
import { decodeJson, encodeFrame, encodeJson, FrameType, maxDataBytes, type Frame } from './frame.ts';

/** Bytes that may be under way in one direction; granted again in quarters as they are read. */
export const windowBytes = 256 * 1024;
/** A side that has sent nothing for this long sends a sign of life. */
export const pingAfterMs = 3_000;
/** A side that has heard nothing for this long gives the pipe up. */
export const silenceLimitMs = 10_000;

/** How a pipe reaches its peer. */
export interface Carrier {
  send(subject: string, frame: Buffer): void;
  /** The pipe is over: forget it. */
  forget(pipe: Pipe): void;
  now(): number;
}

/** Both ends are this; `ClientPipe` and `ServerPipe` are what each side may do with it. */
export class Pipe extends Duplex {
  readonly token: string;
  readonly #carrier: Carrier;
  readonly #accepted = Promise.withResolvers<void>();
  readonly #trailer = Promise.withResolvers<unknown>();
  readonly #abort = new AbortController();
  /** Subject of the peer; null until the peer has said it. */
  #peer: string | null;
  /** What this end is called by its peer; sent with ACCEPT. */
  readonly #ownSubject: string;
  #serverSide: boolean;
  #isAccepted = false;
  #sent = 0;
  #received = 0;
  #credit = windowBytes;
  #consumed = 0;
  #incoming: Buffer[] = [];
  #incomingBytes = 0;
  #incomingEnded = false;
  #wanting = false;
  #blocked: { chunk: Buffer; done: (error?: Error | null) => void } | null = null;
  /** The peer has said its last word (trailer), or we have: bytes from now on concern nobody. */
  #over = false;
  #lastSentMs: number;
  #lastHeardMs: number;

  constructor({ token, carrier, ownSubject, peer }: { readonly token: string; readonly carrier: Carrier; readonly ownSubject: string; readonly peer: string | null }) {
    // Both halves may have ended while the last word is still under way: the pipe is destroyed by its own rules only.
    super({ allowHalfOpen: true, autoDestroy: false, readableHighWaterMark: maxDataBytes, writableHighWaterMark: maxDataBytes, emitClose: true });
    this.token = token;
    this.#carrier = carrier;
    this.#ownSubject = ownSubject;
    this.#peer = peer;
    this.#serverSide = peer !== null;
    this.#lastSentMs = this.#lastHeardMs = carrier.now();
    this.#accepted.promise.catch(() => undefined); // whoever waits sees it; nobody need wait
    this.#trailer.promise.catch(() => undefined);
  }

  /** Server: tells the client that the pipe is open. Reading, writing and finishing do it too; a handler that waits for something calls it first. */
  accept(): void {
    if (!this.#serverSide || this.#isAccepted || this.destroyed) return;
    this.#isAccepted = true;
    this.#send(FrameType.accept, Buffer.from(this.#ownSubject));
  }

  /** Server: aborted when the client or the way to it is gone. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Client: resolves when the server has accepted, rejects with its refusal. */
  get accepted(): Promise<void> {
    return this.#accepted.promise;
  }

  /** Client: what the server says at the end; rejects when the pipe breaks before. */
  get trailer(): Promise<unknown> {
    return this.#trailer.promise;
  }

  /** Server: ends the output and says the last word. Resolves when all output has been sent. */
  async finish(trailer: unknown): Promise<void> {
    if (this.destroyed) return;
    this.accept();
    if (!this.writableFinished) await new Promise<void>((resolve) => {
      this.once('close', resolve);
      this.end(resolve);
    });
    if (this.destroyed) return;
    this.#send(FrameType.trailer, encodeJson(trailer));
    this.#over = true;
    this.destroy();
  }

  /** Server: the handler failed; before the pipe was accepted that is a refusal, after it an abort. */
  fail(error: unknown): void {
    if (this.destroyed) return;
    if (!this.#isAccepted) {
      this.#send(FrameType.refuse, encodeJson(toWire(error)));
      this.#over = true;
      this.destroy();
    } else this.destroy(error instanceof Error ? error : new Error(String(error)));
  }

  /** Takes a frame of the peer in. */
  receive({ type, number, body }: Frame): void {
    if (this.destroyed) return;
    this.#lastHeardMs = this.#carrier.now();
    if (number !== this.#received) {
      this.destroy(new PipeBroken(number > this.#received ? `frames ${this.#received} to ${number - 1} of a pipe were lost with a connection` : `frame ${number} of a pipe came twice`));
      return;
    }
    this.#received = (this.#received + 1) >>> 0;
    switch (type) {
      case FrameType.data:
        this.#incoming.push(body);
        this.#incomingBytes += body.length;
        if (this.#incomingBytes > windowBytes) {
          this.destroy(new PipeBroken('the other side of a pipe sent more than it was allowed to'));
          return;
        }
        this.#deliver();
        break;
      case FrameType.credit:
        this.#credit += body.length >= 4 ? body.readUInt32BE(0) : 0;
        this.#flush();
        break;
      case FrameType.end:
        this.#incomingEnded = true;
        this.#deliver();
        break;
      case FrameType.accept:
        this.#peer = body.toString();
        this.#isAccepted = true;
        this.#accepted.resolve();
        this.#flush();
        break;
      case FrameType.refuse:
        this.#over = true;
        this.destroy(fromWire(decodeJson(body) as WireError));
        break;
      case FrameType.trailer:
        this.#takeTrailer(decodeJson(body));
        break;
      case FrameType.abort:
        this.#over = true;
        this.destroy(fromWire(decodeJson(body) as WireError));
        break;
      default: // a ping, or a word of a newer version
    }
  }

  #takeTrailer(trailer: unknown): void {
    this.#over = true;
    this.#incomingEnded = true;
    this.#trailer.resolve(trailer);
    this.#deliver();
    this.#flush();
    // What is still unread stays readable; the pipe goes with the last byte.
    if (this.readableEnded) this.destroy();
    else this.once('end', () => this.destroy());
  }

  /** Sends a sign of life when it is time, and gives up a peer that has been silent too long. */
  tick(nowMs: number): void {
    if (nowMs - this.#lastHeardMs > silenceLimitMs && !this.#over) this.destroy(new PipeBroken(`the other side of a pipe has been silent for ${silenceLimitMs} ms`));
    else if (nowMs - this.#lastSentMs >= pingAfterMs && this.#peer !== null && !this.#over) this.#send(FrameType.ping);
  }

  #send(type: FrameType, body?: Uint8Array): void {
    if (this.#peer === null) return;
    this.#lastSentMs = this.#carrier.now();
    this.#carrier.send(this.#peer, encodeFrame(type, this.#sent, body));
    this.#sent = (this.#sent + 1) >>> 0;
  }

  #deliver(): void {
    while (this.#wanting && this.#incoming.length > 0) {
      const chunk = this.#incoming.shift() as Buffer;
      this.#consumed += chunk.length;
      this.#incomingBytes -= chunk.length;
      this.#wanting = this.push(chunk);
    }
    if (this.#consumed >= windowBytes / 4 && !this.#over) {
      const grant = Buffer.alloc(4);
      grant.writeUInt32BE(this.#consumed, 0);
      this.#consumed = 0;
      this.#send(FrameType.credit, grant);
    }
    if (this.#incoming.length === 0 && this.#incomingEnded && !this.readableEnded) {
      this.#incomingEnded = false;
      this.push(null);
    }
  }

  /** Sends what waits, as far as credits and an open pipe allow. */
  #flush(): void {
    while (this.#blocked !== null) {
      if (this.#over || this.#blocked.chunk.length === 0) {
        const { done } = this.#blocked;
        this.#blocked = null;
        done();
        return;
      }
      if (this.#peer === null || this.#credit <= 0) return;
      const part = this.#blocked.chunk.subarray(0, Math.min(maxDataBytes, this.#credit));
      this.#credit -= part.length;
      this.#blocked.chunk = this.#blocked.chunk.subarray(part.length);
      this.#send(FrameType.data, part);
    }
  }

  override _read(): void {
    this.accept();
    this.#wanting = true;
    this.#deliver();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.accept();
    this.#blocked = { chunk, done };
    this.#flush();
  }

  override _final(done: (error?: Error | null) => void): void {
    const end = () => {
      if (!this.#over) this.#send(FrameType.end);
      done();
    };
    // A client may end its input before the server has said where it is.
    if (this.#peer === null && !this.#over) this.#accepted.promise.then(end, done);
    else end();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.#over) this.#send(FrameType.abort, encodeJson(toWire(error ?? new PipeBroken('the other side closed the pipe'))));
    this.#over = true;
    this.#carrier.forget(this);
    this.#incoming = [];
    const blocked = this.#blocked;
    this.#blocked = null;
    blocked?.done(error);
    const reason = error ?? new PipeBroken('the pipe was closed');
    this.#abort.abort(reason);
    this.#accepted.reject(reason);
    this.#trailer.reject(reason);
    done(error);
  }
}
