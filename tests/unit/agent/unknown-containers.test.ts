// What the log is told of a container that it does not know, when it is adopted: from what its host knew, and from the task that is there.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decideContainer, fold, type Container, type ContainerEvent } from '@pouch/domain';
import { adoption } from '../../../services/agent/src/reconcile/unknown-containers.ts';
import type { Observed } from '../../../services/agent/src/tasks/observed.ts';
import { aContainerId, aHostId, anExit, aRun, aSpec } from '../../fixtures/domain.ts';

const created: readonly ContainerEvent[] = [{ type: 'ContainerAssigned', id: aContainerId, hostId: aHostId, name: 'one', spec: aSpec(), atMs: 5 }, { type: 'ContainerCreated', atMs: 6 }];
const started = (startId: string): ContainerEvent => ({ type: 'ContainerStarted', run: aRun(startId), byPolicy: false });
const known = (...events: ContainerEvent[]): Container => fold('container', null, [...created, ...events]) as Container;
const task = (startId: string, status: Observed['status'] = 'running'): Observed => ({ startId, pid: 42, status, exit: null, oomKilled: false });
const row = (startId: string) => ({ containerId: aContainerId, startId, startedAtMs: 7, network: aRun(startId).network });

function adopted(...args: Parameters<typeof adoption>): Container {
  const decision = decideContainer(null, adoption(...args), 100);
  assert.ok(decision.ok);
  return fold('container', null, decision.events) as Container;
}

test('as its task is, by the run that its host began', () => {
  const after = adopted(known(started('s1')), task('s2'), row('s2'));
  assert.deepEqual([after.status, after.status === 'running' && [after.run.startId, after.run.pid, after.run.startedAtMs], after.createdAtMs, after.name], ['running', ['s2', 42, 7], 5, 'one']);
  assert.equal(adopted(known(started('s1')), task('s1', 'paused'), row('s1')).status, 'paused');
});

test('as running where its end is still to be found, so that it is told like any other', () => {
  for (const observed of [null, task('s1', 'stopped')]) {
    const after = adopted(known(started('s1')), observed, row('s1'));
    assert.deepEqual([after.status, after.status === 'running' && after.run.startId], ['running', 's1']);
  }
});

test('as it was last where it has no task', () => {
  const exited: ContainerEvent = { type: 'ContainerExited', exit: anExit('s1', 3), restart: null };
  assert.deepEqual([known(), known(started('s1'), exited), known(started('s1'), { ...exited, restart: { atMs: 9, backoffStep: 1 } })].map((before) => adopted(before, null, null).status), ['created', 'exited', 'exited']);
  // A task that was made and never started is none.
  assert.equal(adopted(known(), task('s1', 'created'), null).status, 'created');
});
