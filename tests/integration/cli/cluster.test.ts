// What the CLI says about the cluster, against a stand-in that answers with the contracts' shapes.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { ServerResponse } from 'node:http';
import type { ClusterContainer, ClusterContainers, ClusterEvent, ClusterHosts, DrainProgress, RebuildProgress, VerifyReport } from '@pouch/contracts';
import { DockerApiStandIn, type Seen } from './docker-api-stand-in.ts';
import { pouch, startPouch } from './run-pouch.ts';

async function standIn(t: TestContext): Promise<DockerApiStandIn> {
  const api = await new DockerApiStandIn().start();
  t.after(() => api.stop());
  return api;
}
const answers = (api: DockerApiStandIn, method: string, path: RegExp, value: unknown) =>
  api.routes.push({ method, path, answer: (_seen, response) => void response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value)) });

const event = (seq: number): ClusterEvent => ({ seq, subject: `evt.container.h1.${'a'.repeat(64)}`, kind: 'container', hostId: 'h1', id: 'a'.repeat(64), name: 'web', events: [{ type: 'ContainerStarted' }], service: 'agent', actor: 'agent', cause: null, commandId: `c${seq}`, atMs: 1_700_000_000_000 + seq, storedAtMs: 1_700_000_000_000 + seq });

test('ps --at and inspect --at ask for the instant and print what was', async (t) => {
  const api = await standIn(t);
  const atMs = Date.parse('2026-01-31T12:00:00Z');
  const container: ClusterContainer = { id: 'b'.repeat(64), name: 'web', hostId: 'h1', status: 'running', image: 'busybox', imageId: 'sha256:x', runtime: 'runc', command: ['sh'], labels: { team: 'a' }, createdAtMs: atMs - 10_000, startedAtMs: atMs - 5000, finishedAtMs: null, exitCode: null, health: null, restartCount: 0, seq: 7 };
  const answer: ClusterContainers = { atMs, seq: 9, containers: [container, { ...container, id: 'c'.repeat(64), name: 'gone', status: 'exited', exitCode: 3, finishedAtMs: atMs - 3_600_000 }] };
  answers(api, 'GET', /^\/cluster\/containers$/, answer);
  answers(api, 'GET', /^\/cluster\/containers\/web$/, { atMs, seq: 9, storedAtMs: atMs, summary: container, state: { id: container.id, status: 'running' } });
  const { stdout } = await pouch(api, ['ps', '--at', '2026-01-31T12:00:00Z']);
  assert.deepEqual(stdout.split('\n').map((line) => line.split(/ {2,}/)).slice(0, 3), [['Name', 'ID', 'Status', 'Image', 'Runtime'], ['web', 'bbbbbb', 'Up 5 seconds', 'busybox', 'runc'], ['gone', 'cccccc', 'Exited (3) About an hour ago', 'busybox', 'runc']]);
  assert.equal(api.seen[0]?.query['at'], String(atMs / 1000));
  assert.equal((await pouch(api, ['ps', '-q', '--at', '10m', '-f', 'status=exited', '-f', 'label=team'])).stdout, 'cccccc\n');
  assert.equal((await pouch(api, ['ps', '--at', '10m', '-f', 'volume=x'])).code, 125);
  assert.equal((await pouch(api, ['inspect', '--at', '10m', '-f', '{{.state.status}}', 'web'])).stdout, 'running\n');
});

test('cluster hosts prints a row a host', async (t) => {
  const api = await standIn(t);
  const answer: ClusterHosts = { hosts: [{ id: 'h1', state: 'up', stateSinceMs: 0, joinedAtMs: 0, cordoned: true, labels: { rack: 'r1' }, drain: null, reserved: { cpuNanos: 0, memoryBytes: 2 ** 30, pids: 0 }, containers: { total: 3, running: 1 }, beat: null, lastBeatAtMs: null, facts: { hostname: 'h1', address: '10.0.0.1', labels: {}, capacity: { cpuNanos: 2e9, memoryBytes: 8 * 2 ** 30 }, platform: { os: 'linux', architecture: 'amd64', osName: 'x', kernelVersion: '6', cgroupVersion: 2 }, runtimes: [{ name: 'runc', path: 'runc' }, { name: 'runv', path: 'runv' }], versions: { agent: '1', containerd: '1', runc: '1' }, warnings: [] } }] };
  answers(api, 'GET', /^\/cluster\/hosts$/, answer);
  const [, row] = (await pouch(api, ['cluster', 'hosts'])).stdout.split('\n').map((line) => line.split(/ {2,}/));
  assert.deepEqual(row, ['h1', 'up, cordoned', '10.0.0.1', '1 of 3 running', '2', '8GiB', '1GiB', 'runc,runv', 'none', 'rack=r1', 'none']);
});

