// Connections that carry bytes: attach and exec, upgraded and plain, with half-closes; logs; and what a client that goes away leaves behind.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { closeSoon } from '../../../services/api/src/http/hijack.ts';
import { longMs, startApi, type ApiFixture } from '../../fixtures/api-server.ts';
import { frame } from '../../fixtures/scripted-agent.ts';

let api: ApiFixture;
before(async () => { api = await startApi(); });
after(async () => { await api?.stop(); });

/** Everything that a connection gives until its end. */
async function drained(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'end');
  return Buffer.concat(chunks);
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = Date.now() + longMs;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`never came to be: ${what}`);
    await delay(10);
  }
}

function split(bytes: Buffer): { head: string; body: Buffer } {
  const end = bytes.indexOf('\r\n\r\n');
  return { head: bytes.subarray(0, end).toString(), body: bytes.subarray(end + 4) };
}

async function running(body: Record<string, unknown> = {}): Promise<string> {
  const id = await api.create({ Cmd: ['sleep'], OpenStdin: true, ...body });
  assert.equal((await api.ask('POST', `/containers/${id}/start`)).status, 204);
  return id;
}

const attachPath = (id: string): string => `/v1.43/containers/${id}/attach?stream=1&stdin=1&stdout=1&stderr=1`;

test('attach by upgrade: 101, frames, and the end of input reaches the other side while output goes on', async () => {
  const socket = api.dial();
  // Input in the same packet as the head: it must not get lost.
  socket.write(`POST ${attachPath(await running())} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\nhello `);
  socket.end('world');
  const { head, body } = split(await drained(socket));
  assert.match(head, /^HTTP\/1\.1 101 UPGRADED\r\n/);
  assert.match(head, /Content-Type: application\/vnd\.docker\.multiplexed-stream/);
  assert.match(head, /Upgrade: tcp/);
  const text = body.toString();
  assert.ok(body.subarray(0, 17).equals(frame(1, 'attached\n')));
  assert.match(text.replaceAll(/[\0-\x1f]+[^A-Za-z]?/g, ' '), /HELLO.*WORLD.*end of input/s);
});

test('attach without upgrade: 200 and the same stream; old clients get the old media type', async () => {
  const socket = api.dial();
  socket.write(`POST ${attachPath(await running()).replace('v1.43', 'v1.41')} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`);
  await once(socket, 'readable');
  socket.end('plain');
  const { head, body } = split(await drained(socket));
  assert.match(head, /^HTTP\/1\.1 200 OK\r\nContent-Type: application\/vnd\.docker\.raw-stream/);
  assert.match(body.toString(), /PLAIN/);
  assert.match(body.toString(), /end of input/);
});

test('attach without stdin says so to the host', async () => {
  const socket = api.dial();
  socket.end(`POST ${attachPath(await running()).replace('stdin=1', 'stdin=0')} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`);
  assert.match(split(await drained(socket)).body.toString(), /no input/);
});

test('a refusal of an upgraded request is an ordinary answer', async () => {
  const socket = api.dial();
  socket.write('POST /containers/nobody/attach?stream=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n');
  const { head, body } = split(await drained(socket));
  assert.match(head, /^HTTP\/1\.1 404 /);
  assert.deepEqual(JSON.parse(body.toString()), { message: 'No such container: nobody' });
});

test('an upgraded request whose body has no length is refused', async () => {
  const socket = api.dial();
  socket.write(`POST ${attachPath(await running())} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`);
  assert.match(split(await drained(socket)).head, /^HTTP\/1\.1 411 /);
});

test('an upgrade that no route takes is an ordinary request', async () => {
  const socket = api.dial();
  socket.write('GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n');
  const { head, body } = split(await drained(socket));
  assert.match(head, /^HTTP\/1\.1 200 /);
  assert.match(body.toString(), /OK/);
});

test('many bytes both ways arrive whole, at the pace of the slower side', async () => {
  const id = await running({ Tty: false });
  const socket = api.dial();
  socket.write(`POST ${attachPath(id)} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`);
  const sent = 4 * 1024 * 1024;
  void (async () => {
    const chunk = Buffer.alloc(65_536, 'a');
    for (let bytes = 0; bytes < sent; bytes += chunk.length) if (!socket.write(chunk)) await once(socket, 'drain');
    socket.end();
  })();
  await delay(50); // let it fill before anything is read
  const { body } = split(await drained(socket));
  let count = 0;
  for (const byte of body) if (byte === 0x41) count += 1;
  assert.ok(count >= sent, `${count} of ${sent}`);
});

test('a client that goes away frees the host’s pipe', async () => {
  const socket = api.dial();
  socket.write(`POST ${attachPath(await running())} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`);
  await once(socket, 'readable');
  assert.ok(api.agent.openPipes > 0);
  socket.destroy();
  await until('no pipe is open', () => api.agent.openPipes === 0 && api.server.hijacked.count === 0);
});

