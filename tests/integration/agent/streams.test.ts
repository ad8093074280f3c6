// attach, logs and exec against real containers: nothing lost, input carried and ended, slow readers only slow themselves.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { NatsEventLog } from '@pouch/eventlog';
import { containerdMissing } from '../../fixtures/containerd.ts';
import { busyboxMissing } from '../../fixtures/images.ts';
import { eventually, host, startFixture, unframe, type Fixture } from './fixture.ts';

const skip = containerdMissing() || busyboxMissing();
const options = { skip, timeout: 180_000 };
const attachAll = { stdin: false, stdout: true, stderr: true, logs: false, stream: true };
const logsAll = { stdout: true, stderr: true, follow: false, timestamps: false, tail: null, sinceNs: null, untilNs: null };
let fixture: Fixture;

before(async () => {
  if (skip !== false) return;
  fixture = await startFixture();
  await fixture.startAgent();
  await eventually(async () => await fixture.client.call(host, 'host.usage', {}).then(() => true, () => false), 'the agent serves calls');
});
after(async () => { await fixture?.stop(); });

test('attach before the start sees all output of the run and ends with it', options, async () => {
  const id = await fixture.created({ cmd: ['sh', '-c', 'echo out; echo err >&2; seq 20000; echo last'] });
  const pipe = await fixture.client.open(host, 'container.attach', { containerId: id, ...attachAll });
  const chunks: Buffer[] = [];
  pipe.on('data', (chunk: Buffer) => chunks.push(chunk));
  pipe.end();
  await fixture.request(id, { kind: 'start' });
  await pipe.trailer;
  const { stdout, stderr } = unframe(Buffer.concat(chunks));
  assert.equal(stderr, 'err\n');
  assert.equal(stdout.split('\n').length, 20_003);
  assert.ok(stdout.endsWith('20000\nlast\n'));
});

test('input reaches the container before and after its start, and its end is EOF', options, async () => {
  const id = await fixture.created({ cmd: ['sh', '-c', 'cat; echo done >&2'], openStdin: true, stdinOnce: true });
  const talk = fixture.converse('container.attach', { containerId: id, ...attachAll, stdin: true }, 'x'.repeat(100_000));
  await fixture.request(id, { kind: 'start' });
  const { stdout, stderr } = await talk;
  assert.equal(stdout.length, 100_000);
  assert.equal(stderr, 'done\n');
  assert.equal((await fixture.untilStatus(id, 'exited')).lastExit.exitCode, 0);
});

test('a client that attaches right after an end belongs to the run that comes next', options, async () => {
  const id = await fixture.created({ cmd: ['wc', '-c'], openStdin: true, stdinOnce: true });
  for (const text of ['one', 'three', 'four', 'seventeen', 'thousand', 'more']) {
    const pipe = await fixture.client.open(host, 'container.attach', { containerId: id, ...attachAll, stdin: true });
    const chunks: Buffer[] = [];
    pipe.on('data', (chunk: Buffer) => chunks.push(chunk));
    pipe.end(text);
    await fixture.request(id, { kind: 'start' });
    await fixture.untilStatus(id, 'exited');
    await pipe.trailer;
    assert.equal(unframe(Buffer.concat(chunks)).stdout, `${text.length}\n`);
    await fixture.until(id, ({ status, requests }) => status === 'exited' && requests.length === 0);
  }
});

test('a terminal is raw, is given input, and several are attached at once', options, async () => {
  const id = await fixture.created({ cmd: ['sh', '-c', 'stty -echo; echo ready; read line; echo "got $line"'], openStdin: true, tty: true });
  const both = await Promise.all([0, 1].map(() => fixture.client.open(host, 'container.attach', { containerId: id, ...attachAll, stdin: true })));
  const texts = ['', ''];
  for (const [at, pipe] of both.entries()) pipe.on('data', (chunk: Buffer) => { texts[at] += chunk.toString(); });
  await fixture.request(id, { kind: 'start' });
  await eventually(() => texts.every((text) => text.includes('ready')), 'both see it');
  await fixture.client.call(host, 'container.resize', { containerId: id, rows: 33, columns: 99 });
  both[0]!.write('hello\n');
  await Promise.all(both.map((pipe) => pipe.trailer));
  assert.deepEqual(texts.map((text) => text.includes('got hello\r\n')), [true, true]);
});

