// Successors of containers whose host is lost or drained: who gets one, what becomes of the one that is replaced, and what its successor begins with.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { containerId, decideContainer, evolveContainer, noRules, successorIsDue, type Container, type ContainerCommand, type ContainerEvent, type ContainerSpec, type Replacement } from '@pouch/domain';
import { aContainerId, aHostId, anExit, aRun, aSpec } from '../../fixtures/domain.ts';

const successorId = containerId('5e'.repeat(32));
const movable: Partial<ContainerSpec> = { placement: { ...noRules, rescheduleOnHostLoss: true } };
const assigned = (different: Partial<ContainerSpec> = movable): ContainerEvent => ({ type: 'ContainerAssigned', id: aContainerId, hostId: aHostId, name: 'web', spec: aSpec(different), atMs: 1 });
const created: ContainerEvent = { type: 'ContainerCreated', atMs: 2 };
const asked = (commandId: string, kind: 'start' | 'pause'): ContainerEvent => ({ type: 'ContainerRequested', commandId, action: { kind }, atMs: 3 });
const started: ContainerEvent = { type: 'ContainerStarted', run: aRun('s1'), byPolicy: false };
const running = (different?: Partial<ContainerSpec>): ContainerEvent[] => [assigned(different), created, asked('s1', 'start'), started];
const stopAsked: ContainerEvent = { type: 'ContainerRequested', commandId: 'stop', action: { kind: 'stop', signal: 'SIGTERM', timeoutSeconds: 10 }, atMs: 4 };
const replace = (why: Replacement['why'] = 'host-lost'): ContainerCommand => ({ type: 'ReplaceContainer', successorId, why });

const stateOf = (events: readonly ContainerEvent[]): Container => events.reduce<Container | null>(evolveContainer, null) as Container;
function after(state: Container, ...commands: readonly ContainerCommand[]): Container {
  return commands.reduce<Container>((now, command) => {
    const decision = decideContainer(now, command, 9);
    if (!decision.ok) throw new Error(`${command.type}: ${decision.refusal.message}`);
    return decision.events.reduce<Container | null>(evolveContainer, now) as Container;
  }, state);
}
const refusal = (state: Container, command: ContainerCommand): string => {
  const decision = decideContainer(state, command, 9);
  return decision.ok ? `accepted ${JSON.stringify(decision.events)}` : decision.refusal.message;
};

test('on a lost host what runs, or is to, is replaced: its name is free, it is to be removed by force, and what was asked of it has failed', () => {
  const lost = after(stateOf([...running(), asked('p', 'pause')]), replace());
  assert.equal(lost.name, 'web.replaced.a1a1a1a1a1a1');
  assert.deepEqual(lost.requests.map(({ action }) => action), [{ kind: 'remove', force: true }]);
  assert.deepEqual(lost.failures.map(({ commandId, code }) => [commandId, code]), [['p', 'replaced']]);
  assert.deepEqual(lost.replaced, { successorId, name: 'web', why: 'host-lost', atMs: 9, requested: false });
  assert.equal(successorIsDue(lost), true);
  assert.equal(after(stateOf([assigned(), created, asked('s', 'start')]), replace()).replaced?.name, 'web');
});

test('it is replaced once, by one successor', () => {
  const lost = after(stateOf(running()), replace());
  assert.deepEqual(decideContainer(lost, replace(), 10), { ok: true, events: [] });
  assert.match(refusal(lost, { type: 'ReplaceContainer', successorId: containerId('99'.repeat(32)), why: 'host-lost' }), /has a successor already/);
  const requested = after(lost, { type: 'ReportSuccessorRequested' });
  assert.equal(successorIsDue(requested), false);
  assert.deepEqual(decideContainer(requested, { type: 'ReportSuccessorRequested' }, 11), { ok: true, events: [] });
});

test('what is not to be moved, does not run, or is to end stays', () => {
  assert.match(refusal(stateOf(running({})), replace()), /label io.pouch.reschedule=on-host-loss allows it/);
  assert.match(refusal(stateOf([assigned(), created]), replace()), /is not running/);
  assert.match(refusal(stateOf([...running(), { type: 'ContainerExited', exit: anExit('s1'), restart: null }]), replace()), /is not running/);
  assert.match(refusal(stateOf([...running(), stopAsked]), replace()), /is being stopped/);
  assert.match(refusal(stateOf([...running(), { type: 'ContainerRequested', commandId: 'r', action: { kind: 'remove', force: true }, atMs: 4 }]), replace()), /is being removed/);
  assert.match(refusal(stateOf([...running(), { type: 'ContainerRemoved', atMs: 4 }]), replace()), /has been removed/);
});

test('nothing can be asked of a replaced container; its run ends without coming back, and it goes', () => {
  const lost = after(stateOf(running({ ...movable, restartPolicy: { name: 'always', maximumRetryCount: 0 } })), replace());
  assert.match(refusal(lost, { type: 'RequestAction', commandId: 'c', action: { kind: 'start' } }), /is being removed/);
  const ended = after(lost, { type: 'ReportExit', exit: anExit('s1', 137), hostShutdown: false });
  assert.equal(ended.status, 'exited');
  const gone = after(ended, { type: 'ReportRemoved' });
  assert.deepEqual([gone.status, gone.replaced?.successorId], ['removed', successorId]);
});

test('on a drained host it is stopped as it always is, and its successor is due when it has ended', () => {
  const draining = after(stateOf(running({ ...movable, stopSignal: 'SIGINT', stopTimeoutSeconds: 33 })), replace('host-drained'));
  assert.deepEqual(draining.requests.map(({ action }) => action), [{ kind: 'stop', signal: 'SIGINT', timeoutSeconds: 33 }, { kind: 'remove', force: false }]);
  assert.equal(successorIsDue(draining), false);
  const ended = after(draining, { type: 'ReportExit', exit: anExit('s1'), hostShutdown: false });
  assert.deepEqual(ended.requests.map(({ action }) => action.kind), ['remove']);
  assert.equal(successorIsDue(ended), true);
  const gone = after(ended, { type: 'ReportRemoved' });
  assert.equal(successorIsDue(gone), true);
  assert.equal(successorIsDue(after(gone, { type: 'ReportSuccessorRequested' })), false);
});

test('a successor knows its predecessor and has its start in its first message', () => {
  const assign: ContainerCommand = { type: 'AssignContainer', id: successorId, hostId: aHostId, name: 'web', spec: aSpec(movable), predecessor: aContainerId, start: true };
  const decision = decideContainer(null, assign, 9);
  assert.ok(decision.ok);
  const state = decision.events.reduce<Container | null>(evolveContainer, null) as Container;
  assert.equal(state.predecessor, aContainerId);
  assert.deepEqual(state.requests, [{ commandId: `start:${successorId}`, atMs: 9, action: { kind: 'start' } }]);
  const run = after(state, { type: 'ReportCreated' }, { type: 'ReportStarted', run: aRun(`start:${successorId}`), byPolicy: false });
  assert.deepEqual([run.status, run.requests, run.predecessor], ['running', [], aContainerId]);
});
