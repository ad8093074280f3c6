// Connections to NATS through a network that fails in the middle of a greeting, or takes nothing any more: a proxy stands between.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import { connectNats, type NatsLink } from '@pouch/eventlog';
import { pino } from 'pino';
import { startNats, type NatsFixture } from '../../fixtures/nats.ts';
import { until } from '../../fixtures/native.ts';

const logger = pino({ level: 'silent' });

/** `held`: what the server says to connections made from now on is kept back until `release`. */
class Proxy {
  readonly #server = createServer((client) => this.#join(client));
  readonly #target: number;
  readonly #pairs = new Set<{ client: Socket; upstream: Socket; held: boolean }>();
  holding = false;

  constructor(target: number) {
    this.#target = target;
  }

  #join(client: Socket): void {
    const upstream = connect(this.#target, '127.0.0.1');
    const pair = { client, upstream, held: this.holding };
    this.#pairs.add(pair);
    for (const [from, to] of [[client, upstream], [upstream, client]] as const) {
      from.on('error', () => undefined);
      from.on('close', () => { to.destroy(); this.#pairs.delete(pair); });
    }
    client.pipe(upstream);
    if (!pair.held) upstream.pipe(client);
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `nats://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  count(held: boolean): number {
    return [...this.#pairs].filter((pair) => pair.held === held).length;
  }

  cut(which: 'all' | 'held' = 'all'): void {
    for (const { client, upstream, held } of this.#pairs) {
      if (which === 'held' && !held) continue;
      client.destroy();
      upstream.destroy();
    }
  }

  /** Nothing is taken from the client any more, nor given to it. */
  freeze(): void {
    for (const { client, upstream } of this.#pairs) {
      client.unpipe(upstream);
      client.pause();
      upstream.unpipe(client);
      upstream.pause();
    }
  }

  release(): void {
    for (const pair of this.#pairs) if (pair.held) pair.upstream.pipe(pair.client);
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

let nats: NatsFixture;
before(async () => { nats = await startNats(); });
after(async () => { await nats.stop(); });

async function withLink(work: (link: NatsLink, proxy: Proxy) => Promise<void>): Promise<void> {
  const proxy = new Proxy(Number(new URL(nats.url).port));
  const link = connectNats({ servers: await proxy.listen(), name: 'test', logger });
  try {
    await link.connection(10_000);
    await work(link, proxy);
  } finally {
    await link.close();
    await proxy.close();
  }
}

test('an attempt to connect that was given up and comes about later ends by itself: nothing is delivered twice', { timeout: 60_000 }, async () => {
  await withLink(async (link, proxy) => {
    const nc = await link.connection();
    const got: string[] = [];
    nc.subscribe('told', { callback: (_, message) => { got.push(message.string()); } });
    await nc.flush();
    proxy.holding = true;
    proxy.cut();
    await until('an attempt waits for its greeting', () => proxy.count(true) > 0 || undefined);
    proxy.holding = false;
    await until('it has been given up, and another one has come about', () => link.connected || undefined);
    const { epoch } = link;
    proxy.release();
    await delay(500);
    proxy.cut('held'); // as a server does that asks for credentials: it waits 2 s for them
    await delay(2_000);
    nc.publish('told', 'once');
    await nc.flush();
    await delay(200);
    assert.deepEqual(got, ['once']);
    assert.deepEqual([link.epoch, proxy.count(true), proxy.count(false)], [epoch, 0, 1], 'one connection, the same one');
  });
});

test('a connection whose peer takes nothing any more is left for another one, whatever waits to be written to it', { timeout: 60_000 }, async () => {
  await withLink(async (link, proxy) => {
    const nc = await link.connection();
    const { epoch } = link;
    proxy.freeze();
    // More than sockets hold between them.
    for (let at = 0; at < 64; at++) nc.publish('much', new Uint8Array(512 * 1_024));
    await until('another connection', () => link.epoch > epoch || undefined);
    await nc.flush();
  });
});

test('a connection that is reset between the greeting and TLS ends that attempt and nothing else', { timeout: 60_000 }, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'pouch-test-mend-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  // Whoever reads it waits for a writer.
  const caFile = join(directory, 'ca.pem');
  execFileSync('mkfifo', [caFile]);
  const greeted: Socket[] = [];
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.write('INFO {"server_id":"test","version":"2.10.27","max_payload":1048576,"tls_required":true}\r\n');
    greeted.push(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const link = connectNats({ servers: `nats://127.0.0.1:${(server.address() as AddressInfo).port}`, name: 'test', logger, caFile });
  try {
    const writer = await open(caFile, 'w');
    greeted[0]?.resetAndDestroy();
    await delay(300); // it arrives, while the certificate is still being read
    await rm(caFile);
    await writeFile(caFile, 'no certificate');
    await writer.close();
    await until('another attempt', () => greeted.length > 1 || undefined);
  } finally {
    await link.close();
    for (const socket of greeted) socket.destroy();
    server.close();
  }
});
