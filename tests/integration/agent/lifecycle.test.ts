// The agent makes containers be what the log wants of them, and tells what became of them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { containerdMissing } from '../../fixtures/containerd.ts';
import { busyboxMissing } from '../../fixtures/images.ts';
import { eventually, leftovers, startFixture, type Fixture } from './fixture.ts';

const skip = containerdMissing() || busyboxMissing();
const options = { skip, timeout: 180_000 };
let fixture: Fixture;

before(async () => {
  if (skip !== false) return;
  fixture = await startFixture();
  await fixture.startAgent();
});
after(async () => { await fixture?.stop(); });

test('create, start, exit with its code, remove; nothing is left behind', options, async () => {
  const id = await fixture.created({ cmd: ['sh', '-c', 'echo hello; echo oops >&2; exit 7'] });
  const startId = await fixture.request(id, { kind: 'start' });
  const { lastExit } = await fixture.untilStatus(id, 'exited');
  assert.equal(lastExit.exitCode, 7);
  assert.equal(lastExit.startId, startId);
  assert.ok(lastExit.finishedAtMs >= lastExit.startedAtMs);
  await fixture.agent().idle();
  assert.equal((await fixture.output(id)).split('\n').toSorted().join(' ').trim(), 'hello oops');
  await fixture.request(id, { kind: 'remove', force: false });
  await fixture.untilStatus(id, 'removed');
  await eventually(async () => (await fixture.containerd.client.containers.list()).every((one) => one.id !== id), 'the record is gone');
  assert.deepEqual((await fixture.containerd.client.snapshots.list()).filter(({ name }) => name === id), []);
  assert.deepEqual(Object.values(leftovers(fixture)).flat().filter((name) => name.includes(id)), []);
});

test('a command that is not there fails the start with 127, and the container can be removed', options, async () => {
  const id = await fixture.created({ cmd: ['no-such-command'] });
  const startId = await fixture.request(id, { kind: 'start' });
  const failed = await fixture.until(id, (container) => container.failures.length > 0);
  assert.match(failed.failures[0]?.message ?? '', /executable file not found/);
  assert.equal(failed.failures[0]?.commandId, startId);
  assert.equal('lastExit' in failed && failed.lastExit?.exitCode, 127);
  await fixture.request(id, { kind: 'remove', force: false });
  await fixture.untilStatus(id, 'removed');
});

test('a stop signal that is heeded ends the container; one that is not is followed by SIGKILL', options, async () => {
  const polite = await fixture.created({ cmd: ['sh', '-c', 'trap "exit 3" TERM; echo ready; while true; do sleep .1; done'] });
  await fixture.request(polite, { kind: 'start' });
  await fixture.untilStatus(polite, 'running');
  await eventually(async () => (await fixture.output(polite)).includes('ready'), 'the trap is set');
  await fixture.request(polite, { kind: 'stop', signal: 'SIGTERM', timeoutSeconds: 60 });
  assert.equal((await fixture.untilStatus(polite, 'exited')).lastExit.exitCode, 3);
  const deaf = await fixture.created({ cmd: ['sh', '-c', 'trap "" TERM; echo ready; while true; do sleep .1; done'] });
  await fixture.request(deaf, { kind: 'start' });
  await eventually(async () => (await fixture.output(deaf)).includes('ready'), 'the trap is set');
  await fixture.request(deaf, { kind: 'stop', signal: 'SIGTERM', timeoutSeconds: 1 });
  assert.equal((await fixture.untilStatus(deaf, 'exited')).lastExit.exitCode, 137);
});

test('a kill interrupts the grace period of a stop', options, async () => {
  const id = await fixture.created({ cmd: ['sh', '-c', 'trap "" TERM; echo ready; while true; do sleep .1; done'] });
  await fixture.request(id, { kind: 'start' });
  await eventually(async () => (await fixture.output(id)).includes('ready'), 'the trap is set');
  await fixture.request(id, { kind: 'stop', signal: 'SIGTERM', timeoutSeconds: -1 });
  await fixture.request(id, { kind: 'kill', signal: 'SIGKILL' });
  const { lastExit } = await fixture.untilStatus(id, 'exited');
  assert.equal(lastExit.exitCode, 137);
  await fixture.until(id, ({ requests }) => requests.length === 0);
});

