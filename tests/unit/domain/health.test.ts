// Health checks: what follows from probes, given / when / then, and what a container's health is said to be in each of its states.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { activeCheck, afterProbe, decideContainer, evolveContainer, healthOf, maxProbesKept, probeArgs, type Container, type ContainerCommand, type ContainerEvent, type HealthCheck, type HealthRecord } from '@pouch/domain';
import { aContainerId, aHostId, anExit, aRun, aSpec } from '../../fixtures/domain.ts';

const check = (different: Partial<HealthCheck> = {}): HealthCheck => ({ test: ['CMD', 'ask'], intervalMs: 0, timeoutMs: 0, startPeriodMs: 0, retries: 0, ...different });
const fresh: HealthRecord = { status: 'starting', failingStreak: 0, probes: [] };

/** The record after probes with these exit codes, a second apart from the start on. */
function probed(exitCodes: readonly number[], different: Partial<HealthCheck> = {}, from: HealthRecord = fresh): HealthRecord {
  return exitCodes.reduce((record, exitCode, index) => afterProbe(record, { startedAtMs: 1_000 * (index + 1), endedAtMs: 1_000 * (index + 1) + 5, exitCode, output: `${index}` }, { check: check(different), startedAtMs: 0 }), from);
}

const said = ({ status, failingStreak }: HealthRecord): string => `${status} ${failingStreak}`;

test('one success makes it healthy, so many failures in a row unhealthy, three where nothing is said', () => {
  assert.equal(said(probed([0])), 'healthy 0');
  assert.equal(said(probed([1, 1])), 'starting 2');
  assert.equal(said(probed([1, 1, 1])), 'unhealthy 3');
  assert.equal(said(probed([0, 1, 1, 0, 1, 1])), 'healthy 2');
  assert.equal(said(probed([0, 1], { retries: 1 })), 'unhealthy 1');
  assert.equal(said(probed([1, 1, 1, 1, 0])), 'healthy 0');
});

test('failures in the start period do not count, until a success has ended it', () => {
  assert.equal(said(probed([1, 1, 1, 1], { retries: 1, startPeriodMs: 4_001 })), 'starting 0');
  assert.equal(said(probed([1, 1, 1, 1], { retries: 1, startPeriodMs: 4_000 })), 'unhealthy 1', 'the fourth begins when it is over');
  assert.equal(said(probed([0, 1], { retries: 1, startPeriodMs: 60_000 })), 'unhealthy 1');
});

test('the last probes are remembered, oldest first', () => {
  const { probes } = probed(Array.from({ length: maxProbesKept + 3 }, () => 0));
  assert.deepEqual(probes.map(({ output }) => output), ['3', '4', '5', '6', '7']);
});

test('what a test runs; nothing where it is NONE, empty or of a kind that is not known', () => {
  const args = (...words: string[]) => probeArgs(check({ test: words }));
  assert.deepEqual(args('CMD', 'ask', '-x'), ['ask', '-x']);
  assert.deepEqual(args('CMD-SHELL', 'ask || exit 1'), ['/bin/sh', '-c', 'ask || exit 1']);
  for (const words of [['NONE'], ['NONE', 'x'], [], ['CMD'], ['ASK', 'x']]) assert.equal(args(...words), null, words.join(' '));
  assert.equal(activeCheck(aSpec()), null);
  assert.equal(activeCheck(aSpec({ healthCheck: check({ test: ['NONE'] }) })), null);
});

const running: readonly ContainerEvent[] = [
  { type: 'ContainerAssigned', id: aContainerId, hostId: aHostId, name: 'web', spec: aSpec({ healthCheck: check() }), atMs: 1 }, { type: 'ContainerCreated', atMs: 2 }, { type: 'ContainerStarted', run: aRun('s1'), byPolicy: false },
];
const healthy: ContainerEvent = { type: 'ContainerHealthChanged', startId: 's1', health: 'healthy', atMs: 5 };
const state = (...events: readonly ContainerEvent[]): Container => events.reduce<Container | null>(evolveContainer, null) as Container;
const when = (container: Container, command: ContainerCommand): readonly ContainerEvent[] => {
  const decision = decideContainer(container, command, 5);
  return decision.ok ? decision.events : [];
};

test('a change of health is told once, and only of the run that it is of', () => {
  assert.deepEqual(when(state(...running), { type: 'ReportHealth', startId: 's1', health: 'healthy' }), [healthy]);
  assert.deepEqual(when(state(...running, healthy), { type: 'ReportHealth', startId: 's1', health: 'healthy' }), []);
  assert.deepEqual(when(state(...running), { type: 'ReportHealth', startId: 's0', health: 'unhealthy' }), []);
  const exited: ContainerEvent = { type: 'ContainerExited', exit: anExit('s1'), restart: null };
  assert.deepEqual(when(state(...running, exited), { type: 'ReportHealth', startId: 's1', health: 'unhealthy' }), []);
});

test('health belongs to a run: it outlasts a pause, and the next run is starting', () => {
  const paused: ContainerEvent = { type: 'ContainerPaused', commandId: null, atMs: 6 };
  const exited: ContainerEvent = { type: 'ContainerExited', exit: anExit('s1'), restart: { atMs: 9, backoffStep: 1 } };
  assert.equal(healthOf(state(...running.slice(0, 2))), null, 'it has not run');
  assert.equal(healthOf(state(...running)), 'starting');
  assert.equal(healthOf(state(...running, healthy, paused)), 'healthy');
  assert.equal(healthOf(state(...running, healthy, paused, { type: 'ContainerUnpaused', commandId: null, atMs: 7 })), 'healthy');
  assert.equal(healthOf(state(...running, healthy, exited)), 'unhealthy');
  assert.equal(healthOf(state(...running, healthy, exited, { type: 'ContainerStarted', run: aRun('s2'), byPolicy: true })), 'starting');
  assert.equal(healthOf({ ...state(...running), spec: aSpec() }), null);
});
