// The agent's plan, by behaviour: what is wanted of a container and what is seen of it, and the one step that follows.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fold, noRules, type Action, type Container, type ContainerEvent } from '@pouch/domain';
import { escalationOf, plan, policyStartId, type Circumstances, type Plan } from '../../../services/agent/src/reconcile/plan.ts';
import type { Observed } from '../../../services/agent/src/tasks/observed.ts';
import { aContainerId, aHostId, anExit, aRun, aSpec } from '../../fixtures/domain.ts';

const assigned: ContainerEvent = { type: 'ContainerAssigned', id: aContainerId, hostId: aHostId, name: 'one', spec: aSpec(), atMs: 0 };
const created: ContainerEvent = { type: 'ContainerCreated', atMs: 0 };
const started = (startId = 's1'): ContainerEvent => ({ type: 'ContainerStarted', run: aRun(startId), byPolicy: false });
const exited = (startId = 's1', restartAtMs: number | null = null): ContainerEvent => ({ type: 'ContainerExited', exit: anExit(startId), restart: restartAtMs === null ? null : { atMs: restartAtMs, backoffStep: 1 } });
const asked = (commandId: string, action: Action): ContainerEvent => ({ type: 'ContainerRequested', commandId, action, atMs: 0 });
const stop = (timeoutSeconds = 10): Action => ({ kind: 'stop', signal: 'SIGTERM', timeoutSeconds });
const running: Observed = { startId: 's1', pid: 42, status: 'running', exit: null, oomKilled: false };
const stopped: Observed = { ...running, status: 'stopped', exit: { code: 3, atMs: 5 } };

function given(...events: ContainerEvent[]): Container {
  return fold('container', null, [assigned, ...events]) as Container;
}

function planned(container: Container, different: Partial<Circumstances> = {}): Plan {
  return plan(container, { observed: null, attempts: new Map(), nowMs: 1_000, shuttingDown: false, tasksKnown: true, bootedAtMs: 0, clearing: false, logRead: true, hasFiles: false, ...different });
}

function step(container: Container, different: Partial<Circumstances> = {}): object | null {
  return planned(container, different).step;
}

test('an assigned container is created', () => {
  assert.deepEqual(step(given()), { type: 'create' });
});

test('an assigned container that is to be removed is not created first', () => {
  assert.deepEqual(step(given(asked('r', { kind: 'remove', force: false }))), { type: 'remove' });
});

test('nothing is done while it is not known which tasks there are', () => {
  assert.equal(step(given(), { tasksKnown: false }), null);
});

test('a requested start is made under the request\'s id', () => {
  assert.deepEqual(step(given(created, asked('s1', { kind: 'start' }))), { type: 'start', startId: 's1', byPolicy: false });
});

test('a task of a start that was not reported is adopted, not started again', () => {
  assert.deepEqual(step(given(created, asked('s1', { kind: 'start' })), { observed: running }), { type: 'adopt', startId: 's1', byPolicy: false });
});

test('a request whose start has been told of already, with its end, is answered as that and never done again', () => {
  const again = given(created, asked('s1', { kind: 'start' }), started('s1'), exited('s1'), asked('s1', { kind: 'start' }));
  assert.deepEqual(step(again, { observed: stopped }), { type: 'discard' });
  assert.deepEqual(step(again), { type: 'refuse', commandId: 's1', code: 'already-running', message: 'this start of container one has been carried out already' });
});

test('a task that no request stands for is discarded', () => {
  assert.deepEqual(step(given(created), { observed: running }), { type: 'discard' });
  assert.deepEqual(step(given(created, started(), exited()), { observed: stopped }), { type: 'discard' });
});

test('an ended task is finished', () => {
  assert.deepEqual(step(given(created, started()), { observed: stopped }), { type: 'finish' });
});

test('a run whose task has vanished is lost', () => {
  assert.deepEqual(step(given(created, started())), { type: 'lost', startId: 's1', startedAtMs: 1_000 });
});

