// GET /events and everything under /cluster over real HTTP, from a real log.
import assert from 'node:assert/strict';
import { get, request as httpRequest, type IncomingMessage } from 'node:http';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClusterContainers, ClusterContainerState, ClusterEvent, ClusterHealth, ClusterHosts, ContainerHistory, RebuildProgress, VerifyReport } from '@pouch/contracts';
import { containerSubject, toMessage } from '@pouch/contracts';
import { startProjectedApi, longMs, type ProjectedApi } from '../../fixtures/projected-api.ts';
import { idOf, LogOfEntries } from '../../fixtures/log-entries.ts';

let api: ProjectedApi;
const log = new LogOfEntries();
/** The log's clock between the first life and what came after. */
let middleMs = 0;

before(async () => {
  api = await startProjectedApi({ streamLimits: { highWaterBytes: 64 * 1024, stallMs: 500 } });
  log.join();
  log.create(1, { name: 'web', spec: { labels: { tier: 'front' } } });
  const startId = log.start(1);
  await api.show(log.entries);
  await delay(20);
  middleMs = Date.now();
  await delay(20);
  log.exit(1, startId, 7);
  log.create(2, { name: 'db' });
  log.exec(1, 1, 3);
  await api.show(log.entries);
});
after(async () => {
  await api.stop();
});

async function json<T>(path: string, init: RequestInit = {}): Promise<{ status: number; body: T }> {
  const response = await fetch(`${api.url}${path}`, init);
  return { status: response.status, body: (await response.json()) as T };
}

const lines = async <T>(path: string): Promise<T[]> => (await (await fetch(`${api.url}${path}`)).text()).split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as T);

interface DockerLine { Type: string; Action: string; Actor: { ID: string; Attributes: Record<string, string> }; time: number; timeNano: number }

/** Blocks of a server-sent stream until `enough`, then the connection is dropped. */
async function sse(path: string, enough: (blocks: readonly string[]) => boolean, headers: Record<string, string> = {}): Promise<string[]> {
  const stop = new AbortController();
  const response = await fetch(`${api.url}${path}`, { headers, signal: AbortSignal.any([stop.signal, AbortSignal.timeout(longMs)]) });
  assert.equal(response.status, 200, response.ok ? '' : await response.text());
  const blocks: string[] = [];
  let rest = '';
  if (enough(blocks)) stop.abort();
  try {
    for await (const chunk of response.body ?? []) {
      const parts = (rest + Buffer.from(chunk as Uint8Array).toString()).split('\n\n');
      rest = parts.pop() ?? '';
      blocks.push(...parts.filter((part) => part.includes('data: ')));
      if (enough(blocks)) break;
    }
  } finally {
    stop.abort();
  }
  return blocks;
}

const dataOf = (block: string) => JSON.parse(/^data: (.*)$/m.exec(block)?.[1] ?? 'null') as ClusterEvent;

test('docker events of the past end at until, in every spelling of time', async () => {
  const now = Date.now() / 1_000;
  for (const until of [String(Math.ceil(now)), now.toFixed(9), new Date().toISOString(), '0s']) {
    const events = await lines<DockerLine>(`/events?since=1&until=${encodeURIComponent(until)}`);
    assert.deepEqual(events.map(({ Action }) => Action), ['create', 'create', 'start', 'die', 'create', 'exec_create: true', 'exec_start: true', 'exec_die'], until);
  }
  const events = await lines<DockerLine>(`/events?until=${now}&filters=${encodeURIComponent('{"container":["web"],"event":{"die":true}}')}`);
  assert.deepEqual(events.map(({ Type, Actor }) => [Type, Actor.Attributes['exitCode'], Actor.Attributes['tier']]), [['container', '7', 'front']]);
  const later = await lines<DockerLine>(`/events?since=${middleMs / 1_000}&until=${now}`);
  assert.deepEqual(later.map(({ Action }) => Action), ['die', 'create', 'exec_create: true', 'exec_start: true', 'exec_die']);
});

test('docker events go from the past to the live without a gap, and end when the client goes', async () => {
  const stop = new AbortController();
  const response = await fetch(`${api.url}/events?since=1&filters=${encodeURIComponent('{"type":["container"],"event":["create","rename"]}')}`, { signal: stop.signal });
  let text = '';
  const names = () => text.split('\n').slice(0, -1).map((line) => JSON.parse(line) as DockerLine).map(({ Action, Actor }) => `${Action} ${Actor.Attributes['name']}`);
  let renamed = false;
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk as Uint8Array).toString();
    if (names().length >= 2 && !renamed) {
      renamed = true;
      log.container('host-1' as never, idOf(2), { type: 'RenameContainer', name: 'db2' });
      await api.append(log.entries);
    }
    if (names().length >= 3) break;
  }
  stop.abort();
  assert.deepEqual(names(), ['create web', 'create db', 'rename db2']);
  for (const end = Date.now() + longMs; api.projection.tail.followers > 0; await delay(10)) assert.ok(Date.now() < end, 'the follower has gone with its client');
});

