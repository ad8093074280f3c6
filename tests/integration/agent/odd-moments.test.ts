// What is asked of containers at odd moments: half-told pauses, starts and kills between two restarts, slow clients.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { windowBytes } from '@pouch/pipes';
import { Store } from '../../../services/agent/src/store/store.ts';
import { containerdMissing } from '../../fixtures/containerd.ts';
import { busyboxMissing } from '../../fixtures/images.ts';
import { eventually, host, startFixture, unframe, type Fixture } from './fixture.ts';

const skip = containerdMissing() || busyboxMissing();
const options = { skip, timeout: 240_000 };
let fixture: Fixture;

before(async () => {
  if (skip !== false) return;
  fixture = await startFixture();
  await fixture.startAgent();
});
after(async () => { if (skip === false) await fixture.stop(); });

test('a pause and an unpause that were done but not told when the agent died are told, not refused', options, async () => {
  const id = await fixture.created();
  await fixture.request(id, { kind: 'start' });
  await fixture.untilStatus(id, 'running');
  await fixture.stopAgent();
  await fixture.request(id, { kind: 'pause' });
  await fixture.containerd.client.tasks.pause(id);
  await fixture.startAgent();
  assert.deepEqual((await fixture.until(id, ({ requests }) => requests.length === 0)).failures, []);
  await fixture.untilStatus(id, 'paused');
  await fixture.stopAgent();
  await fixture.request(id, { kind: 'unpause' });
  await fixture.containerd.client.tasks.resume(id);
  await fixture.startAgent();
  assert.deepEqual((await fixture.until(id, ({ requests }) => requests.length === 0)).failures, []);
  await fixture.untilStatus(id, 'running');
});

test('a container that is paused without the log knowing can be stopped and removed', options, async () => {
  const [stopped, removed] = await Promise.all([fixture.created(), fixture.created()]);
  for (const id of [stopped, removed]) {
    await fixture.request(id, { kind: 'start' });
    await fixture.untilStatus(id, 'running');
  }
  await fixture.stopAgent();
  for (const id of [stopped, removed]) await fixture.containerd.client.tasks.pause(id);
  await fixture.startAgent();
  await fixture.request(stopped, { kind: 'stop', signal: 'SIGTERM', timeoutSeconds: 1 });
  await fixture.request(removed, { kind: 'remove', force: true });
  await fixture.untilStatus(stopped, 'exited');
  await fixture.untilStatus(removed, 'removed');
});

test('between two restarts: a start by hand that fails is answered, a kill ends the restarting', options, async () => {
  const owner = await fixture.created();
  const different = { network: { mode: 'container', containerId: owner }, cmd: ['sleep', '1'], restartPolicy: { name: 'always', maximumRetryCount: 0 } } as const;
  const guests = await Promise.all([fixture.created(different), fixture.created(different)]);
  await fixture.request(owner, { kind: 'start' });
  await fixture.untilStatus(owner, 'running');
  for (const id of guests) await fixture.request(id, { kind: 'start' });
  for (const id of guests) await fixture.untilStatus(id, 'running');
  await fixture.request(owner, { kind: 'kill', signal: 'SIGKILL' });
  await fixture.untilStatus(owner, 'exited');
  const [started, killed] = guests;
  for (const id of guests) await fixture.until(id, (container) => container.status === 'restarting' && container.backoffStep > 2);
  const startId = await fixture.request(started, { kind: 'start' });
  const { failures, requests } = await fixture.until(started, (container) => container.failures.length > 0);
  assert.deepEqual([failures.map(({ commandId }) => commandId), requests], [[startId], []]);
  await fixture.request(killed, { kind: 'kill', signal: 'SIGKILL' });
  assert.deepEqual((await fixture.untilStatus(killed, 'exited')).requests, []);
});

test('an exec whose client reads slowly loses none of its output; children that outlive it are not waited for', options, async () => {
  const id = await fixture.created();
  await fixture.request(id, { kind: 'start' });
  await fixture.untilStatus(id, 'running');
  // More than the pipe's window, less than it and a FIFO hold, which would keep the process from ending.
  const bytes = windowBytes + 60 * 1024;
  const slow = await fixture.execOf(id, { args: ['sh', '-c', `head -c ${bytes} /dev/zero; echo end >&2`] });
  const pipe = await fixture.client.open(host, 'exec.start', slow);
  pipe.end();
  await eventually(async () => (await fixture.exec(slow.execId))?.status === 'exited', 'the process has ended');
  await delay(3_500);
  const { stdout, stderr } = unframe(await buffer(pipe));
  assert.deepEqual([stdout.length, stderr], [bytes, 'end\n']);
  const outlived = await fixture.converse('exec.start', await fixture.execOf(id, { args: ['sh', '-c', 'sleep 300 & echo started'] }));
  assert.deepEqual([outlived.stdout, outlived.trailer.exitCode], ['started\n', 0]);
});

test('an exec that was added but not started when the agent died is ended', options, async () => {
  const id = await fixture.created();
  await fixture.request(id, { kind: 'start' });
  await fixture.untilStatus(id, 'running');
  const { execId } = await fixture.execOf(id);
  await fixture.stopAgent();
  const store = new Store(join(fixture.directory, 'data', 'agent.db'));
  store.saveExec({ execId, containerId: id });
  store.close();
  const { tasks } = fixture.containerd.client;
  await tasks.exec({ containerId: id, execId, process: { args: ['true'], cwd: '/', env: [], user: { uid: 0, gid: 0 } } });
  await fixture.startAgent();
  await eventually(async () => (await fixture.exec(execId))?.status === 'exited', 'its end is told');
  await assert.rejects(tasks.get(id, { execId }), { code: 'not-found' });
});

test('an exec that ended in an earlier life of the agent is not started again by a client that has not heard of it', options, async () => {
  const id = await fixture.created();
  await fixture.request(id, { kind: 'start' });
  await fixture.untilStatus(id, 'running');
  const exec = await fixture.execOf(id, { args: ['sh', '-c', 'echo once >> /tmp/ran'] });
  assert.equal((await fixture.converse('exec.start', exec)).trailer.exitCode, 0);
  await fixture.stopAgent();
  await fixture.startAgent();
  await assert.rejects(fixture.converse('exec.start', exec), /has been started already/);
  assert.equal((await fixture.converse('exec.start', await fixture.execOf(id, { args: ['cat', '/tmp/ran'] }))).stdout, 'once\n');
});

test('the last thousand ends of execs are remembered, no more', () => {
  const store = new Store(':memory:');
  try {
    const ids = Array.from({ length: 1_030 }, (_, at) => at.toString(16).padStart(64, '0'));
    for (const execId of ids) {
      store.saveExec({ execId, containerId: 'c' });
      store.endExec(execId);
    }
    assert.deepEqual(store.execs(), []);
    assert.equal(ids.filter((execId) => store.hasExec(execId)).length, 1_024);
    assert.equal(store.hasExec(ids.at(-1) ?? ''), true);
  } finally {
    store.close();
  }
});
