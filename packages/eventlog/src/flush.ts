// When what is published goes out (nats 2.29, lib/nats-base-client/protocol.js; it has no option for it). The client writes after the very microtask that published, so each
// request of many that arrive together has a TLS record and a call of the kernel of its own, there and at the server. Here all that is published in one turn of the event
// loop goes out at its end, which for a lone message is as soon.
import { ProtocolHandler } from 'nats/lib/nats-base-client/protocol.js';

/** What of the client's class is used here. */
interface Protocol {
  readonly outbound: { length(): number; size(): number; fill(...parts: readonly Uint8Array[]): void };
  /** Bytes that are not kept back. */
  readonly pendingLimit: number;
  sendCommand(command: string | Uint8Array, ...payloads: readonly Uint8Array[]): void;
  flushPending(): void;
  _close(error?: Error): Promise<void>;
}

const prototype = ProtocolHandler.prototype as unknown as Protocol;
// Not bound: it is called on what it is of.
const { _close: close } = prototype;

prototype.sendCommand = function (this: Protocol, command, ...payloads) {
  const first = this.outbound.length() === 0;
  this.outbound.fill(typeof command === 'string' ? Buffer.from(command) : command, ...payloads);
  if (first) setImmediate(() => this.flushPending());
  else if (this.outbound.size() >= this.pendingLimit) this.flushPending();
};

prototype._close = async function (this: Protocol, error) {
  this.flushPending();
  await close.call(this, error);
};