test('a client that leaves does not end a container whose input stays open', options, async () => {
  const id = await fixture.created({ cmd: ['sh', '-c', 'while read line; do echo "got $line"; done'], openStdin: true });
  await fixture.request(id, { kind: 'start' });
  await fixture.untilStatus(id, 'running');
  for (const word of ['one', 'two']) {
    const pipe = await fixture.client.open(host, 'container.attach', { containerId: id, ...attachAll, stdin: true });
    pipe.resume();
    pipe.write(`${word}\n`);
    await eventually(async () => (await fixture.output(id)).includes(`got ${word}`), `it got ${word}`);
    pipe.destroy();
  }
  await fixture.request(id, { kind: 'remove', force: true });
});

test('a reader that stalls does not stall the container or other readers', options, async () => {
  const id = await fixture.created({ cmd: ['sh', '-c', 'head -c 3000000 /dev/zero | tr "\\0" x; echo; echo end'] });
  const stalled = await fixture.client.open(host, 'container.attach', { containerId: id, ...attachAll });
  const quick = fixture.converse('container.attach', { containerId: id, ...attachAll });
  await delay(50);
  await fixture.request(id, { kind: 'start' });
  assert.equal((await quick).stdout.length, 3_000_005);
  await fixture.untilStatus(id, 'exited');
  const chunks: Buffer[] = [];
  stalled.on('data', (chunk: Buffer) => chunks.push(chunk));
  await stalled.trailer;
  assert.ok(unframe(Buffer.concat(chunks)).stdout.endsWith('end\n'));
});

test('logs: all, tail, since, until, timestamps, one stream', options, async () => {
  const id = await fixture.created({ cmd: ['sh', '-c', 'for i in 1 2 3 4 5; do echo line $i; done; echo err >&2; sleep .3; printf unfinished'] });
  await fixture.request(id, { kind: 'start' });
  await fixture.untilStatus(id, 'exited');
  await fixture.agent().idle();
  const read = async (different: object) => await fixture.converse('container.logs', { containerId: id, ...logsAll, ...different });
  assert.deepEqual(await read({}).then(({ stdout, stderr }) => [stdout, stderr]), ['line 1\nline 2\nline 3\nline 4\nline 5\nunfinished', 'err\n']);
  assert.equal((await read({ tail: 2, stderr: false })).stdout, 'line 5\nunfinished');
  assert.equal((await read({ tail: 0 })).raw.length, 0);
  assert.equal((await read({ tail: 1000, stdout: false })).stderr, 'err\n');
  const stamped = (await read({ timestamps: true, stderr: false })).stdout.split('\n');
  assert.equal(stamped.length, 6);
  for (const line of stamped) assert.match(line, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (?:line \d|unfinished)$/);
  const time = (line: string | undefined): string => {
    const [seconds, fraction] = (line ?? '').split(' ')[0]!.slice(0, -1).split('.');
    return `${Date.parse(`${seconds}Z`) / 1000}${fraction}`;
  };
  assert.equal((await read({ sinceNs: time(stamped[5]), stderr: false })).stdout, 'unfinished');
  assert.equal((await read({ untilNs: time(stamped[4]), stderr: false })).stdout.split('\n').length, 6);
});

test('logs that follow go on to the end of the run', options, async () => {
  const id = await fixture.created({ cmd: ['sh', '-c', 'echo first; sleep .5; echo second'] });
  await fixture.request(id, { kind: 'start' });
  await fixture.untilStatus(id, 'running');
  const { stdout } = await fixture.converse('container.logs', { containerId: id, ...logsAll, follow: true });
  assert.equal(stdout, 'first\nsecond\n');
});

test('logs across rotated files keep the newest', options, async () => {
  const id = await fixture.created({ cmd: ['sh', '-c', 'seq 100000'], log: { driver: 'json-file', maxSizeBytes: 100_000, maxFiles: 3 } });
  await fixture.request(id, { kind: 'start' });
  await fixture.untilStatus(id, 'exited');
  await fixture.agent().idle();
  const all = (await fixture.converse('container.logs', { containerId: id, ...logsAll })).stdout.split('\n');
  assert.equal(all.at(-2), '100000');
  assert.ok(all.length > 1_000 && all.length < 80_000, `${all.length}`);
  assert.equal((await fixture.converse('container.logs', { containerId: id, ...logsAll, tail: 20_000 })).stdout.split('\n').length, 20_001);
});

