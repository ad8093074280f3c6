// When what is published is written: held against the NATS client's own class, without a server.
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { test } from 'node:test';
import { DataBuffer } from 'nats/lib/nats-base-client/databuffer.js';
import { ProtocolHandler } from 'nats/lib/nats-base-client/protocol.js';
import '../../../packages/eventlog/src/flush.ts';

/** A connection that is there, and what was written to it. */
function connection(): { protocol: { sendCommand(command: string, ...payloads: readonly Uint8Array[]): void }; written: string[] } {
  const written: string[] = [];
  const protocol = Object.assign(Object.create(ProtocolHandler.prototype) as ProtocolHandler, {
    outbound: new DataBuffer(), infoReceived: true, connected: true, pendingLimit: 100, transport: { send: (bytes: Uint8Array) => { written.push(Buffer.from(bytes).toString()); } },
  });
  return { protocol: protocol as unknown as ReturnType<typeof connection>['protocol'], written };
}

test('what is published in one turn of the event loop is one write, whatever was awaited in between', async () => {
  const { protocol, written } = connection();
  protocol.sendCommand('PUB a 1\r\n', Buffer.from('1\r\n'));
  await Promise.resolve();
  protocol.sendCommand('PUB b 1\r\n', Buffer.from('2\r\n'));
  assert.deepEqual(written, []);
  await turn();
  assert.deepEqual(written, ['PUB a 1\r\n1\r\nPUB b 1\r\n2\r\n']);
  protocol.sendCommand('PING\r\n');
  await turn();
  assert.equal(written[1], 'PING\r\n');
});

test('more than a connection keeps back is written at once', () => {
  const { protocol, written } = connection();
  protocol.sendCommand('PUB a 90\r\n', Buffer.alloc(90));
  assert.equal(written.length, 0);
  protocol.sendCommand('PUB b 90\r\n', Buffer.alloc(90));
  assert.equal(written.length, 1);
});