test('exec: created, started with its body read, its exit code there for inspect at once', async () => {
  const id = await running();
  const created = await api.ask('POST', `/containers/${id}/exec`, { body: { Cmd: ['echo', 'x'], AttachStdin: true, AttachStdout: true, AttachStderr: true } });
  assert.equal(created.status, 201);
  const exec = created.json.Id as string;
  assert.equal((await api.ask('GET', `/exec/${exec}/json`)).json.ExitCode, null);
  const body = '{"Detach":false,"Tty":false}';
  const socket = api.dial();
  // As some clients send it: a JSON body under text/plain on an upgraded request, input right behind it.
  socket.end(`POST /exec/${exec}/start HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: ${body.length}\r\n\r\n${body}stdin`);
  const answer = split(await drained(socket));
  assert.match(answer.head, /^HTTP\/1\.1 101/);
  assert.match(answer.body.toString(), /stdin/);
  assert.match(answer.body.toString(), /done echo x/);
  const inspected = (await api.ask('GET', `/exec/${exec}/json`)).json;
  assert.deepEqual([inspected.Running, inspected.ExitCode, inspected.ContainerID], [false, 3, id]);
  assert.equal((await api.ask('POST', `/exec/${exec}/start`, { body: {} })).status, 409);
});

test('exec: detached, with a terminal, resized, refused', async () => {
  const id = await running();
  const create = async (body: object): Promise<string> => (await api.ask('POST', `/containers/${id}/exec`, { body })).json.Id as string;
  const detached = await api.ask('POST', `/exec/${await create({ Cmd: ['x'] })}/start`, { body: { Detach: true } });
  assert.equal(detached.status, 200);
  const tty = await create({ Cmd: ['x'], Tty: true, AttachStdin: true });
  assert.equal((await api.ask('POST', `/exec/${tty}/resize?h=11&w=22`)).status, 200);
  assert.deepEqual(api.agent.resizes[0], { rows: 11, columns: 22 });
  const socket = api.dial();
  const body = '{"Tty":true,"ConsoleSize":[10,20]}';
  socket.end(`POST /exec/${tty}/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  const answer = split(await drained(socket));
  assert.match(answer.head, /application\/vnd\.docker\.raw-stream/);
  assert.equal(answer.body.toString(), 'done');
  const nope = await api.ask('POST', `/exec/${await create({ Cmd: ['nope'], AttachStdout: true })}/start`, { body: {} });
  assert.equal(nope.status, 400);
  await api.ask('POST', `/containers/${id}/pause`);
  assert.equal((await api.ask('POST', `/containers/${id}/exec`, { body: { Cmd: ['x'] } })).status, 409);
});

test('logs: what is asked is handed to the host, the media type follows version and terminal', async () => {
  const id = await running();
  const answer = await api.ask('GET', `/v1.43/containers/${id}/logs?stdout=1&tail=5&since=1.5&timestamps=1`);
  assert.equal(answer.headers['content-type'], 'application/vnd.docker.multiplexed-stream');
  assert.deepEqual(JSON.parse(answer.text.slice(8)), { containerId: id, stdout: true, stderr: false, follow: false, timestamps: true, tail: 5, sinceNs: '1500000000', untilNs: null });
  assert.equal((await api.ask('GET', `/v1.41/containers/${id}/logs?stdout=1`)).headers['content-type'], 'application/vnd.docker.raw-stream');
  const silent = await api.create({ Cmd: ['sleep'], HostConfig: { LogConfig: { Type: 'none' } } });
  assert.match((await api.ask('GET', `/containers/${silent}/logs?stdout=1`)).json.message, /does not support reading/);
});

test('followed logs end on the host when the client goes', async () => {
  const id = await running();
  const request = httpRequest({ socketPath: api.socket, path: `/containers/${id}/logs?stdout=1&follow=1`, agent: false });
  request.on('error', () => undefined);
  request.end();
  await once(request, 'response');
  await until('a pipe is open', () => api.agent.openPipes > 0);
  request.destroy();
  await until('no pipe is open', () => api.agent.openPipes === 0);
});

test('resize and top ask the host', async () => {
  const id = await running({ Tty: true });
  assert.equal((await api.ask('POST', `/containers/${id}/resize?h=40&w=100`)).status, 200);
  assert.deepEqual(api.agent.resizes[0], { rows: 40, columns: 100 });
  assert.deepEqual((await api.ask('GET', `/containers/${id}/top?ps_args=aux`)).json, { Titles: ['PID', 'CMD'], Processes: [['1', 'ps aux']] });
  assert.equal((await api.ask('GET', `/containers/${id}/top?ps_args=bad`)).status, 400);
  assert.equal((await api.ask('GET', `/containers/${await api.create({})}/top`)).status, 409);
});

test('a client that stops reading for a while at the end gets the end all the same', { timeout: 60_000 }, async () => {
  const size = 2 * 1024 * 1024; // more than the kernel takes unread
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.write(Buffer.alloc(size));
    closeSoon(socket);
  });
  const path = join(await mkdtemp(join(tmpdir(), 'pouch-test-slow-')), 'socket');
  try {
    server.listen({ path });
    await once(server, 'listening');
    const socket = connect({ path });
    socket.pause();
    await once(socket, 'connect');
    await delay(2_500); // longer than a connection lingers whose bytes are sent
    const all = drained(socket);
    socket.resume();
    assert.equal((await all).length, size);
  } finally {
    server.close();
    await rm(dirname(path), { recursive: true, force: true });
  }
});
