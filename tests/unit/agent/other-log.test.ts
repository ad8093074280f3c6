// What a log that was put back from a backup is told of a container: what has gone on since, and nothing else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decideContainer, fold, type Action, type Container, type ContainerEvent } from '@pouch/domain';
import { retold, type Known, type RestoredAt } from '../../../services/agent/src/reconcile/other-log.ts';
import type { RunRow } from '../../../services/agent/src/store/store.ts';
import type { Observed } from '../../../services/agent/src/tasks/observed.ts';
import { aContainerId, aHostId, anExit, aRun, aSpec } from '../../fixtures/domain.ts';

const restoredAtMs = 1_000;
const created: readonly ContainerEvent[] = [{ type: 'ContainerAssigned', id: aContainerId, hostId: aHostId, name: 'one', spec: aSpec(), atMs: 0 }, { type: 'ContainerCreated', atMs: 0 }];
const started = (startId: string): ContainerEvent => ({ type: 'ContainerStarted', run: aRun(startId), byPolicy: false });
const exited = (startId: string, restartAtMs: number | null = null): ContainerEvent => ({ type: 'ContainerExited', exit: anExit(startId), restart: restartAtMs === null ? null : { atMs: restartAtMs, backoffStep: 1 } });
const asked = (commandId: string, action: Action, atMs = 500): ContainerEvent => ({ type: 'ContainerRequested', commandId, action, atMs });
const stop: Action = { kind: 'stop', signal: 'SIGTERM', timeoutSeconds: 10 };
const given = (...events: ContainerEvent[]): Container => fold('container', null, [...created, ...events]) as Container;
const task = (startId: string, status: Observed['status'] = 'running'): Observed => ({ startId, pid: 42, status, exit: null, oomKilled: false });
const noted = (startId: string): RunRow => ({ containerId: aContainerId, startId, startedAtMs: 7, network: aRun(startId).network });

function told(now: Container, known: Partial<Known>, at: RestoredAt = restoredAtMs): { readonly commands: string[]; readonly after: Container } {
  const commands = retold(now, { before: null, observed: null, run: null, present: true, ...known }, at);
  const after = commands.reduce((state, command) => {
    const decision = decideContainer(state, command, 2_000);
    assert.ok(decision.ok, command.type);
    return fold('container', state, decision.events) as Container;
  }, now);
  return { commands: commands.map(({ type }) => type), after };
}

test('what is as the log says is not told again', () => {
  assert.deepEqual(told(given(started('s1')), { observed: task('s1'), run: noted('s1') }).commands, []);
  assert.deepEqual(told(given(), {}).commands, []);
});

test('a run that began since is told, whatever the log says', () => {
  for (const now of [given(), given(started('s1')), given(started('s1'), exited('s1')), given(started('s1'), exited('s1', 5))]) {
    const { commands, after } = told(now, { observed: task('s2'), run: noted('s2') });
    assert.deepEqual(commands, ['ReportStarted']);
    assert.ok(after.status === 'running' && after.run.startId === 's2' && after.run.pid === 42);
  }
});

test('a task that this host did not finish starting is none of the log’s', () => {
  assert.deepEqual(told(given(), { observed: task('s2') }).commands, []);
  assert.deepEqual(told(given(), { observed: task('s2', 'created'), run: noted('s2') }).commands, []);
});

test('paused and let go on since', () => {
  assert.equal(told(given(started('s1')), { observed: task('s1', 'paused'), run: noted('s1') }).after.status, 'paused');
  assert.equal(told(given(started('s1'), { type: 'ContainerPaused', commandId: null, atMs: 1 }), { observed: task('s1'), run: noted('s1') }).after.status, 'running');
  assert.equal(told(given(), { observed: task('s2', 'paused'), run: noted('s2') }).after.status, 'paused');
});

test('an end since is told with its code, and does not begin a restart that had been decided against', () => {
  const always = fold('container', null, [{ ...created[0], spec: aSpec({ restartPolicy: { name: 'always', maximumRetryCount: 0 } }) } as ContainerEvent, created[1] as ContainerEvent, started('s1')]) as Container;
  const { commands, after } = told(always, { before: given(started('s1'), asked('c', stop), exited('s1')) });
  assert.deepEqual(commands, ['ReportExit', 'ReportRestartCancelled']);
  assert.ok(after.status === 'exited' && after.lastExit.exitCode === anExit('s1').exitCode);
});

test('what was removed since is told as gone, but only by a host that knew another log, and not before it was made', () => {
  assert.equal(told(given(started('s1')), { present: false }).after.status, 'removed');
  assert.deepEqual(told(given(started('s1')), { present: false }, null).commands, []);
  assert.deepEqual(told(fold('container', null, [created[0] as ContainerEvent]) as Container, { present: false }).commands, []);
});

test('a request that was settled since is not carried out again; one that was made since is', () => {
  const before = given(started('s1'));
  const now = given(started('s1'), asked('old', stop), asked('new', { kind: 'kill', signal: 'SIGHUP' }, 1_500));
  const { commands, after } = told(now, { before, observed: task('s1'), run: noted('s1') });
  assert.deepEqual(commands, ['ReportRequestFailed']);
  assert.deepEqual(after.requests.map(({ commandId }) => commandId), ['new']);
  assert.deepEqual(told(given(asked('s2', { kind: 'start' })), { before: given(), observed: task('s2') }).commands, [], 'a start whose task is here is gone on with');
});
