// The API on a cluster of its own as libraries and scripts use it: dockerode, curl, plain HTTP, TCP, server-sent events.
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { PassThrough, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import Docker from 'dockerode';
import { startTestCluster } from '../../fixtures/cluster.ts';
import { begin, Clients, eventually, unavailable } from './clients.ts';

const skip = unavailable();
let on: Clients;
let docker: Docker;
let tcp: string;

before(async () => {
  if (skip !== false) return;
  tcp = `127.0.0.1:${await freePort()}`;
  on = new Clients(await startTestCluster({ tcp }));
  docker = new Docker({ socketPath: on.cluster.socket });
});
after(async () => {
  await on?.close();
  await on?.cluster.stop();
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function collector(): { stream: Writable; text: () => string } {
  let all = '';
  return { stream: new Writable({ write(chunk: Buffer, _encoding, done) { all += chunk.toString(); done(); } }), text: () => all };
}

const HostConfig = { NetworkMode: 'none' };

describe('dockerode', { skip, concurrency: 2 }, () => {
  test('run, and a life: create, start, list, inspect, logs, wait, remove', async () => {
    const out = collector();
    const [answer, container] = await docker.run('busybox', ['sh', '-c', 'echo from dockerode; exit 4'], [out.stream, out.stream], { Tty: false, HostConfig }) as [{ StatusCode: number }, Docker.Container];
    assert.equal(answer.StatusCode, 4);
    await eventually('its output is there', () => out.text() === 'from dockerode\n'); // dockerode waits for the exit, not for the stream
    const logs = await container.logs({ stdout: true, stderr: true });
    assert.equal(logs.subarray(8).toString(), 'from dockerode\n');
    await container.remove();
    await assert.rejects(container.inspect(), (error: { statusCode?: number; json?: { message?: string } }) => error.statusCode === 404 && /No such container/.test(error.json?.message ?? ''));
  });

  test('attach with input and half-close over an upgraded connection', async () => {
    const container = await docker.createContainer({ Image: 'busybox', Cmd: ['sh', '-c', 'cat; echo after the end; echo err >&2'], OpenStdin: true, StdinOnce: true, HostConfig });
    const stream = await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
    const [out, err] = [collector(), collector()];
    container.modem.demuxStream(stream, out.stream, err.stream);
    const ended = once(stream, 'end');
    await container.start();
    stream.write('line\n');
    stream.end();
    await ended;
    assert.deepEqual([out.text(), err.text()], ['line\nafter the end\n', 'err\n']);
    assert.deepEqual(await container.wait(), { StatusCode: 0 });
    await container.remove();
  });

  test('exec with input, its exit code, and statistics of what is there', async () => {
    const container = await docker.createContainer({ Image: 'busybox', Cmd: ['sleep', '1000'], name: 'rode', Labels: { a: 'b' }, HostConfig });
    await container.start();
    const exec = await container.exec({ Cmd: ['sh', '-c', 'cat; exit 8'], AttachStdin: true, AttachStdout: true, AttachStderr: true });
    const stream = await exec.start({ hijack: true, stdin: true });
    const out = collector();
    docker.modem.demuxStream(stream, out.stream, new PassThrough());
    stream.end('into it');
    await once(stream, 'end');
    assert.equal(out.text(), 'into it');
    assert.equal((await exec.inspect()).ExitCode, 8);
    assert.deepEqual((await docker.listContainers({ filters: { label: ['a=b'] } })).map(({ Names }) => Names), [['/rode']]);
    assert.ok((await docker.listImages()).some(({ RepoTags }) => RepoTags?.includes('busybox:latest')));
    assert.deepEqual((await container.top()).Titles.includes('PID'), true);
    await container.remove({ force: true });
  });

  test('events arrive while they happen', async () => {
    const stream = await docker.getEvents({ filters: { type: ['container'], event: ['start'] } });
    const seen: string[] = [];
    stream.on('data', (data: Buffer) => { seen.push(data.toString()); });
    await eventually('a start is told', async () => {
      // Without AutoRemove: dockerode asks to wait after the start, and a container that is gone by then is a 404, with Docker too.
      const [, container] = await docker.run('busybox', ['true'], new PassThrough(), { HostConfig }) as [unknown, Docker.Container];
      await container.remove();
      return seen.some((line) => line.includes('"Action":"start"'));
    });
    (stream as PassThrough).destroy();
  });
});

describe('plain HTTP', { skip, concurrency: 2 }, () => {
  test('ping, version and info, with and without a version in the path; a newer one is refused', async () => {
    const ping = await on.http('HEAD', '/_ping');
    assert.deepEqual([ping.status, ping.headers['ostype'], ping.headers['docker-experimental']], [200, 'linux', 'false']);
    assert.match(String(ping.headers['api-version']), /^1\.\d\d$/);
    for (const prefix of ['', '/v1.24', `/v${String(ping.headers['api-version'])}`]) {
      assert.equal((await on.http('GET', `${prefix}/_ping`)).text, 'OK');
      const version = JSON.parse((await on.http('GET', `${prefix}/version`)).text) as Record<string, unknown>;
      assert.deepEqual([version['ApiVersion'], version['MinAPIVersion'], version['Os']], [ping.headers['api-version'], '1.24', 'linux']);
    }
    const info = JSON.parse((await on.http('GET', '/info')).text) as { Runtimes: object; DefaultRuntime: string; OSType: string };
    assert.ok('runc' in info.Runtimes);
    assert.deepEqual([info.DefaultRuntime, info.OSType], ['runc', 'linux']);
    const newer = await on.http('GET', '/v1.99/info');
    assert.equal(newer.status, 400);
    assert.match(newer.text, /client version 1\.99 is too new/);
  });

  test('what is not there yet answers 501 with its name; what is not Docker\'s 404', async () => {
    for (const [method, target, name] of [['PUT', '/volumes/x', 'VolumeUpdate'], ['POST', '/networks/create', 'NetworkCreate'], ['POST', '/build', 'ImageBuild'], ['GET', '/v1.43/swarm', 'SwarmInspect'], ['GET', '/containers/x/changes', 'ContainerChanges']] as const) {
      const answer = await on.http(method, target);
      assert.equal(answer.status, 501, target);
      assert.match((JSON.parse(answer.text) as { message: string }).message, new RegExp(name));
    }
    assert.equal((await on.http('GET', '/nowhere')).status, 404);
  });

  test('errors are JSON with a message, and name the field', async () => {
    const answer = await on.http('POST', '/containers/create', { body: { Image: 'busybox', HostConfig: { Memory: 'much' } } });
    assert.deepEqual([answer.status, answer.headers['content-type']], [400, 'application/json']);
    assert.match(answer.text, /HostConfig\.Memory/);
    assert.equal((await on.http('POST', '/containers/create', { body: { Image: 'not-here' } })).status, 404);
    assert.equal((await on.http('GET', '/containers/nosuch/json')).text, '{"message":"No such container: nosuch"}');
    const { Id } = JSON.parse((await on.http('POST', '/containers/create', { body: { Image: 'busybox', Cmd: ['true'], HostConfig } })).text) as { Id: string };
    assert.equal((await on.http('POST', `/containers/${Id}/stop`)).status, 304);
    assert.equal((await on.http('DELETE', `/containers/${Id}`)).status, 204);
  });

  test('curl over the socket; logs of a container with frames', { skip: unavailable('curl') }, async () => {
    const curl = async (...args: string[]) => (await begin('curl', ['-sS', '--max-time', '50', '--unix-socket', on.cluster.socket, ...args]).ended).stdout;
    const { Id } = JSON.parse(await curl('-H', 'content-type: application/json', '-d', JSON.stringify({ Image: 'docker.io/library/busybox:latest', Cmd: ['echo', 'hello'], HostConfig }), 'http://docker/v1.24/containers/create')) as { Id: string };
    assert.equal(await curl('-o', '/dev/null', '-w', '%{http_code}', '-X', 'POST', `http://docker/containers/${Id}/start`), '204');
    assert.deepEqual(JSON.parse(await curl('-X', 'POST', `http://docker/containers/${Id}/wait`)), { StatusCode: 0 });
    assert.equal(await curl(`http://docker/containers/${Id}/logs?stdout=1&follow=1`), '\u0001\0\0\0\0\0\0\u0006hello\n');
    assert.match(await curl('http://docker/images/docker.io/library/busybox:latest/json'), /"Id":"sha256:/);
    assert.equal(await curl('-o', '/dev/null', '-w', '%{http_code}', '-X', 'DELETE', `http://docker/containers/${Id}`), '204');
  });

  test('the same API listens on TCP', async () => {
    const [host = '', port = ''] = tcp.split(':');
    const remote = new Docker({ host, port: Number(port) });
    assert.equal((await remote.ping() as Buffer).toString(), 'OK');
    const out = collector();
    const [{ StatusCode }] = await remote.run('busybox', ['echo', 'over tcp'], out.stream, { Tty: true, HostConfig: { ...HostConfig, AutoRemove: true } }) as [{ StatusCode: number }];
    assert.equal(StatusCode, 0);
    await eventually('its output is there', () => out.text() === 'over tcp\r\n');
  });
});

describe('GET /cluster/events', { skip }, () => {
  type Told = { readonly id: number; readonly data: { seq: number; subject: string; events: { type: string }[]; actor: string } };

  async function told(target: string, lastEventId?: number): Promise<Told[]> {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      request({ socketPath: on.cluster.socket, path: target, agent: false, headers: lastEventId === undefined ? {} : { 'last-event-id': String(lastEventId) } }, resolve).once('error', reject).end();
    });
    assert.equal(response.statusCode, 200);
    const blocks = (await text(response)).split('\n\n').filter((block) => block.includes('data: '));
    return blocks.map((block) => ({ id: Number(/^id: (\d+)$/m.exec(block)?.[1]), data: JSON.parse(/^data: (.*)$/m.exec(block)?.[1] ?? '') as Told['data'] }));
  }

  test('every message once, in order; Last-Event-ID resumes without a gap or a repeat; filters narrow', async () => {
    await docker.run('busybox', ['true'], new PassThrough(), { name: 'sse', HostConfig });
    const all = await told('/cluster/events?follow=0');
    assert.deepEqual(all.map(({ id }) => id), all.map(({ data }) => data.seq));
    assert.ok(all.every(({ id }, at) => at === 0 || id > (all[at - 1]?.id ?? 0)));
    const types = all.flatMap(({ data }) => data.events.map(({ type }) => type));
    for (const type of ['HostJoined', 'PlacementRequested', 'ContainerAssigned', 'ContainerCreated', 'ContainerStarted', 'ContainerExited']) assert.ok(types.includes(type), type);
    const middle = all[Math.floor(all.length / 2)]?.id ?? 0;
    const rest = await told('/cluster/events?follow=0', middle);
    assert.deepEqual(rest.map(({ id }) => id).slice(0, all.length), all.map(({ id }) => id).filter((id) => id > middle));
    const ended = await told('/cluster/events?follow=0&container=sse&type=ContainerExited');
    assert.equal(ended.length, 1);
    assert.ok((await told('/cluster/events?follow=0&kind=host')).every(({ data }) => data.subject.startsWith('evt.host.')));
    assert.equal((await on.http('GET', '/cluster/events?follow=0', { headers: { 'last-event-id': '99999999' } })).status, 409);
  });
});
