// The API and a host's calls under anything that anyone sends: never a crash, never a 500, always an answer or an end. Bounded and seeded; POUCH_TEST_SEED=N has
// the same run again.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { connectNats } from '@pouch/eventlog';
import { encodeFrame } from '../../../packages/pipes/src/frame.ts';
import { nullLogger } from '@pouch/process';
import { anySeed, randomOf, type Random } from '../../e2e/faults/random.ts';
import { startApi, type ApiFixture } from '../../fixtures/api-server.ts';
import { anyBytes, anyText, anyValue, oddTexts, spoiled, spoiledBytes } from '../../fixtures/mutations.ts';

const seed = Number(process.env['POUCH_TEST_SEED'] ?? anySeed());
let api: ApiFixture;
let id: string;

before(async () => {
  process.stdout.write(`POUCH_TEST_SEED=${seed}\n`);
  api = await startApi();
  id = await api.create({ Cmd: ['sleep', '1000'] }, 'target');
  assert.equal((await api.ask('POST', `/containers/${id}/start`)).status, 204);
});
after(async () => { await api?.stop(); });

const alive = async (): Promise<void> => { assert.equal((await api.ask('GET', '/_ping')).status, 200); };

/** What a raw connection answers until it ends, falls silent for `quietMs`, or gives its first bytes where that is enough. */
async function raw(bytes: Buffer, quietMs = 300): Promise<string> {
  return await new Promise((resolve) => {
    const socket = api.dial();
    let text = '';
    const timer = setTimeout(() => end(), quietMs);
    const end = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(text);
    };
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      timer.refresh();
      if (text.length > 65_536) end();
    });
    socket.once('close', end).once('error', end);
    socket.end(bytes);
  });
}

const create = { Image: 'busybox', Cmd: ['true'], Env: ['A=1'], Labels: { a: 'b', 'io.pouch.secret.x': '' }, HostConfig: { Binds: ['/tmp:/x:ro'], Memory: 6_000_000, PortBindings: { '80/tcp': [{ HostPort: '0' }] }, RestartPolicy: { Name: 'no' }, Tmpfs: { '/run': 'size=1m' }, Mounts: [{ Type: 'tmpfs', Target: '/m' }], Ulimits: [{ Name: 'nofile', Soft: 1, Hard: 2 }] }, NetworkingConfig: { EndpointsConfig: {} } };
const bodies: readonly (readonly [path: string, body: unknown, method?: string])[] = [
  ['/containers/create', create], ['/containers/target/exec', { Cmd: ['true'], AttachStdout: true, Env: ['A=1'] }], ['/cluster/tokens', { name: 'fuzz', role: 'read', expiresInSeconds: 60 }], ['/secrets/create', { Name: 'fuzz', Data: 'eA==', Labels: {} }],
  ['/cluster/policy', { who: { devices: 'operate' }, bindPrefixes: ['/data'], allowedCapabilities: ['CAP_NET_ADMIN'] }, 'PUT'], ['/containers/target/rename?name=target', {}], ['/images/busybox/tag?repo=x', {}],
];

function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);
}

/** A 500 is a fault of ours, unless it is the scripted host's own word. */
function assertForeseen(what: string, status: number, text: string): void {
  assert.ok(status !== 500 || !text.includes('internal error'), `seed ${seed}: ${what}: ${text}`);
}

test('spoiled bodies are refused with the field, or do what they say', async () => {
  const random = randomOf(seed);
  for (let round = 0; round < 250; round++) {
    const [path, body, method = 'POST'] = random.pick(bodies);
    const text = JSON.stringify(spoiled(random, body, random.between(3, 20))) ?? '';
    const payload = random.oneIn(5) ? spoiledBytes(random, Buffer.from(text)) : Buffer.from(text);
    // A create that is good waits for its host, which knows what a few commands mean only.
    const answer = await api.ask(method, path, { raw: payload, headers: { 'content-type': random.pick(['application/json', 'text/plain', 'application/x-tar', anyText(random, 5).replaceAll(/[^ -~]/g, '')]) } });
    assertForeseen(`${method} ${path} ${payload.toString()}`, answer.status, answer.text);
  }
  await api.ask('PUT', '/cluster/policy', { body: { who: { privileged: 'operate', 'host-binds': 'operate', 'host-network': 'operate', devices: 'operate', capabilities: 'operate', seccomp: 'operate' }, bindPrefixes: [], allowedCapabilities: [] } });
  await alive();
});