test('cluster hosts label, cordon, uncordon and rm ask for what was said', async (t) => {
  const api = await standIn(t);
  api.routes.push({ method: 'POST', path: /^\/cluster\/hosts\/a\/labels$/, answer: (_seen, response) => void response.writeHead(200).end(JSON.stringify({ labels: { rack: 'r1', plain: '' } })) });
  for (const [method, path] of [['POST', /^\/cluster\/hosts\/[ab]\/(?:un)?cordon$/], ['DELETE', /^\/cluster\/hosts\/a$/]] as const) api.routes.push({ method, path, answer: (_seen, response) => void response.writeHead(204).end() });
  assert.deepEqual(await pouch(api, ['cluster', 'hosts', 'label', 'a', 'rack=r1', 'disk-', 'plain=']), { code: 0, stdout: 'plain,rack=r1\n', stderr: '' });
  assert.deepEqual(api.seen.at(-1)?.body, { set: { rack: 'r1', plain: '' }, remove: ['disk'] });
  assert.equal((await pouch(api, ['cluster', 'hosts', 'label', 'a', 'rack'])).code, 125);
  assert.equal((await pouch(api, ['cluster', 'hosts', 'cordon', 'a', 'b'])).stdout, 'a\nb\n');
  assert.equal((await pouch(api, ['cluster', 'hosts', 'uncordon', 'a'])).stdout, 'a\n');
  assert.equal((await pouch(api, ['cluster', 'hosts', 'rm', '--force', 'a'])).stdout, 'a\n');
  assert.equal(api.seen.at(-1)?.query['force'], '1');
});

test('cluster hosts drain tells its progress and why containers stay, and fails where it did not end', async (t) => {
  const api = await standIn(t);
  const line = (progress: DrainProgress): string => `${JSON.stringify(progress)}\n`;
  const left = [{ id: 'c'.repeat(64), name: 'db', reason: 'it is not to be moved' }];
  let lines = line({ state: 'draining', moved: 0, moving: [{ id: 'd'.repeat(64), name: 'web' }], left }) + line({ state: 'drained', moved: 1, moving: [], left });
  api.routes.push({ method: 'POST', path: /^\/cluster\/hosts\/a\/drain$/, answer: (_seen, response) => void response.writeHead(200).end(lines) });
  assert.deepEqual(await pouch(api, ['cluster', 'hosts', 'drain', 'a']), { code: 0, stdout: 'a is drained: 1 moved, 1 stay\n  db: it is not to be moved\n', stderr: '0 moved, 1 moving, 1 there still\n' });
  lines = line({ state: 'draining', moved: 0, moving: [], left });
  assert.equal((await pouch(api, ['cluster', 'hosts', 'drain', 'a'])).code, 1);
  lines = line({ state: 'ended', moved: 0, moving: [], left });
  assert.match((await pouch(api, ['cluster', 'hosts', 'drain', 'a'])).stderr, /is not being drained any more/);
});

test('cluster verify ends with 1 where anything differs', async (t) => {
  const api = await standIn(t);
  const report: VerifyReport = { ok: false, checked: 5, subjects: 2, seq: 5, passedOver: 0, mismatchCount: 1, tookMs: 5, mismatches: [{ subject: 'evt.host.h1', seq: 2, problem: 'projection', message: 'state differs' }] };
  answers(api, 'GET', /^\/cluster\/verify$/, report);
  const { code, stdout } = await pouch(api, ['cluster', 'verify']);
  assert.equal(code, 1);
  assert.match(stdout, /1 mismatches[\s\S]*projection evt\.host\.h1 at 2: state differs/);
});