test('exec: output, exit code, input, and its place in the log', options, async () => {
  const id = await fixture.created();
  await fixture.request(id, { kind: 'start' });
  await fixture.untilStatus(id, 'running');
  const plain = await fixture.execOf(id, { args: ['sh', '-c', 'echo out; echo err >&2; exit 9'] });
  const { trailer, stdout, stderr } = await fixture.converse('exec.start', plain);
  assert.deepEqual([trailer.exitCode, stdout, stderr], [9, 'out\n', 'err\n']);
  const told = await fixture.exec(plain.execId);
  assert.equal(told?.status === 'exited' && told.exitCode, 9);
  assert.ok(trailer.seq > 0);
  const fed = await fixture.execOf(id, { args: ['cat'], attach: { stdin: true, stdout: true, stderr: true } });
  assert.equal((await fixture.converse('exec.start', fed, 'y'.repeat(200_000))).stdout.length, 200_000);
  const terminal = await fixture.execOf(id, { args: ['sh', '-c', 'echo hi; tty'], tty: true, attach: { stdin: true, stdout: true, stderr: true } });
  assert.match((await fixture.converse('exec.start', terminal, null)).raw.toString(), /hi\r\n\/dev\/pts\/\d/);
  const missing = await fixture.execOf(id, { args: ['no-such'] });
  const failed = await fixture.converse('exec.start', missing);
  assert.equal(failed.trailer.exitCode, 127);
  assert.match(failed.stderr, /executable file not found/);
  const many = await Promise.all(Array.from({ length: 10 }, async (_, at) => await fixture.converse('exec.start', await fixture.execOf(id, { args: ['echo', `${at}`] }))));
  assert.deepEqual(many.map(({ stdout: text }) => text), Array.from({ length: 10 }, (_, at) => `${at}\n`));
  const rows = await fixture.client.call(host, 'container.top', { containerId: id, psArgs: '' });
  assert.ok(rows.processes.some((row) => row.join(' ').includes('sleep 1000')));
  await fixture.request(id, { kind: 'remove', force: true });
  await fixture.untilStatus(id, 'removed');
});

test('a detached exec is answered at once, and dies with its container', options, async () => {
  const id = await fixture.created();
  await fixture.request(id, { kind: 'start' });
  await fixture.untilStatus(id, 'running');
  const detached = await fixture.execOf(id, { args: ['sleep', '1000'] });
  const { trailer } = await fixture.converse('exec.start', { ...detached, detach: true });
  assert.equal(trailer.exitCode, null);
  assert.equal((await fixture.exec(detached.execId))?.status, 'running');
  const watched = fixture.converse('exec.start', await fixture.execOf(id, { args: ['sh', '-c', 'echo up; sleep 1000'] }));
  await eventually(() => fixture.client.call(host, 'container.top', { containerId: id, psArgs: '' }).then(({ processes }) => processes.length >= 3), 'all run');
  await fixture.request(id, { kind: 'kill', signal: 'SIGKILL' });
  assert.equal((await watched).trailer.exitCode, 137);
  await eventually(async () => (await fixture.exec(detached.execId))?.status === 'exited', 'its end is told');
});

test('an exec is told of where the server that is asked does not know of it yet', options, async (t) => {
  const id = await fixture.created();
  await fixture.request(id, { kind: 'start' });
  await fixture.untilStatus(id, 'running');
  const exec = await fixture.execOf(id, { args: ['sh', '-c', 'exit 3'] });
  // As a replica answers that is behind (seen with three servers, faults at random, seed 31337): the reports of the exec were taken for no news.
  const behind = t.mock.method(NatsEventLog.prototype, 'last', async () => await Promise.resolve(null));
  assert.equal((await fixture.converse('exec.start', exec)).trailer.exitCode, 3);
  behind.mock.restore();
  const told = await fixture.exec(exec.execId);
  assert.ok(told?.status === 'exited', JSON.stringify(told));
  assert.deepEqual([told.exitCode, told.createdAtMs], [3, exec.created.atMs]);
});

test('exec in a container that does not run is refused', options, async () => {
  const id = await fixture.created();
  await assert.rejects(fixture.converse('exec.start', await fixture.execOf(id)), { code: 'not-running' });
  await assert.rejects(fixture.converse('container.logs', { containerId: 'f'.repeat(64), ...logsAll }), { code: 'not-found' });
});