test('docker events with until in the future end then', async () => {
  const events = await lines<DockerLine>(`/events?until=${(Date.now() + 300) / 1_000}&filters=${encodeURIComponent('{"type":["node"]}')}`);
  assert.deepEqual(events.map(({ Action }) => Action), ['create']);
});

test('bad times, filters and ids are 400 and name the field', async () => {
  for (const [path, field] of [
    ['/events?since=yesterday', 'since'], ['/events?until=1e9', 'until'], ['/events?filters={', 'filters'], ['/events?filters={"x":["y"]}', 'x'], ['/events?since=20&until=10', 'until'],
    ['/cluster/events?since=never', 'since'], ['/cluster/events?afterSeq=-1', 'afterSeq'], ['/cluster/events?afterSeq=x', 'afterSeq'], ['/cluster/containers?at=soon', 'at'], ['/cluster/containers/web/history?limit=0', 'limit'],
  ] as const) {
    const { status, body } = await json<{ message: string }>(path);
    assert.equal(status, 400, path);
    assert.ok(body.message.includes(field), `${path}: ${body.message}`);
  }
  assert.equal((await json('/cluster/containers/nosuch')).status, 404);
  assert.equal((await json('/cluster/containers/nosuch/history')).status, 404);
  assert.equal((await json('/cluster/events', { headers: { 'last-event-id': 'abc' } })).status, 400);
  assert.equal((await json('/cluster/events', { headers: { 'last-event-id': '99999999' } })).status, 409);
});

test('cluster events: the whole past, by filters, without the snapshots', async () => {
  const all = (await sse('/cluster/events?follow=0', () => false)).map(dataOf);
  assert.deepEqual(all.map(({ seq }) => seq), Array.from({ length: all.length }, (_, i) => i + 1));
  assert.equal(all.length, log.seq);
  const [join, asked] = all;
  assert.deepEqual([join?.kind, join?.hostId, join?.events[0]?.type, asked?.kind, asked?.name, asked?.actor], ['host', 'host-1', 'HostJoined', 'placement', 'web', 'tester']);
  assert.ok(!('snapshot' in (asked as object)));
  const kinds = async (query: string) => (await sse(`/cluster/events?follow=0&${query}`, () => false)).map(dataOf);
  assert.deepEqual((await kinds('kind=exec')).map(({ events }) => events[0]?.type), ['ExecCreated', 'ExecStarted', 'ExecExited']);
  assert.deepEqual((await kinds('type=ContainerExited,HostJoined')).map(({ kind }) => kind), ['host', 'container']);
  assert.ok((await kinds('container=web')).every(({ id, kind }) => id === idOf(1) || kind === 'exec'));
  assert.equal((await kinds('container=web&kind=container&kind=exec')).length, 8);
  assert.equal((await kinds('host=elsewhere')).length, 0);
  assert.equal((await kinds('actor=nobody')).length, 0);
  assert.ok((await kinds(`since=${middleMs / 1_000}`)).every(({ storedAtMs }) => storedAtMs >= middleMs));
  assert.ok((await kinds(`until=${middleMs / 1_000}`)).every(({ storedAtMs }) => storedAtMs <= middleMs));
});

test('Last-Event-ID resumes without a gap or a repeat while the log goes on', async () => {
  const first = (await sse('/cluster/events?since=1', (blocks) => blocks.length >= 5)).map(dataOf);
  const lastSeen = first.at(-1)?.seq ?? 0;
  const target = log.seq + 40;
  const more = (async () => {
    for (let n = 20; log.seq < target; n++) {
      log.create(n);
      await api.append(log.entries);
    }
  })();
  const rest = (await sse('/cluster/events', (blocks) => blocks.length >= target - lastSeen, { 'last-event-id': String(lastSeen) })).map(dataOf);
  await more;
  assert.deepEqual(rest.slice(0, target - lastSeen).map(({ seq }) => seq), Array.from({ length: target - lastSeen }, (_, i) => lastSeen + 1 + i));
});

test('a client that does not read is cut, with a last message that says so', async () => {
  const big = { labels: { padding: 'x'.repeat(20_000) } };
  for (let n = 1_000; n < 1_150; n++) log.create(n, { spec: big });
  await api.show(log.entries);
  const response = await new Promise<IncomingMessage>((resolve, reject) => get(`${api.url}/cluster/events?afterSeq=0`, resolve).on('error', reject));
  response.pause();
  // Nobody reads: the server gives up after its time, and the last words are in its buffer.
  for (const end = Date.now() + longMs; api.projection.tail.followers > 0; await delay(20)) assert.ok(Date.now() < end, 'the server gives up');
  let text = '';
  response.setEncoding('utf8');
  for await (const chunk of response) text += String(chunk);
  assert.match(text.slice(-400), /event: error\ndata: {"code":"slow-reader","message":"[^"]+","seq":\d+}\n\n$/);
  const ids = [...text.matchAll(/^id: (\d+)$/gm)].map((match) => Number(match[1]));
  assert.ok(ids.length > 0 && ids.length < api.projection.seq, 'it was cut before the end');
  assert.equal(Number(/"seq":(\d+)}\n\n$/.exec(text)?.[1]), ids.at(-1), 'it can resume where it was cut');
});