test('odd paths, queries and headers are answered', async () => {
  const random = randomOf(seed + 1);
  const paths = api.server.routes.filter((route) => !/events|rebuild|attach|exec\/:id\/start|wait|images\/(load|create)|kernels|prune|\/(stop|kill|pause|restart|rename|drain|cordon)|DELETE/.test(route));
  for (let round = 0; round < 400; round++) {
    const [method = '', path = ''] = random.pick(paths).split(' ');
    const odd = (): string => encodeURIComponent(random.pick([...oddTexts, anyText(random), id, 'target', 'busybox']).toWellFormed());
    const filled = path.replaceAll(/:\w+|\*/g, () => odd() || 'x');
    const query = Array.from({ length: random.between(0, 3) }, () => `${random.pick(['filters', 'all', 'limit', 'since', 'at', 'name', 'size', 't', 'signal', 'h', 'w', anyText(random, 3).replaceAll(/[^a-z]/g, 'q')])}=${random.oneIn(3) ? encodeURIComponent(JSON.stringify(anyValue(random)) ?? '') : odd()}`).join('&');
    const headers = random.oneIn(3) ? `Authorization: ${anyText(random, 20).replaceAll(/[^ -~]/g, '.')}\r\n` : '';
    const answer = await raw(Buffer.from(`${method} /${random.oneIn(3) ? 'v1.43/' : ''}${filled.slice(1)}?${query} HTTP/1.1\r\nHost: x\r\n${headers}Connection: close\r\n\r\n`));
    assertForeseen(`${method} ${filled}?${query}`, statusOf(answer), answer);
  }
  await alive();
});

test('abused chunks, lengths and upgrades end the connection, not the server', async () => {
  const random = randomOf(seed + 2);
  const heads = (path: string): string[] => [
    `POST ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`,
    `POST ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n`,
    `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 50\r\n\r\n`,
    `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${random.pick(['-1', '99999999999999999999', '0x10', '5, 5', '4'])}\r\n\r\n`,
    `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ${random.pick(['tcp', 'h2c', 'websocket', ''])}\r\nContent-Length: ${random.between(0, 40)}\r\n\r\n`,
    `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nTransfer-Encoding: chunked\r\n\r\n`,
    `GET ${path} HTTP/1.1\r\n${'X: y\r\n'.repeat(random.between(1, 3_000))}\r\n`,
    `GET ${path} HTTP/${random.pick(['0.9', '1.0', '2.0', '9.9'])}\r\n\r\n`,
  ];
  const chunks = (): string => random.pick(['0\r\n\r\n', 'ffffffffffffffff\r\nx', '-5\r\nhello\r\n0\r\n\r\n', '5\r\nhello\r\n', '5;ext=\r\nhello\r\n0\r\nTrailer: x\r\n\r\n', 'zz\r\n', '2\r\n{}\r\n0\r\n\r\n', '{}', anyText(random)]);
  const targets = ['/containers/create', `/containers/${id}/attach?stream=1&stdin=1&stdout=1`, `/containers/${id}/attach?logs=1`, `/exec/${'0'.repeat(64)}/start`, '/_ping', '/images/load', '/secrets/create'];
  for (let batch = 0; batch < 15; batch++) {
    await Promise.all(Array.from({ length: 8 }, async () => {
      const bytes = Buffer.from(`${random.pick(heads(random.pick(targets)))}${chunks()}`);
      const sent = random.oneIn(3) ? spoiledBytes(random, bytes) : bytes;
      const answer = await raw(sent);
      assertForeseen(sent.toString('latin1'), statusOf(answer), answer);
    }));
  }
  await alive();
});