test('a stop sends its signal once, waits for its grace period and then kills', () => {
  const container = given(created, started(), asked('st', stop()));
  assert.deepEqual(step(container, { observed: running }), { type: 'signal', signal: 'SIGTERM', attemptId: 'st', done: null, wakes: true });
  assert.deepEqual(planned(container, { observed: running, attempts: new Map([['st', 1_000]]) }), { step: null, wakeAtMs: 11_000 });
  assert.deepEqual(step(container, { observed: running, attempts: new Map([['st', 1_000]]), nowMs: 11_000 }), { type: 'signal', signal: 'SIGKILL', attemptId: escalationOf('st'), done: null, wakes: true });
  assert.deepEqual(planned(container, { observed: running, attempts: new Map([['st', 1_000], [escalationOf('st'), 11_000]]), nowMs: 12_000 }), { step: null, wakeAtMs: null });
});

test('a stop without a limit never kills', () => {
  const container = given(created, started(), asked('st', stop(-1)));
  assert.deepEqual(planned(container, { observed: running, attempts: new Map([['st', 1]]), nowMs: 10 ** 12 }), { step: null, wakeAtMs: null });
});

test('a kill is carried out during the grace period of a stop', () => {
  const container = given(created, started(), asked('st', stop()), asked('k', { kind: 'kill', signal: 'SIGKILL' }));
  assert.deepEqual(step(container, { observed: running, attempts: new Map([['st', 1_000]]) }), { type: 'signal', signal: 'SIGKILL', attemptId: 'k', done: 'k', wakes: true });
});

test('a forced removal kills a container that is being stopped', () => {
  const container = given(created, started(), asked('st', stop()), asked('r', { kind: 'remove', force: true }));
  assert.deepEqual(step(container, { observed: running, attempts: new Map([['st', 1_000]]) }), { type: 'signal', signal: 'SIGKILL', attemptId: 'r', done: null, wakes: true });
});

test('a restart ends the run and then starts under its own id', () => {
  const restart = asked('re', { kind: 'restart', signal: 'SIGTERM', timeoutSeconds: 1 });
  assert.deepEqual(step(given(created, started(), restart), { observed: running }), { type: 'signal', signal: 'SIGTERM', attemptId: 're', done: null, wakes: true });
  assert.deepEqual(step(given(created, started(), restart, exited())), { type: 'start', startId: 're', byPolicy: false });
});

test('a start that was asked for during a stop waits for the end', () => {
  const container = given(created, started(), asked('st', stop()), asked('s2', { kind: 'start' }));
  assert.equal(step(container, { observed: running, attempts: new Map([['st', 1_000]]) }), null);
});

test('a start of a running container is refused', () => {
  assert.deepEqual((step(given(created, started(), asked('s2', { kind: 'start' })), { observed: running }) as { type: string }).type, 'refuse');
});

test('a restart policy starts when it is due, and not before', () => {
  const container = given(created, started(), exited('s1', 2_000));
  assert.deepEqual(planned(container, { nowMs: 1_999 }), { step: null, wakeAtMs: 2_000 });
  assert.deepEqual(step(container, { nowMs: 2_000 }), { type: 'start', startId: policyStartId(aContainerId, 's1'), byPolicy: true });
});

test('a start by policy has the same id after a crash, so that it is adopted', () => {
  const container = given(created, started(), exited('s1', 2_000));
  const startId = policyStartId(aContainerId, 's1');
  assert.deepEqual(step(container, { nowMs: 5_000, observed: { ...running, startId } }), { type: 'adopt', startId, byPolicy: true });
});

test('a stop during a restart\'s delay cancels it', () => {
  assert.deepEqual(step(given(created, started(), exited('s1', 2_000), asked('st', stop()))), { type: 'cancel-restart' });
});