test('restart ends one run and begins another', options, async () => {
  const id = await fixture.created();
  await fixture.request(id, { kind: 'start' });
  const first = await fixture.untilStatus(id, 'running');
  const restart = await fixture.request(id, { kind: 'restart', signal: 'SIGKILL', timeoutSeconds: 5 });
  const second = await fixture.until(id, (container) => container.status === 'running' && container.run.startId === restart);
  assert.notEqual(second.status === 'running' && second.run.pid, first.run.pid);
  await fixture.request(id, { kind: 'remove', force: true });
  await fixture.untilStatus(id, 'removed');
});

test('pause and unpause; a paused container can be killed', options, async () => {
  const id = await fixture.created();
  await fixture.request(id, { kind: 'start' });
  await fixture.untilStatus(id, 'running');
  await fixture.request(id, { kind: 'pause' });
  await fixture.untilStatus(id, 'paused');
  await fixture.request(id, { kind: 'unpause' });
  await fixture.untilStatus(id, 'running');
  await fixture.request(id, { kind: 'pause' });
  await fixture.untilStatus(id, 'paused');
  await fixture.request(id, { kind: 'kill', signal: 'SIGKILL' });
  assert.equal((await fixture.untilStatus(id, 'exited')).lastExit.exitCode, 137);
});

test('on-failure restarts up to its limit', options, async () => {
  const id = await fixture.created({ cmd: ['false'], restartPolicy: { name: 'on-failure', maximumRetryCount: 2 } });
  await fixture.request(id, { kind: 'start' });
  const ended = await fixture.untilStatus(id, 'exited');
  assert.equal(ended.restartCount, 2);
  assert.equal(fixture.events(id).filter(({ type }) => type === 'ContainerStarted').length, 3);
});

test('auto-removal follows the exit', options, async () => {
  const id = await fixture.created({ cmd: ['true'], autoRemove: true });
  await fixture.request(id, { kind: 'start' });
  const removed = await fixture.until(id, (container) => container.status === 'removed');
  assert.equal(removed.status === 'removed' && removed.lastExit?.exitCode, 0);
});

test('another container\'s network is joined while it runs, and refused when it does not', options, async () => {
  const owner = await fixture.created();
  const guest = await fixture.created({ cmd: ['sh', '-c', 'readlink /proc/self/ns/net; sleep 1000'], network: { mode: 'container', containerId: owner } });
  await fixture.request(guest, { kind: 'start' });
  const refused = await fixture.until(guest, (container) => container.failures.length > 0);
  assert.match(refused.failures[0]?.message ?? '', /non running container/);
  await fixture.request(owner, { kind: 'start' });
  const { run } = await fixture.untilStatus(owner, 'running');
  await fixture.request(guest, { kind: 'start' });
  await fixture.untilStatus(guest, 'running');
  const { readlinkSync } = await import('node:fs');
  const namespace = readlinkSync(`/proc/${run.pid}/ns/net`);
  await eventually(async () => (await fixture.output(guest)).includes(namespace), 'it tells its namespace');
});

test('an unknown runtime is rejected with the known ones', options, async () => {
  const id = await fixture.assign({ runtime: 'nope' });
  const removed = await fixture.until(id, (container) => container.status === 'removed');
  assert.equal(removed.status === 'removed' && removed.reason.kind, 'rejected');
  assert.match(JSON.stringify(removed), /runc/);
});

test('an image that is not here fails the creation', options, async () => {
  const id = await fixture.assign({ image: { reference: 'nope', name: null, id: `sha256:${'1'.repeat(64)}` as never, manifestDigest: `sha256:${'2'.repeat(64)}` } });
  const removed = await fixture.until(id, (container) => container.status === 'removed');
  assert.match(JSON.stringify(removed), /create-failed.*No such image: nope/);
});
