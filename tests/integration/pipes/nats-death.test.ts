// Pipes whose nats-server dies, hosts that vanish in the middle, writes of every size, and subscriptions counted at the server.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { connect } from 'nats';
import { HostClient, serveHost, type PipeHandlers } from '@pouch/pipes';
import { nullLogger } from '@pouch/process';
import { freePort, startNats } from '../../fixtures/nats.ts';
import { until } from '../../unit/eventlog/log-contract.ts';

const load = { quiet: true, actor: 'test' };
const logs = { containerId: 'c', stdout: true, stderr: true, follow: true, timestamps: false, tail: null, sinceNs: null, untilNs: null };

async function both(t: TestContext, pipes: PipeHandlers, config?: string) {
  const nats = await startNats(config === undefined ? {} : { config });
  const options = () => ({ servers: nats.url, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
  const [apiSide, hostSide] = [await connect(options()), await connect(options())];
  const client = new HostClient(apiSide);
  const server = serveHost(hostSide, 'h1', { calls: {}, pipes }, { logger: nullLogger });
  await hostSide.flush();
  t.after(async () => {
    client.close();
    await server.stop();
    await apiSide.close();
    await hostSide.close();
    await nats.stop();
  });
  return { nats, client, server };
}

test('a host stops serving while nats-server is away, and while its connection comes back', { timeout: 60_000 }, async (t) => {
  const { nats, server } = await both(t, {});
  await nats.kill9();
  const away = server.stop();
  const comingBack = nats.restart().then(async () => await server.stop());
  await Promise.all([away, comingBack]);
});

test('both ends notice that nats-server died, and new pipes open when it is back', { timeout: 120_000 }, async (t) => {
  const { nats, client, server } = await both(t, {
    'container.logs': async (_params, pipe) => {
      while (!pipe.signal.aborted) if (!pipe.write(Buffer.alloc(4_096))) await Promise.race([once(pipe, 'drain'), once(pipe.signal, 'abort')]);
      return {};
    },
    'image.load': async (_params, pipe) => {
      for await (const chunk of pipe) pipe.write(chunk);
      return { seq: 1, loaded: [] };
    },
  });
  const pipe = await client.open('h1', 'container.logs', logs);
  pipe.resume();
  const broken = assert.rejects(pipe.trailer);
  await nats.kill9();
  await nats.restart();
  await broken;
  await until('both ends are empty', () => client.openPipes === 0 && server.openPipes === 0);
  const next = await until('a new pipe opens', () => client.open('h1', 'image.load', load, { timeoutMs: 5_000 }).catch(() => undefined));
  next.end('again');
  let text = '';
  for await (const chunk of next) text += String(chunk);
  assert.equal(text, 'again');
});

test('writes of every size arrive whole and in order', { timeout: 120_000 }, async (t) => {
  const { client } = await both(t, {
    'image.load': async (_params, pipe) => {
      for await (const chunk of pipe) if (!pipe.write(chunk)) await once(pipe, 'drain');
      return { seq: 1, loaded: [] };
    },
  });
  const pipe = await client.open('h1', 'image.load', load);
  const sizes = [1, 0, 2, 65_535, 65_536, 65_537, 262_143, 262_144, 262_145, 1_000_000, 3, ...Array.from({ length: 2_000 }, (_, n) => n % 7)];
  const sent = sizes.map((size, n) => Buffer.alloc(size, n % 251));
  const writing = (async () => {
    for (const chunk of sent) if (!pipe.write(chunk)) await once(pipe, 'drain');
    pipe.end();
  })();
  const got: Buffer[] = [];
  for await (const chunk of pipe) got.push(chunk as Buffer);
  await writing;
  assert.ok(Buffer.concat(got).equals(Buffer.concat(sent)));
});

test('a thousand pipes, some of them refused or broken off, leave no subscription at the server', { timeout: 240_000 }, async (t) => {
  const monitor = await freePort();
  const { client, server } = await both(t, {
    'image.load': async (params, pipe) => {
      if (params.actor === 'refuse') throw new Error('no');
      pipe.write('x');
      for await (const chunk of pipe) pipe.write(chunk);
      return { seq: 1, loaded: [] };
    },
  }, `http: "127.0.0.1:${monitor}"`);
  const subscriptions = async (): Promise<number> => ((await (await fetch(`http://127.0.0.1:${monitor}/subsz`)).json()) as { num_subscriptions: number }).num_subscriptions;
  const one = await client.open('h1', 'image.load', load);
  one.destroy();
  await until('it is forgotten', () => server.openPipes === 0);
  const before = await subscriptions();
  for (let n = 0; n < 1_000; n++) {
    if (n % 10 === 0) {
      await assert.rejects(client.open('h1', 'image.load', { quiet: true, actor: 'refuse' }));
      continue;
    }
    const pipe = await client.open('h1', 'image.load', load);
    if (n % 10 === 1) pipe.destroy();
    else {
      pipe.end('y');
      let text = '';
      for await (const chunk of pipe) text += String(chunk);
      assert.equal(text, 'xy');
    }
  }
  await until('both ends are empty', () => client.openPipes === 0 && server.openPipes === 0);
  assert.equal(await subscriptions(), before);
});