test('with the host comes back what was to run always, and unless stopped what nobody stopped; once', () => {
  const ended = (name: 'always' | 'unless-stopped' | 'on-failure', byHand: boolean, ...more: ContainerEvent[]): Container =>
    fold('container', null, [
      { ...assigned, spec: aSpec({ restartPolicy: { name, maximumRetryCount: 0 } }) }, created, started(), ...(byHand ? [asked('st', stop())] : []), exited(), { type: 'ContainerStopped', commandIds: ['st'], atMs: 0 }, ...more,
    ]) as Container;
  const startId = policyStartId(aContainerId, 's1');
  const booted = { bootedAtMs: 10 ** 9, nowMs: 10 ** 10 };
  const comesBack = { type: 'start', startId, byPolicy: true };
  assert.deepEqual(step(ended('always', true), booted), comesBack);
  assert.deepEqual(step(ended('always', true), { ...booted, observed: { ...running, startId } }), { type: 'adopt', startId, byPolicy: true });
  assert.deepEqual(step(ended('unless-stopped', false), booted), comesBack);
  assert.equal(step(ended('unless-stopped', true), booted), null);
  assert.equal(step(ended('on-failure', true), booted), null);
  assert.equal(step(ended('always', true)), null);
  const failed: ContainerEvent = { type: 'ContainerStartFailed', startId, exitCode: 128, code: 'conflict', message: 'no', atMs: 10 ** 9 + 1 };
  assert.equal(step(ended('always', true, failed), booted), null);
});

test('a kill during a restart\'s delay cancels it where it ends a run for good', () => {
  assert.deepEqual(step(given(created, started(), exited('s1', 2_000), asked('k', { kind: 'kill', signal: 'SIGKILL' }))), { type: 'cancel-restart' });
  assert.equal((step(given(created, started(), exited('s1', 2_000), asked('k', { kind: 'kill', signal: 'SIGHUP' }))) as { type: string }).type, 'refuse');
});

test('nothing is started while the host goes down', () => {
  assert.equal(step(given(created, started(), exited('s1', 0)), { shuttingDown: true }), null);
  assert.equal((step(given(created, asked('s1', { kind: 'start' })), { shuttingDown: true }) as { type: string }).type, 'refuse');
});

test('pause and unpause go by the state', () => {
  const paused: ContainerEvent = { type: 'ContainerPaused', commandId: null, atMs: 0 };
  assert.deepEqual(step(given(created, started(), asked('p', { kind: 'pause' })), { observed: running }), { type: 'pause', commandId: 'p' });
  assert.deepEqual(step(given(created, started(), paused, asked('u', { kind: 'unpause' })), { observed: { ...running, status: 'paused' } }), { type: 'unpause', commandId: 'u' });
});

test('while replaced containers are here nothing is made or started, and what is to end ends', () => {
  const clearing = { clearing: true };
  assert.equal(step(given(), clearing), null);
  assert.equal(step(given(created, asked('s1', { kind: 'start' })), clearing), null);
  assert.equal(step(given(created, started(), exited('s1', 500)), clearing), null);
  assert.deepEqual(step(given(created, started()), { ...clearing, observed: stopped }), { type: 'finish' });
  const replaced: ContainerEvent = { type: 'ContainerReplaced', successorId: aContainerId, newName: 'one.replaced', why: 'host-lost', requests: [{ commandId: 'r', atMs: 0, action: { kind: 'remove', force: true } }], atMs: 0 };
  assert.deepEqual(step(given(created, started(), replaced), { ...clearing, observed: running }), { type: 'signal', signal: 'SIGKILL', attemptId: 'r', done: null, wakes: true });
  assert.deepEqual(step(given(created, started(), replaced, exited()), { ...clearing, observed: null }), { type: 'remove' });
});

test('what may have been replaced does not come back by its policy before the log has been read', () => {
  const movable = { ...aSpec(), placement: { ...noRules, rescheduleOnHostLoss: true } };
  const restarting = (spec = aSpec()): Container => fold('container', null, [{ ...assigned, spec } as ContainerEvent, created, started(), exited('s1', 500)]) as Container;
  assert.equal(step(restarting(movable), { logRead: false }), null);
  assert.deepEqual(step(restarting(movable)), { type: 'start', startId: policyStartId(aContainerId, 's1'), byPolicy: true });
  assert.deepEqual(step(restarting(), { logRead: false }), { type: 'start', startId: policyStartId(aContainerId, 's1'), byPolicy: true });
});

test('what was made of a container that is another host\'s by now is cleared away', () => {
  const elsewhere = given({ type: 'ContainerRejected', code: 'host-lost', message: 'x', atMs: 1 });
  assert.equal(step(elsewhere), null);
  assert.deepEqual(step(elsewhere, { hasFiles: true }), { type: 'discard' });
});
