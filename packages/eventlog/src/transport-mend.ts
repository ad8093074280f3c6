// Three faults of the NATS client's connections, mended where it makes them (nats 2.29, lib/src/node_transport.js; it has no option for any):
//
// - An attempt that is given up goes on. When it comes about later, e.g. once a cut network is whole again, the server ends it for saying nothing, and the client takes
//   that for the end of its present connection: it makes another one beside it, both are subscribed, and both feed one parser. Everything then comes twice or garbled.
// - A connection that is found dead is only closed when all that was written to it has been taken, which a dead peer never does.
// - While it reads the authority's certificate, between the server's greeting and TLS, nobody listens to the socket: one that was reset then ended the process.
import { NodeTransport } from 'nats/lib/src/node_transport.js';
import type { Socket } from 'node:net';

/** What of the client's class is used here. */
interface Transport {
  connected: boolean;
  done: boolean;
  socket?: Socket;
  connect(server: unknown, options: unknown): Promise<void>;
  close(error?: Error): Promise<void>;
  loadClientCerts(): Promise<object>;
  disconnect(): void;
  _closed(error: Error | undefined, internal: boolean): Promise<void>;
}

function discard(transport: Transport): void {
  transport.done = true;
  transport.socket?.removeAllListeners();
  transport.socket?.on('error', () => undefined); // of no interest to anybody any more
  transport.socket?.destroy();
}

const prototype = NodeTransport.prototype as unknown as Transport;
// Not bound: they are called on what they are of.
const { connect, close, loadClientCerts } = prototype;
const givenUp = new WeakSet<Transport>();

prototype.connect = async function (this: Transport, server, options) {
  await connect.call(this, server, options);
  if (!givenUp.has(this)) return;
  discard(this);
  throw new Error('this attempt to connect had been given up');
};

prototype.close = async function (this: Transport, error) {
  if (this.connected) return await close.call(this, error);
  givenUp.add(this);
  this.socket?.destroy(); // in the middle of its greeting; while it is still being dialled there is none
};

prototype.loadClientCerts = async function (this: Transport) {
  const { socket } = this;
  let reason: Error | undefined;
  socket?.on('error', (error) => { reason = error; });
  const options = await loadClientCerts.call(this);
  if (socket?.destroyed === true) throw new Error('the connection ended in the middle of its greeting', { cause: reason });
  return options;
};

prototype.disconnect = function (this: Transport) {
  void this._closed(new Error('the server does not answer'), true);
};