test('the cluster as it was, and a container whole', async () => {
  const at = new Date(middleMs).toISOString();
  const then = await json<ClusterContainers>(`/cluster/containers?at=${at}`);
  assert.deepEqual(then.body.containers.map(({ name, status }) => [name, status]), [['web', 'running']]);
  assert.equal(then.body.atMs, middleMs);
  const now = await json<ClusterContainers>('/cluster/containers');
  assert.ok(now.body.containers.some(({ name }) => name === 'db2'));
  for (const reference of ['web', idOf(1), idOf(1).slice(0, 8), '%2Fweb']) {
    const one = await json<ClusterContainerState>(`/cluster/containers/${reference}?at=${at}`);
    assert.deepEqual([one.status, one.body.state.status, one.body.summary.image], [200, 'running', 'busybox'], reference);
  }
  const present = await json<ClusterContainerState>('/cluster/containers/web');
  assert.deepEqual([present.body.state.status, present.body.summary.exitCode], ['exited', 7]);
  assert.equal((await json(`/cluster/containers/db2?at=${at}`)).status, 404);
  assert.equal((await json<ClusterContainers>('/cluster/containers?at=1h')).body.containers.length, 0);
  assert.equal((await json(`/cluster/containers/0000?at=${Date.now() / 1_000}`)).status, 400);
});

test('the history of a container, by pages, also after its end', async () => {
  log.remove(2);
  await api.show(log.entries);
  const seen: ClusterEvent[] = [];
  for (let afterSeq: number | null = 0; afterSeq !== null; ) {
    const page: ContainerHistory = (await json<ContainerHistory>(`/cluster/containers/${idOf(2).slice(0, 8)}/history?limit=2&afterSeq=${afterSeq}`)).body;
    assert.ok(page.events.length <= 2);
    seen.push(...page.events);
    afterSeq = page.nextSeq;
  }
  assert.deepEqual(seen.flatMap(({ events }) => events.map(({ type }) => type)), ['PlacementRequested', 'ContainerPlaced', 'ContainerAssigned', 'ContainerCreated', 'ContainerRenamed', 'ContainerRequested', 'ContainerRemoved']);
});

test('hosts and health, without a scheduler', async () => {
  const hosts = await json<ClusterHosts>('/cluster/hosts');
  assert.deepEqual(hosts.body.hosts.map(({ id, state, beat }) => [id, state, beat]), [['host-1', 'up', null]]);
  assert.equal(hosts.body.hosts[0]?.facts.runtimes[0]?.name, 'runc');
  const health = await json<ClusterHealth>('/cluster/health');
  assert.equal(health.body.status, 'degraded');
  assert.deepEqual(health.body.problems, ['no scheduler answers: new containers are not placed']);
  assert.equal(health.body.log.available, true);
});

test('verify agrees with a sound log, and finds a snapshot that its events do not lead to', async () => {
  const sound = await json<VerifyReport>('/cluster/verify');
  assert.deepEqual([sound.status, sound.body.ok, sound.body.mismatches], [200, true, []]);
  assert.equal(sound.body.checked, log.seq);
  const subject = containerSubject('host-1' as never, idOf(1));
  const last = await api.log.last(subject);
  assert.ok(last !== null);
  const forged = { ...last.message, id: 'forged', events: [{ type: 'ContainerOomKilled', atMs: 1 }], snapshot: { ...last.message.snapshot, name: 'forged' } };
  const { seq } = await api.log.append({ subject, message: toMessage(forged), expectedSeq: last.seq });
  const found = await json<VerifyReport>('/cluster/verify');
  assert.equal(found.body.ok, false);
  assert.deepEqual(found.body.mismatches.map((mismatch) => [mismatch.subject, mismatch.seq, mismatch.problem]), [[subject, seq, 'fold']]);
  assert.match(found.body.mismatches[0]?.message ?? '', /name is "forged", the fold gives "web"/);
});

test('rebuild tells its progress line by line and ends with done', async () => {
  const response = await fetch(`${api.url}/cluster/rebuild`, { method: 'POST' });
  const steps = (await response.text()).trim().split('\n').map((line) => JSON.parse(line) as RebuildProgress);
  assert.equal(steps.at(-1)?.state, 'done');
  assert.equal(steps.at(-1)?.seq, api.projection.seq);
  assert.equal((await json('/cluster/containers')).status, 200);
});

test('a client that resets its connection in the middle leaves nothing behind', async () => {
  await new Promise<void>((resolve) => {
    const client = httpRequest(`${api.url}/cluster/events?afterSeq=0`, (response) => {
      response.once('data', () => client.destroy());
      response.on('close', resolve);
      response.on('error', () => resolve());
    });
    client.on('error', () => resolve());
    client.end();
  });
  for (const end = Date.now() + longMs; api.projection.tail.followers > 0; await delay(10)) assert.ok(Date.now() < end, 'its follower has gone');
});
