// A host on which more is placed than it has, and one whose containers were replaced or given up while nobody heard of it: with real containers.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { totalmem } from 'node:os';
import { after, before, test } from 'node:test';
import { containerSubject } from '@pouch/contracts';
import { containerId, decideContainer, noRules, type ContainerCommand, type ContainerId } from '@pouch/domain';
import { execute } from '@pouch/eventlog';
import { containerdMissing } from '../../fixtures/containerd.ts';
import { busyboxMissing } from '../../fixtures/images.ts';
import { eventually, host, leftovers, startFixture, type Fixture } from './fixture.ts';

const skip = containerdMissing() || busyboxMissing();
const options = { skip, timeout: 240_000 };
const movable = { placement: { ...noRules, rescheduleOnHostLoss: true }, restartPolicy: { name: 'always', maximumRetryCount: 0 } } as const;
let fixture: Fixture;

before(async () => {
  if (skip !== false) return;
  fixture = await startFixture();
  await fixture.startAgent();
});
after(async () => { if (skip === false) await fixture.stop(); });

async function scheduler(id: ContainerId, command: ContainerCommand): Promise<void> {
  const told = await execute({
    log: fixture.log, kind: 'container', subject: containerSubject(host, id), commandId: randomUUID(), meta: { atMs: Date.now(), service: 'scheduler', actor: 'scheduler', cause: null },
    decide: (state) => decideContainer(state, command, Date.now()),
  });
  assert.ok(told.ok);
}

test('of containers that are placed at once, as by schedulers that do not know of each other, those that fit are made and the others refused', options, async () => {
  const memoryBytes = Math.floor(totalmem() * 0.3);
  const ids = await Promise.all(Array.from({ length: 8 }, () => fixture.assign({ placement: { ...noRules, reserve: { ...noRules.reserve, memoryBytes } } })));
  const settled = await Promise.all(ids.map((id) => fixture.until(id, ({ status }) => status === 'created' || status === 'removed')));
  assert.equal(settled.filter(({ status }) => status === 'created').length, 3);
  for (const container of settled) {
    if (container.status !== 'removed') continue;
    assert.equal(container.reason.kind, 'rejected');
    assert.match(container.reason.kind === 'rejected' ? container.reason.message : '', /of memory are to be reserved/);
  }
  // What was stopped keeps its room, also over a restart of the agent; what is removed gives it back.
  await fixture.stopAgent();
  await fixture.startAgent();
  const more = { placement: { ...noRules, reserve: { ...noRules.reserve, memoryBytes } } };
  const refused = await fixture.assign(more);
  await fixture.until(refused, ({ status }) => status === 'removed');
  for (const { id } of settled.filter(({ status }) => status === 'created')) await fixture.request(id, { kind: 'remove', force: false });
  for (const { id } of settled) await fixture.until(id, ({ status }) => status === 'removed');
  const last = await fixture.created(more);
  await fixture.request(last, { kind: 'remove', force: false });
  await fixture.untilStatus(last, 'removed');
});

test('a host that is back ends and removes what was replaced before it starts or makes anything', options, async () => {
  const [replaced, waiting] = [await fixture.created(movable), await fixture.created()];
  await fixture.request(replaced, { kind: 'start' });
  await fixture.untilStatus(replaced, 'running');
  await fixture.stopAgent();
  // Asked before it was replaced: the order of asking does not matter.
  await fixture.request(waiting, { kind: 'start' });
  const unmade = await fixture.assign();
  await scheduler(replaced, { type: 'ReplaceContainer', successorId: containerId('5e'.repeat(32)), why: 'host-lost' });
  await fixture.startAgent();
  const { run } = await fixture.untilStatus(waiting, 'running');
  await fixture.untilStatus(unmade, 'created');
  const { removedAtMs } = await fixture.untilStatus(replaced, 'removed');
  // By when it was done, not by where it stands in the log: reports of different containers overtake each other.
  const made = (await fixture.log.last(containerSubject(host, unmade)))?.message.events.at(-1);
  assert.ok(made?.type === 'ContainerCreated');
  assert.ok(removedAtMs <= run.startedAtMs && removedAtMs <= made.atMs, `removed at ${removedAtMs}, started at ${run.startedAtMs}, made at ${made.atMs}`);
  assert.ok(!leftovers(fixture).containers?.includes(replaced));
  for (const id of [waiting, unmade]) {
    await fixture.request(id, { kind: 'remove', force: true });
    await fixture.untilStatus(id, 'removed');
  }
});

test('on a drained host the one that is replaced is stopped in its own way and removed', options, async () => {
  const id = await fixture.created({ ...movable, cmd: ['sh', '-c', 'trap "exit 7" USR1; echo ready; while true; do sleep 0.1; done'], stopSignal: 'SIGUSR1', stopTimeoutSeconds: 60 });
  await fixture.request(id, { kind: 'start' });
  await fixture.untilStatus(id, 'running');
  await eventually(async () => (await fixture.output(id)) === 'ready\n', 'it listens to its signal');
  await scheduler(id, { type: 'ReplaceContainer', successorId: containerId('6e'.repeat(32)), why: 'host-drained' });
  const { lastExit } = await fixture.untilStatus(id, 'removed');
  assert.equal(lastExit?.exitCode, 7);
});

test('what the log gives up while it runs here is ended, and nothing of it stays', options, async () => {
  const id = await fixture.created();
  await fixture.request(id, { kind: 'start' });
  await fixture.untilStatus(id, 'running');
  await scheduler(id, { type: 'ReportRemoved' });
  await eventually(() => !(leftovers(fixture).containers ?? []).includes(id) && fixture.agent().rooms.tasks.get(id) === null, 'everything of it is gone');
  await eventually(async () => (await fixture.containerd.client.containers.list()).every((one) => one.id !== id), 'its record is gone');
});
