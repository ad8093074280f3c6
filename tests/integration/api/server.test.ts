// The server around the routes: where it listens, how it names versions, what it tells of itself, and what it does while the log is away.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { after, before, test } from 'node:test';
import { connect } from 'node:net';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import Docker from 'dockerode';
import { nullLogger } from '@pouch/process';
import { longMs, startApi, type ApiFixture } from '../../fixtures/api-server.ts';
import { listen, ListenError } from '../../../services/api/src/listen.ts';

let api: ApiFixture;
before(async () => { api = await startApi({ tcp: { host: '127.0.0.1', port: 0, tls: null } }); });
after(async () => { await api?.stop(); });

test('the socket is for root and its group; a second server leaves it alone, a stale one is replaced', async () => {
  assert.equal((await stat(api.socket)).mode & 0o777, 0o660);
  await assert.rejects(listen(api.server, { socket: api.socket, tcp: null }, nullLogger), (error: unknown) => error instanceof ListenError && /another process serves/.test(error.message));
  const directory = await mkdtemp(join(tmpdir(), 'pouch-test-socket-'));
  try {
    const file = join(directory, 'file');
    await writeFile(file, '');
    await assert.rejects(listen(api.server, { socket: file, tcp: null }, nullLogger), /no socket/);
    const stale = join(directory, 'stale.sock');
    // A process that is killed leaves its socket file behind.
    const killed = spawnSync(process.execPath, ['-e', `require('net').createServer().listen(${JSON.stringify(stale)}, () => process.kill(process.pid, 'SIGKILL'))`], { stdio: 'ignore' });
    assert.equal(killed.signal, 'SIGKILL');
    assert.ok((await stat(stale)).isSocket());
    const second = await listen(api.server, { socket: stale, tcp: null }, nullLogger);
    const probe = connect({ path: stale });
    await once(probe, 'connect');
    probe.destroy();
    await second.close();
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

test('ping, version and paths with and without a version', async () => {
  for (const method of ['GET', 'HEAD']) {
    const ping = await api.ask(method, '/_ping');
    assert.deepEqual([ping.status, ping.headers['api-version'], ping.headers.ostype, ping.text], [200, '1.43', 'linux', method === 'GET' ? 'OK' : '']);
  }
  for (const prefix of ['', '/v1.24', '/v1.43']) assert.equal((await api.ask('GET', `${prefix}/version`)).json.ApiVersion, '1.43');
  const info = (await api.ask('GET', '/info')).json;
  assert.deepEqual(Object.keys(info.Runtimes), ['runc', 'runv']);
  assert.equal(info.NCPU, 2);
  assert.equal((await api.ask('GET', '/system/df')).json.LayersSize, 1_000);
});

test('the OpenAPI document has the routes and their schemas', async () => {
  const document = (await api.ask('GET', '/openapi.json')).json;
  assert.match(document.openapi, /^3\./);
  const create = document.paths['/containers/create'].post;
  assert.ok(create.requestBody.content['application/json'].schema.properties.HostConfig.properties.Memory);
  assert.ok(document.paths['/cluster/hosts'].get);
  assert.deepEqual((await api.ask('GET', '/cluster/openapi.json')).json, document);
});

test('dockerode creates, attaches, starts, waits, execs', async () => {
  const docker = new Docker({ socketPath: api.socket });
  const container = await docker.createContainer({ Image: 'busybox', Cmd: ['exit', '4'], name: 'by-dockerode' });
  const waited = container.wait({ condition: 'next-exit' }) as Promise<{ StatusCode: number }>;
  await container.start();
  assert.equal((await waited).StatusCode, 4);
  const [listed] = await docker.listContainers({ all: true, filters: { name: ['by-dockerode'] } });
  assert.equal(listed?.Id, container.id);
  const runner = await docker.createContainer({ Image: 'busybox', Cmd: ['sleep'], OpenStdin: true });
  const stream = await runner.attach({ stream: true, hijack: true, stdin: true, stdout: true, stderr: true });
  await runner.start();
  stream.end('dockerode');
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  assert.match(text, /DOCKERODE/);
  const chunks: string[] = [];
  const sink = new Writable({ write(chunk, _encoding, done) { chunks.push(String(chunk)); done(); } });
  const [result] = (await docker.run('busybox', ['exit', '9'], sink, {})) as [{ StatusCode: number }];
  assert.equal(result.StatusCode, 9);
  assert.match(chunks.join(''), /attached/);
  const exec = await runner.exec({ Cmd: ['x'], AttachStdout: true });
  const output = await exec.start({ Detach: false });
  output.resume();
  await once(output, 'end');
  assert.equal((await exec.inspect()).ExitCode, 3);
});

test('while the log is away reads are answered and writes are 503 with Retry-After', async () => {
  const id = await api.create({ Cmd: ['sleep'] }, 'survivor');
  await api.nats.kill9();
  const started = await api.ask('POST', `/containers/${id}/start`);
  assert.equal(started.status, 503);
  assert.ok(Number(started.headers['retry-after']) > 0);
  const created = await api.ask('POST', '/containers/create', { body: { Image: 'busybox', Cmd: ['sleep'] } });
  assert.equal(created.status, 503);
  // What asks the host directly is refused as well, not left to the time limits of calls and pipes.
  for (const [method, path] of [['POST', 'attach?stream=1&stdout=1'], ['GET', 'logs?stdout=1'], ['GET', 'json?size=1'], ['POST', 'rename?name=other'], ['POST', 'exec']] as const) {
    const answer = await api.ask(method, `/containers/${id}/${path}`, path === 'exec' ? { body: { Cmd: ['x'] } } : {});
    assert.ok(path === 'exec' ? answer.status === 409 : answer.status === 503 && Number(answer.headers['retry-after']) > 0, `${path}: ${answer.status} ${answer.text}`);
  }
  assert.equal((await api.ask('GET', `/containers/${id}/json`)).status, 200);
  assert.equal((await api.ask('GET', '/containers/json?all=1')).status, 200);
  await api.nats.restart();
  const deadline = Date.now() + longMs;
  let status = 0;
  while (status !== 204 && status !== 304 && Date.now() < deadline) {
    status = (await api.ask('POST', `/containers/${id}/start`)).status;
    if (status === 503) await delay(100);
  }
  assert.ok(status === 204 || status === 304, String(status));
});
