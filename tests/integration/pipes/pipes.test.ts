// Calls and pipes over a real nats-server: answers, refusals, half-close, back-pressure, breakage, and nothing left over.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type NatsConnection } from 'nats';
import type { HostPipes } from '@pouch/contracts';
import { HostClient, HostUnreachable, PipeBroken, RemoteError, serveHost, windowBytes, type HostServer, type ServerPipe } from '@pouch/pipes';
import { createLogger } from '@pouch/process';
import { startNats, type NatsFixture } from '../../fixtures/nats.ts';

const logger = createLogger({ service: 'test', level: 'silent' });
const logs = { containerId: 'c', stdout: true, stderr: true, follow: false, timestamps: false, tail: null, sinceNs: null, untilNs: null };
const load = { quiet: true, actor: 'test' };
type LogsHandler = (params: HostPipes['container.logs']['params'], pipe: ServerPipe) => Promise<Record<string, never>>;

let nats: NatsFixture;
let apiSide: NatsConnection;
let hostSide: NatsConnection;
let client: HostClient;
let server: HostServer;
let onLogs: LogsHandler = () => Promise.resolve({});
let onLoad: (pipe: ServerPipe) => Promise<HostPipes['image.load']['trailer']> = () => Promise.resolve({ seq: 0, loaded: [] });

before(async () => {
  nats = await startNats();
  apiSide = await connect({ servers: nats.url });
  hostSide = await connect({ servers: nats.url });
  client = new HostClient(apiSide);
  server = serveHost(hostSide, 'h1', {
    calls: {
      'container.top': ({ psArgs }) => (psArgs === 'bad' ? Promise.reject(new RemoteError('not-running', 'container c is not running')) : Promise.resolve({ titles: [psArgs], processes: [] })),
    },
    pipes: { 'container.logs': (params, pipe) => onLogs(params, pipe), 'image.load': (_params, pipe) => onLoad(pipe) },
  }, { logger });
  await hostSide.flush();
});
after(async () => {
  client.close();
  await server.stop();
  await apiSide.close();
  await hostSide.close();
  await nats.stop();
});

async function text(readable: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of readable) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries++) {
    assert.ok(tries < 500, `never came true: ${what}`);
    await delay(20);
  }
}

test('a call answers, refuses with its code, and names what it does not know', async () => {
  assert.deepEqual(await client.call('h1', 'container.top', { containerId: 'c', psArgs: '-ef' }), { titles: ['-ef'], processes: [] });
  await assert.rejects(client.call('h1', 'container.top', { containerId: 'c', psArgs: 'bad' }), (error: RemoteError) => error.code === 'not-running' && /not running/.test(error.message));
  await assert.rejects(client.call('h1', 'host.usage', {}), (error: RemoteError) => error.code === 'unsupported' && /host\.usage/.test(error.message));
});

test('a host that nobody serves is told by its name, for calls and pipes alike', async () => {
  await assert.rejects(client.call('h9', 'host.usage', {}), (error) => error instanceof HostUnreachable && /h9/.test(error.message));
  await assert.rejects(client.open('h9', 'container.logs', logs), (error) => error instanceof HostUnreachable && /h9/.test(error.message));
  assert.equal(client.openPipes, 0);
});

test('a pipe carries output and ends with the last word', async () => {
  onLogs = async (params, pipe) => {
    pipe.write(`hello ${params.containerId}`);
    await delay(1);
    pipe.write(' again');
    return {};
  };
  const pipe = await client.open('h1', 'container.logs', logs);
  assert.equal(await text(pipe), 'hello c again');
  assert.deepEqual(await pipe.trailer, {});
});

test('a refusal before the pipe is open rejects the opening; a failure after it breaks the output', async () => {
  onLogs = () => Promise.reject(new RemoteError('not-found', 'no such container: c'));
  await assert.rejects(client.open('h1', 'container.logs', logs), (error: RemoteError) => error.code === 'not-found');
  onLogs = async (_params, pipe) => {
    pipe.accept();
    await delay(10);
    throw new RemoteError('internal', 'the log file broke');
  };
  const pipe = await client.open('h1', 'container.logs', logs);
  await assert.rejects(text(pipe), /the log file broke/);
  await assert.rejects(pipe.trailer, /the log file broke/);
});

