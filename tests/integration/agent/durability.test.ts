// What must hold while parts of the house are killed: containers go on, nothing is done twice, what happened meanwhile is told afterwards.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { ContainerId } from '@pouch/domain';
import { containerdMissing } from '../../fixtures/containerd.ts';
import { busyboxMissing } from '../../fixtures/images.ts';
import { eventually, host, leftovers, startFixture, type Fixture } from './fixture.ts';

const skip = containerdMissing() || busyboxMissing();
const options = { skip, timeout: 240_000 };
let fixture: Fixture;

beforeEach(async () => {
  if (skip === false) fixture = await startFixture();
});
afterEach(async () => { if (skip === false) await fixture.stop(); });

async function kill9(child: ChildProcess): Promise<void> {
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

const startsOf = (id: ContainerId): number => fixture.events(id).filter(({ type }) => type === 'ContainerStarted').length;

test('kill -9 of the agent ends no container, and what ended meanwhile is told with its code and output', options, async () => {
  const first = await fixture.spawnAgent();
  const lasting = await fixture.created({ cmd: ['sh', '-c', 'while read line; do echo "got $line"; done; exit 5'], openStdin: true, stdinOnce: true });
  const ending = await fixture.created({ cmd: ['sh', '-c', 'echo before; sleep 1.5; echo after; exit 6'] });
  for (const id of [lasting, ending]) await fixture.request(id, { kind: 'start' });
  const { run } = await fixture.untilStatus(lasting, 'running');
  await fixture.untilStatus(ending, 'running');
  await kill9(first);
  await eventually(async () => (await fixture.output(ending)).includes('after'), 'it goes on without the agent');
  await delay(300);
  await fixture.spawnAgent();
  assert.equal((await fixture.untilStatus(ending, 'exited')).lastExit.exitCode, 6);
  const still = await fixture.untilStatus(lasting, 'running');
  assert.equal(still.run.pid, run.pid);
  const talk = await fixture.converse('container.attach', { containerId: lasting, stdin: true, stdout: true, stderr: true, logs: false, stream: true }, 'hello\n');
  assert.equal(talk.stdout, 'got hello\n');
  assert.equal((await fixture.untilStatus(lasting, 'exited')).lastExit.exitCode, 5);
  assert.deepEqual([startsOf(lasting), startsOf(ending)], [1, 1]);
});

test('kill -9 of the agent at any moment of a start: every start happens once', options, async () => {
  let agent = await fixture.spawnAgent();
  const ids: ContainerId[] = [];
  for (let round = 0; round < 6; round++) {
    const id = await fixture.created({ cmd: ['sh', '-c', 'echo ran; exit 4'], openStdin: round % 2 === 1 });
    ids.push(id);
    await fixture.request(id, { kind: 'start' });
    await delay(round * 18);
    await kill9(agent);
    agent = await fixture.spawnAgent();
  }
  for (const id of ids) {
    const { lastExit } = await fixture.untilStatus(id, 'exited');
    assert.equal(lastExit.exitCode, 4, JSON.stringify(fixture.events(id)));
    assert.equal(startsOf(id), 1);
    await eventually(async () => (await fixture.output(id)) !== '', 'it wrote');
    assert.equal(await fixture.output(id), 'ran\n');
    await fixture.request(id, { kind: 'remove', force: true });
    await fixture.untilStatus(id, 'removed');
  }
});

test('a restart of containerd ends no container, and exits of the time are told', options, async () => {
  await fixture.startAgent();
  const lasting = await fixture.created();
  const ending = await fixture.created({ cmd: ['sh', '-c', 'sleep 1; exit 6'] });
  for (const id of [lasting, ending]) await fixture.request(id, { kind: 'start' });
  const { run } = await fixture.untilStatus(lasting, 'running');
  await fixture.untilStatus(ending, 'running');
  await fixture.containerd.restart();
  assert.equal((await fixture.untilStatus(ending, 'exited')).lastExit.exitCode, 6);
  const id = await fixture.created({ cmd: ['true'] });
  await fixture.request(id, { kind: 'start' });
  await fixture.untilStatus(id, 'exited');
  assert.equal((await fixture.untilStatus(lasting, 'running')).run.pid, run.pid);
  await fixture.request(lasting, { kind: 'remove', force: true });
  await fixture.untilStatus(lasting, 'removed');
});

test('a start that was asked for while containerd is away is made when it is back', options, async () => {
  await fixture.startAgent();
  const id = await fixture.created({ cmd: ['true'] });
  process.kill(fixture.containerd.pid, 'SIGKILL');
  await fixture.request(id, { kind: 'start' });
  await delay(300);
  await fixture.containerd.restart();
  assert.equal((await fixture.untilStatus(id, 'exited')).lastExit.exitCode, 0);
  assert.equal(startsOf(id), 1);
});

test('with the log away restart policies go on; the log is told when it is back, also after a kill of the agent', options, async () => {
  const agent = await fixture.spawnAgent();
  const id = await fixture.created({ cmd: ['sh', '-c', 'echo run; sleep .2; exit 3'], restartPolicy: { name: 'on-failure', maximumRetryCount: 3 } });
  await fixture.request(id, { kind: 'start' });
  await fixture.untilStatus(id, 'running');
  await fixture.nats.kill9();
  await eventually(async () => (await fixture.output(id)).split('run').length > 2, 'it was restarted without the log');
  await kill9(agent);
  await fixture.spawnAgent();
  await eventually(async () => (await fixture.output(id)).split('run').length === 5, 'the restart policy goes on to its limit');
  await delay(500);
  await fixture.nats.restart();
  const ended = await fixture.untilStatus(id, 'exited');
  assert.equal(ended.restartCount, 3);
  assert.equal(ended.lastExit.exitCode, 3);
  assert.equal(startsOf(id), 4);
});

test('SIGTERM lets containers go on', options, async () => {
  const agent = await fixture.spawnAgent();
  const id = await fixture.created();
  await fixture.request(id, { kind: 'start' });
  const { run } = await fixture.untilStatus(id, 'running');
  const exited = once(agent, 'exit');
  agent.kill('SIGTERM');
  assert.deepEqual(await exited, [0, null]);
  process.kill(run.pid, 0);
  await fixture.startAgent();
  await fixture.request(id, { kind: 'kill', signal: 'SIGKILL' });
  assert.equal((await fixture.untilStatus(id, 'exited')).lastExit.exitCode, 137);
});

test('an exec that ends while the agent is away is told', options, async () => {
  const agent = await fixture.spawnAgent();
  const id = await fixture.created();
  await fixture.request(id, { kind: 'start' });
  await fixture.untilStatus(id, 'running');
  await eventually(async () => await fixture.client.call(host, 'host.usage', {}).then(() => true, () => false), 'the agent serves calls');
  const exec = await fixture.execOf(id, { args: ['sh', '-c', 'sleep 1; exit 8'] });
  await fixture.converse('exec.start', { ...exec, detach: true });
  await kill9(agent);
  await delay(1_200);
  await fixture.startAgent();
  const codeOf = async (execId: string): Promise<unknown> => {
    await eventually(async () => (await fixture.exec(execId))?.status === 'exited', 'its end is told');
    const told = await fixture.exec(execId);
    return told?.status === 'exited' && told.exitCode;
  };
  assert.equal(await codeOf(exec.execId), 8);
  await eventually(async () => await fixture.client.call(host, 'host.usage', {}).then(() => true, () => false), 'the agent serves calls');
  const watched = await fixture.execOf(id, { args: ['sh', '-c', 'echo up; sleep 2; exit 9'], attach: { stdin: true, stdout: true, stderr: true } });
  const pipe = await fixture.client.open(host, 'exec.start', watched);
  pipe.on('error', () => undefined);
  await once(pipe, 'data');
  await fixture.stopAgent();
  await fixture.startAgent();
  assert.equal(await codeOf(watched.execId), 9);
});

test('shutting the host down stops containers in order; they come back by their policy', options, async () => {
  await fixture.startAgent();
  const always = await fixture.created({ cmd: ['sh', '-c', 'trap "exit 0" TERM; while true; do sleep .1; done'], restartPolicy: { name: 'always', maximumRetryCount: 0 } });
  const never = await fixture.created({ stopTimeoutSeconds: 0 });
  for (const id of [always, never]) await fixture.request(id, { kind: 'start' });
  for (const id of [always, never]) await fixture.untilStatus(id, 'running');
  await eventually(async () => await fixture.client.call(host, 'host.usage', {}).then(() => true, () => false), 'the agent serves calls');
  const asked = { timeoutSeconds: 20, answerWithinSeconds: 0 };
  assert.deepEqual(await fixture.client.call(host, 'host.shutdown', asked), { stopped: 0, going: true });
  assert.deepEqual(await fixture.client.call(host, 'host.shutdown', { ...asked, answerWithinSeconds: 60 }, { timeoutMs: 60_000 }), { stopped: 2 }, 'asked again, it waits for the same end');
  await fixture.untilStatus(never, 'exited');
  await fixture.untilStatus(always, 'restarting');
  await fixture.stopAgent();
  await fixture.startAgent();
  await fixture.untilStatus(always, 'running');
});

test('what the log does not know is taken away; nothing is left of many lives', options, async () => {
  const agent = await fixture.startAgent();
  const clean = leftovers(fixture);
  const ids = await Promise.all(Array.from({ length: 12 }, (_, at) => fixture.created({ cmd: ['sh', '-c', `exit ${at}`], openStdin: at % 3 === 0, tty: at % 4 === 1 })));
  await Promise.all(ids.map((id) => fixture.request(id, { kind: 'start' })));
  await Promise.all(ids.map(async (id, at) => assert.equal((await fixture.untilStatus(id, 'exited')).lastExit.exitCode, at)));
  await Promise.all(ids.map((id) => fixture.request(id, { kind: 'remove', force: false })));
  await Promise.all(ids.map((id) => fixture.untilStatus(id, 'removed')));
  await agent.idle();
  assert.deepEqual(leftovers(fixture), clean);
  assert.deepEqual(await fixture.containerd.client.tasks.list(), []);
  const orphan = await fixture.created();
  await fixture.request(orphan, { kind: 'start' });
  await fixture.untilStatus(orphan, 'running');
  await fixture.stopAgent();
  await fixture.log.purge(`evt.container.${host}.${orphan}`);
  await fixture.startAgent();
  await eventually(async () => (await fixture.containerd.client.containers.list()).length === 0, 'the orphan is gone');
  await eventually(() => Object.values(leftovers(fixture)).flat().length === Object.values(clean).flat().length, 'and its files');
});