test('a host takes any call and any frame: it answers with an error or nothing, and goes on', async () => {
  const random = randomOf(seed + 3);
  const link = connectNats({ servers: api.nats.url, name: 'fuzz', logger: nullLogger });
  try {
    const connection = await link.connection(30_000);
    const subjects = hostSubjects(random, api.agent.hostId);
    for (let round = 0; round < 400; round++) {
      const payload = random.oneIn(2) ? anyBytes(random, random.between(0, 60)) : Buffer.from(JSON.stringify(anyValue(random)) ?? '');
      const frame = random.oneIn(2) ? payload : encodeFrame(random.between(0, 9) as never, random.pick([0, 1, 2, 2 ** 32 - 1]), payload);
      connection.publish(random.pick(subjects), frame, random.oneIn(3) ? {} : { reply: `_INBOX.fuzz.${randomUUID()}` });
    }
    await connection.flush();
    // The host still serves: what was asked of it is answered.
    const exec = await api.ask('POST', `/containers/${id}/exec`, { body: { Cmd: ['true'], AttachStdout: true } });
    assert.equal(exec.status, 201, exec.text);
    assert.equal((await api.ask('GET', `/containers/${id}/top`)).status, 200);
  } finally {
    await link.close();
  }
  await alive();
});

test('messages in the log that nobody of ours wrote are told as malformed, and the projection goes on', async () => {
  const random = randomOf(seed + 4);
  const link = connectNats({ servers: api.nats.url, name: 'fuzz', logger: nullLogger });
  try {
    const connection = await link.connection(30_000);
    for (let round = 0; round < 200; round++) {
      const kind = random.pick(['container', 'host', 'image', 'exec', 'kernel', 'token', 'policy', 'secret', 'refusal', 'service', 'x']);
      const value = { v: 1, id: randomUUID(), kind, events: [{ type: 'X' }], snapshot: { id: `f${round}`, hostId: 'h', name: 'n', status: 'running', state: 'up', ...(anyValue(random) as object) }, meta: { atMs: 1, service: 'api', actor: 'x', cause: null } };
      connection.publish(`evt.${kind}.${random.oneIn(2) ? 'h.' : ''}f${round}`, random.oneIn(3) ? anyBytes(random) : Buffer.from(JSON.stringify(spoiled(random, value, 10)) ?? ''));
    }
    await connection.flush();
    const made = await api.create({ Cmd: ['true'] }, 'after-all');
    assert.equal((await api.ask('GET', `/containers/${made}/json`)).status, 200);
    for (const path of ['/containers/json?all=1', '/cluster/hosts', '/cluster/events?follow=0&afterSeq=0', '/events?since=0&until=1', '/secrets', '/cluster/tokens', '/cluster/policy', '/cluster/kernels', '/info', '/system/df', '/images/json']) {
      const answer = await api.ask('GET', path);
      assert.ok(answer.status === 200, `seed ${seed}: ${path}: ${answer.status} ${answer.text.slice(0, 300)}`);
    }
    assert.equal(api.projection.health().restarts, 0);
  } finally {
    await link.close();
  }
});

function hostSubjects(random: Random, host: string): string[] {
  const names = ['container.top', 'container.resize', 'container.size', 'container.health', 'container.logs', 'container.attach', 'exec.start', 'exec.resize', 'image.pull', 'image.load', 'image.tag', 'image.remove', 'host.usage', 'constructor', '__proto__', 'nope'];
  return names.flatMap((name) => [`host.${host}.call.${name}`, `host.${host}.pipe.${name}`, `host.${host}.${random.pick(['x', 'call', 'beat'])}`]);
}