test('a host sends nothing to a subject that is no end of a pipe, whoever asks it to', async () => {
  let opened = 0;
  onLogs = () => Promise.resolve((opened += 1)).then(() => ({}));
  const said: string[] = [];
  const listening = apiSide.subscribe('evt.>', { callback: (_error, message) => { said.push(message.subject); } });
  apiSide.publish('host.h1.pipe.container.logs', JSON.stringify(logs), { reply: 'evt.container.h1.c' });
  await apiSide.flush();
  // Whatever it answers to that comes before its answer to this.
  await client.call('h1', 'container.top', { containerId: 'c', psArgs: '' });
  assert.deepEqual([opened, said], [0, []]);
  listening.unsubscribe();
});

test('input that ends is an end for the host while its output goes on', async () => {
  onLoad = async (pipe) => {
    const input = await text(pipe);
    pipe.write(input.toUpperCase());
    return { seq: input.length, loaded: [] };
  };
  const pipe = await client.open('h1', 'image.load', load);
  pipe.end('some bytes');
  assert.equal(await text(pipe), 'SOME BYTES');
  assert.equal((await pipe.trailer).seq, 10);
});

test('megabytes go through both ways unharmed', async () => {
  onLoad = async (pipe) => {
    for await (const chunk of pipe) if (!pipe.write(chunk)) await once(pipe, 'drain');
    return { seq: 1, loaded: [] };
  };
  const pipe = await client.open('h1', 'image.load', load);
  const sent = Buffer.from(Uint32Array.from({ length: 2 << 20 }, (_, n) => n).buffer);
  pipe.end(sent);
  const chunks: Buffer[] = [];
  for await (const chunk of pipe) chunks.push(chunk as Buffer);
  assert.ok(Buffer.concat(chunks).equals(sent));
});

test('a reader that stalls stops the writer at the window', async () => {
  let written = 0;
  onLogs = async (_params, pipe) => {
    const chunk = Buffer.alloc(16 * 1024);
    while (!pipe.signal.aborted) {
      written += chunk.length;
      if (!pipe.write(chunk)) await Promise.race([once(pipe, 'drain'), once(pipe.signal, 'abort')]);
    }
    return {};
  };
  const pipe = await client.open('h1', 'container.logs', logs);
  await until('the window is full', () => written >= windowBytes);
  await delay(200);
  // One window under way, one high-water mark in each of the two streams.
  assert.ok(written <= windowBytes + 4 * 64 * 1024, `${written} bytes were written to a reader that reads nothing`);
  pipe.destroy();
  await until('the host forgets the pipe', () => server.openPipes === 0);
});

test('a client that goes away is noticed by the host', async () => {
  const gone = Promise.withResolvers<unknown>();
  onLogs = async (_params, pipe) => {
    pipe.accept();
    await once(pipe.signal, 'abort');
    gone.resolve(pipe.signal.reason);
    return {};
  };
  const pipe = await client.open('h1', 'container.logs', logs);
  pipe.destroy();
  assert.ok(await gone.promise);
  await assert.rejects(pipe.trailer, PipeBroken);
});

test('the signal of an opening breaks the pipe', async () => {
  onLogs = async (_params, pipe) => {
    pipe.accept();
    await once(pipe.signal, 'abort');
    return {};
  };
  const controller = new AbortController();
  const pipe = await client.open('h1', 'container.logs', logs, { signal: controller.signal });
  controller.abort();
  await assert.rejects(pipe.trailer);
  await until('the host forgets the pipe', () => server.openPipes === 0);
});

test('a host that falls silent breaks its pipes', { timeout: 60_000 }, async () => {
  const other = await connect({ servers: nats.url });
  const mute = serveHost(other, 'h2', { calls: {}, pipes: { 'container.logs': async (_params, pipe) => (pipe.accept(), await once(pipe.signal, 'abort'), {}) } }, { logger });
  await other.flush();
  const pipe = await client.open('h2', 'container.logs', logs);
  await other.close(); // as if the agent were cut off: nothing can be said any more
  await assert.rejects(pipe.trailer, (error) => error instanceof PipeBroken && /silent/.test(error.message));
  await mute.stop();
});

test('a thousand pipes leave nothing behind', async () => {
  onLogs = (_params, pipe) => Promise.resolve((pipe.write('x'), {}));
  for (let n = 0; n < 1_000; n++) assert.equal(await text(await client.open('h1', 'container.logs', logs)), 'x');
  await until('both ends are empty', () => client.openPipes === 0 && server.openPipes === 0);
});