test('cluster rebuild tells how it went, and fails where it did', async (t) => {
  const api = await standIn(t);
  const progress = (state: RebuildProgress['state'], seq: number, error: string | null = null): string => `${JSON.stringify({ state, seq, targetSeq: 10, messages: seq, elapsedMs: 500, messagesPerSecond: seq * 2, error } satisfies RebuildProgress)}\n`;
  let lines = progress('rebuilding', 5) + progress('done', 10);
  api.routes.push({ method: 'POST', path: /^\/cluster\/rebuild$/, answer: (_seen, response) => void response.writeHead(200).end(lines) });
  assert.deepEqual(await pouch(api, ['cluster', 'rebuild']), { code: 0, stdout: 'Rebuilt from 10 messages, up to sequence 10, in 0.50 s\n', stderr: '' });
  lines = progress('failed', 5, 'disk full');
  assert.match((await pouch(api, ['cluster', 'rebuild'])).stderr, /^pouch: the rebuild failed: disk full \(.*\)\n$/);
  lines = progress('rebuilding', 5);
  assert.equal((await pouch(api, ['cluster', 'rebuild'])).code, 1);
});

test('cluster events resume after the last sequence when the connection breaks, without a gap or a repeat', async (t) => {
  const api = await standIn(t);
  const sent: (string | undefined)[] = [];
  const serve = (seen: Seen, response: ServerResponse) => {
    sent.push(seen.headers['last-event-id'] as string | undefined);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const from = Number(seen.headers['last-event-id'] ?? 0);
    const say = (seq: number) => response.write(`id: ${seq}\ndata: ${JSON.stringify(event(seq))}\n\n`);
    response.write('retry: 1\n\n');
    say(from + 1);
    if (from === 0) {
      // Cut in the middle of an event: it must come again, whole.
      response.write(`id: ${from + 2}\ndata: {"seq`, () => response.destroy());
    } else if (from === 1) response.end(`event: error\ndata: ${JSON.stringify({ code: 'slow-reader', message: 'you read too slowly', seq: from + 1 })}\n\n`);
  };
  api.routes.push({ method: 'GET', path: /^\/cluster\/events$/, answer: serve });
  const follower = startPouch(api, ['cluster', 'events', '--type', 'A,B', '--type', 'C', '--format', '{{.seq}}']);
  await follower.says('1\n2\n3\n');
  follower.child.kill('SIGINT');
  const { stderr, stdout } = await follower.ended;
  assert.equal(stdout, '1\n2\n3\n');
  assert.match(stderr, /you read too slowly; resuming after sequence 2/);
  assert.deepEqual(sent, [undefined, '1', '2']);
  assert.equal(api.seen[0]?.query['type'], 'A,B,C');
});

test('cluster events give up where the API refuses, and end by themselves with --no-follow', async (t) => {
  const api = await standIn(t);
  api.routes.push({ method: 'GET', path: /^\/cluster\/events$/, answer: (seen, response) => {
    if (seen.query['kind'] === 'nonsense') return void response.writeHead(400).end('{"message":"kind: nonsense"}');
    response.writeHead(200).end(`id: 1\ndata: ${JSON.stringify(event(1))}\n\n`);
  } });
  assert.deepEqual(await pouch(api, ['cluster', 'events', '--kind', 'nonsense']), { code: 1, stdout: '', stderr: 'pouch: kind: nonsense\n' });
  const { code, stdout } = await pouch(api, ['cluster', 'events', '--no-follow']);
  assert.equal(code, 0);
  assert.match(stdout, /^1 2023-11-14T22:13:20.001Z container web \(aaaaaaaaaaaa on h1\) ContainerStarted by agent\n$/);
});

test('docker events: since and until as times, lines for people and for programs', async (t) => {
  const api = await standIn(t);
  const one = { Type: 'container', Action: 'die', Actor: { ID: 'abc', Attributes: { exitCode: '0' } }, time: 1_700_000_000, timeNano: 1_700_000_000_000_000_000 };
  api.routes.push({ method: 'GET', path: /^\/events$/, answer: (_seen, response) => void response.writeHead(200).end(`${JSON.stringify(one)}\n`) });
  assert.equal((await pouch(api, ['events', '--since', '2023-11-14T00:00:00Z', '--until', '1800000000', '-f', 'event=die'])).stdout, '2023-11-14T22:13:20.000000000Z container die abc (exitCode=0)\n');
  assert.deepEqual({ ...api.seen[0]?.query }, { since: '1699920000', until: '1800000000', filters: '{"event":["die"]}' });
  assert.deepEqual(JSON.parse((await pouch(api, ['events', '--format', 'json'])).stdout), one);
});
