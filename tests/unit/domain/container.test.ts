// A container's rules, told as: given these events, when this command comes, then these events follow, or this refusal.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  decideContainer, evolveContainer, explainUnadoptable, maxPendingRequests, maxRememberedFailures, type Action, type Container, type ContainerCommand, type ContainerEvent, type ContainerSpec,
} from '@pouch/domain';
import { aContainerId, aHostId, anExit, aRun, aSpec, statusOf } from '../../fixtures/domain.ts';

const now = 5_000;

const assigned = (different: Partial<ContainerSpec> = {}): ContainerEvent => ({
  type: 'ContainerAssigned', id: aContainerId, hostId: aHostId, name: 'web', spec: aSpec(different), atMs: 1,
});
const created: ContainerEvent = { type: 'ContainerCreated', atMs: 2 };
const requested = (commandId: string, action: Action): ContainerEvent => ({ type: 'ContainerRequested', commandId, action, atMs: 3 });
const started = (startId: string, byPolicy = false): ContainerEvent => ({ type: 'ContainerStarted', run: aRun(startId), byPolicy });
const exited = (startId: string, exitCode = 0): ContainerEvent => ({ type: 'ContainerExited', exit: anExit(startId, exitCode), restart: null });
const stop: Action = { kind: 'stop', signal: 'SIGTERM', timeoutSeconds: 10 };
const request = (commandId: string, action: Action): ContainerCommand => ({ type: 'RequestAction', commandId, action });
const reportExit = (startId: string, exitCode: number, hostShutdown = false): ContainerCommand => ({ type: 'ReportExit', exit: anExit(startId, exitCode), hostShutdown });

function given(events: readonly ContainerEvent[]) {
  const state = events.reduce<Container | null>(evolveContainer, null);
  return {
    state,
    when(command: ContainerCommand) {
      const decision = decideContainer(state, command, now);
      const after = decision.ok ? decision.events.reduce<Container | null>(evolveContainer, state) : state;
      return {
        after,
        then(expected: readonly ContainerEvent[]) {
          assert.deepEqual(decision, { ok: true, events: expected });
          return after;
        },
        refused(code: string) {
          assert.equal(decision.ok ? `accepted ${JSON.stringify(decision.events)}` : decision.refusal.code, code);
        },
        types(expected: readonly string[]) {
          assert.deepEqual(decision.ok ? decision.events.map((event) => event.type) : decision, expected);
          return after;
        },
      };
    },
  };
}

const running = [assigned(), created, requested('s1', { kind: 'start' }), started('s1')];

test('a container is assigned once', () => {
  const assign: ContainerCommand = { type: 'AssignContainer', id: aContainerId, hostId: aHostId, name: 'web', spec: aSpec() };
  given([]).when(assign).types(['ContainerAssigned']);
  given([assigned()]).when(assign).refused('already-exists');
});

test('what a host has and the log does not know is adopted as what it has come to', () => {
  const adopt = (different: Partial<Extract<ContainerCommand, { type: 'AdoptContainer' }>>): ContainerCommand => ({ type: 'AdoptContainer', id: aContainerId, hostId: aHostId, name: 'web', spec: aSpec(), createdAtMs: 1, run: null, paused: false, lastExit: null, manuallyStopped: false, ...different });
  assert.equal(given([]).when(adopt({})).types(['ContainerAssigned', 'ContainerCreated'])?.status, 'created');
  assert.equal(given([]).when(adopt({ run: aRun('s1') })).types(['ContainerAssigned', 'ContainerCreated', 'ContainerStarted'])?.status, 'running');
  assert.equal(given([]).when(adopt({ run: aRun('s1'), paused: true })).after?.status, 'paused');
  const ended = given([]).when(adopt({ lastExit: anExit('s1', 3) })).after;
  assert.deepEqual(ended?.status === 'exited' && [ended.lastExit.exitCode, ended.manuallyStopped, ended.createdAtMs], [3, false, 1]);
  const stopped = given([]).when(adopt({ lastExit: anExit('s1', 3), manuallyStopped: true })).after;
  assert.deepEqual([stopped?.status, stopped?.manuallyStopped, stopped?.requests], ['exited', true, []]);
  given(running).when(adopt({})).refused('already-exists');
  const { state } = given(running);
  assert.equal(explainUnadoptable(state), null);
  assert.match(explainUnadoptable(null) ?? '', /does not know what it was asked to be/);
  assert.match(explainUnadoptable(given([assigned({ service: { uid: 'u', name: 'web', slot: 1, generation: 1 } as never })]).state) ?? '', /replica of a service/);
});

test('nothing can be asked of a container that nobody knows, or that is gone', () => {
  given([]).when(request('c', { kind: 'start' })).refused('not-found');
  given([assigned(), created, { type: 'ContainerRemoved', atMs: 9 }]).when(request('c', { kind: 'start' })).refused('removed');
});

test('a start is asked once: a second one joins the first', () => {
  given([assigned(), created, requested('s1', { kind: 'start' })]).when(request('s2', { kind: 'start' })).refused('in-progress');
  given(running).when(request('s2', { kind: 'start' })).refused('already-running');
});

test('a start may wait for an end that is sure to come, and for no other', () => {
  given([...running, requested('k', { kind: 'kill', signal: 'SIGKILL' })]).when(request('s2', { kind: 'start' })).types(['ContainerRequested']);
  given([...running, requested('k', { kind: 'kill', signal: 'SIGTERM' })]).when(request('s2', { kind: 'start' })).refused('already-running');
});

test('the same command twice changes nothing', () => {
  given([assigned(), created, requested('s1', { kind: 'start' })]).when(request('s1', { kind: 'start' })).then([]);
  // An api that was not answered asks again when the run is over.
  given([...running, exited('s1')]).when(request('s1', { kind: 'start' })).then([]);
  given(running).when({ type: 'ReportStarted', run: aRun('s1'), byPolicy: false }).then([]);
});

test('a start fulfils its request and begins with a clean sheet', () => {
  const after = given([...running.slice(0, 3)]).when({ type: 'ReportStarted', run: aRun('s1'), byPolicy: false }).types(['ContainerStarted']);
  assert.deepEqual(after?.requests, []);
  assert.equal(after?.restartCount, 0);
});

test('an exit fulfils every stop that waits for it', () => {
  const after = given([...running, requested('c1', stop)]).when(reportExit('s1', 143)).types(['ContainerExited', 'ContainerStopped']);
  assert.deepEqual(after?.requests, []);
  assert.equal(after?.status, 'exited');
});

test('an exit of an earlier start is not told again', () => {
  given([...running, exited('s1'), requested('s2', { kind: 'start' }), started('s2')]).when(reportExit('s1', 1)).then([exited('s1', 1)].slice(1));
  given([...running, exited('s1')]).when(reportExit('s1', 0)).then([]);
});

test('an exit whose start was never told is told', () => {
  given([assigned(), created]).when(reportExit('s9', 3)).types(['ContainerExited']);
});

test('restart fulfils itself by the start that it leads to', () => {
  const restart: Action = { kind: 'restart', signal: 'SIGTERM', timeoutSeconds: 1 };
  const ended = given([...running, requested('r1', restart)]).when(reportExit('s1', 143)).types(['ContainerExited']);
  assert.equal(ended?.requests.length, 1);
  const again = given([...running, requested('r1', restart), exited('s1', 143)]).when({ type: 'ReportStarted', run: aRun('r1'), byPolicy: false }).types(['ContainerStarted']);
  assert.deepEqual(again?.requests, []);
  assert.equal(again?.manuallyStopped, false);
});

test('removal of a running container wants force, and comes once', () => {
  given(running).when(request('d', { kind: 'remove', force: false })).refused('running');
  given(running).when(request('d', { kind: 'remove', force: true })).types(['ContainerRequested']);
  given([...running, requested('d', { kind: 'remove', force: true })]).when(request('e', { kind: 'remove', force: true })).refused('in-progress');
  given([...running, requested('d', { kind: 'remove', force: true })]).when(request('e', { kind: 'start' })).refused('removing');
});

test('pause and unpause are refused in the wrong state', () => {
  given([assigned(), created]).when(request('p', { kind: 'pause' })).refused('not-running');
  given(running).when(request('p', { kind: 'unpause' })).refused('not-paused');
  const paused = [...running, { type: 'ContainerPaused', commandId: 'p', atMs: 4 } as const];
  given(paused).when(request('q', { kind: 'pause' })).refused('paused');
  given(paused).when(request('q', { kind: 'start' })).refused('paused');
});

test('a container that removes itself asks for it with its exit', () => {
  const after = given([assigned({ autoRemove: true }), created, started('s1')]).when(reportExit('s1', 0)).types(['ContainerExited', 'ContainerRequested']);
  assert.equal(after?.requests[0]?.action.kind, 'remove');
});

test('a container that removes itself asks for it also with a start that failed', () => {
  const after = given([assigned({ autoRemove: true }), created, requested('s1', { kind: 'start' })])
    .when({ type: 'ReportStartFailed', startId: 's1', exitCode: 127, code: 'command-not-found', message: 'no such file' }).types(['ContainerStartFailed', 'ContainerRequested']);
  assert.equal(after?.requests[0]?.action.kind, 'remove');
});

test('requests are bounded', () => {
  const many = Array.from({ length: maxPendingRequests }, (_, n) => requested(`k${n}`, { kind: 'kill', signal: 'SIGHUP' }));
  given([...running, ...many]).when(request('one-more', { kind: 'kill', signal: 'SIGHUP' })).refused('too-many-requests');
});

test('remembered failures are bounded, the newest stay', () => {
  const many = Array.from({ length: maxRememberedFailures + 3 }, (_, n) => n).flatMap((n): ContainerEvent[] => [
    requested(`k${n}`, { kind: 'kill', signal: 'SIGHUP' }),
    { type: 'ContainerRequestFailed', commandId: `k${n}`, code: 'internal', message: 'no', atMs: 4 },
  ]);
  const { state } = given([...running, ...many]);
  assert.equal(state?.failures.length, maxRememberedFailures);
  assert.equal(state?.failures.at(-1)?.commandId, `k${maxRememberedFailures + 2}`);
});

test('restart policies: who comes back', () => {
  const cases: [ContainerSpec['restartPolicy'], number, readonly ContainerEvent[], boolean][] = [
    [{ name: 'no', maximumRetryCount: 0 }, 1, [], false],
    [{ name: 'always', maximumRetryCount: 0 }, 0, [], true],
    [{ name: 'unless-stopped', maximumRetryCount: 0 }, 0, [], true],
    [{ name: 'on-failure', maximumRetryCount: 0 }, 0, [], false],
    [{ name: 'on-failure', maximumRetryCount: 0 }, 1, [], true],
    [{ name: 'always', maximumRetryCount: 0 }, 0, [requested('c', stop)], false],
    [{ name: 'always', maximumRetryCount: 0 }, 137, [requested('c', { kind: 'kill', signal: 'SIGKILL' })], false],
    [{ name: 'always', maximumRetryCount: 0 }, 0, [requested('c', { kind: 'kill', signal: 'SIGUSR1' })], true],
  ];
  for (const [restartPolicy, code, before, comesBack] of cases) {
    const after: Container | null = given([assigned({ restartPolicy }), created, started('s1'), ...before]).when(reportExit('s1', code)).after;
    assert.equal(after?.status, comesBack ? 'restarting' : 'exited', `${restartPolicy.name} after ${code} with ${JSON.stringify(before)}`);
  }
});

test('on-failure gives up after its number of tries; the back-off doubles and is bounded', () => {
  const restartPolicy = { name: 'on-failure', maximumRetryCount: 3 } as const;
  let events: readonly ContainerEvent[] = [assigned({ restartPolicy }), created, started('s0')];
  const delays: number[] = [];
  for (let n = 0; n < 4; n++) {
    const decision = decideContainer(given(events).state, { type: 'ReportExit', exit: anExit(`s${n}`, 1, { startedAtMs: 0, finishedAtMs: 10 }), hostShutdown: false }, now);
    assert.ok(decision.ok);
    const restart = decision.events.find((event) => event.type === 'ContainerExited')?.restart ?? null;
    if (restart !== null) delays.push(restart.atMs - 10);
    events = [...events, ...decision.events, ...(restart === null ? [] : [started(`s${n + 1}`, true)])];
  }
  assert.deepEqual(delays, [100, 200, 400]);
  assert.equal(given(events).state?.status, 'exited');
});

test('containers come back with their host after an orderly shutdown, when their policy says so', () => {
  const after = (name: 'no' | 'unless-stopped') => given([assigned({ restartPolicy: { name, maximumRetryCount: 0 } }), created, started('s1')]).when(reportExit('s1', 143, true)).after;
  assert.equal(after('no')?.status, 'exited');
  assert.equal(after('unless-stopped')?.status, 'restarting');
});

test('a stop while waiting to restart cancels the restart', () => {
  const restartPolicy = { name: 'always', maximumRetryCount: 0 } as const;
  const waiting: ContainerEvent[] = [assigned({ restartPolicy }), created, started('s1'), { type: 'ContainerExited', exit: anExit('s1', 1), restart: { atMs: 9, backoffStep: 1 } }, requested('c', stop)];
  const after = given(waiting).when({ type: 'ReportRestartCancelled' }).types(['ContainerRestartCancelled', 'ContainerStopped']);
  assert.equal(after?.status, 'exited');
});

test('a start that fails leaves its reason with whoever asked', () => {
  const after = given([assigned(), created, requested('s1', { kind: 'start' })])
    .when({ type: 'ReportStartFailed', startId: 's1', exitCode: 127, code: 'bad-parameter', message: 'no such file' }).types(['ContainerStartFailed']);
  assert.equal(after?.status, 'created');
  assert.deepEqual(after?.failures, [{ commandId: 's1', code: 'bad-parameter', message: 'no such file' }]);
  assert.deepEqual(after?.requests, []);
});

test('an event of a newer version is passed over', () => {
  const { state } = given(running);
  assert.equal(evolveContainer(state, { type: 'ContainerTeleported', atMs: 1 } as unknown as ContainerEvent), state);
});

test('whatever is asked in whatever order, requests stay bounded and a removed container stays removed', () => {
  const command = fc.oneof(
    fc.record({ type: fc.constant('RequestAction' as const), commandId: fc.uuid(), action: fc.constantFrom<Action>({ kind: 'start' }, stop, { kind: 'kill', signal: 'SIGHUP' }, { kind: 'pause' }, { kind: 'unpause' }, { kind: 'remove', force: true }, { kind: 'restart', signal: 'SIGTERM', timeoutSeconds: 0 }) }),
    fc.constantFrom<ContainerCommand>({ type: 'ReportCreated' }, { type: 'ReportStarted', run: aRun('x'), byPolicy: true }, reportExit('x', 1), { type: 'ReportPaused', commandId: null }, { type: 'ReportUnpaused', commandId: null }, { type: 'ReportRemoved' }),
  );
  fc.assert(fc.property(fc.array(command, { maxLength: 100 }), (commands: ContainerCommand[]) => {
    let state = given([assigned({ restartPolicy: { name: 'always', maximumRetryCount: 0 } })]).state;
    let gone = false;
    for (const one of commands) {
      const decision = decideContainer(state, one, now);
      if (gone) assert.equal(decision.ok, false);
      if (decision.ok) state = decision.events.reduce<Container | null>(evolveContainer, state);
      gone ||= state?.status === 'removed';
      assert.ok((state?.requests.length ?? 0) <= maxPendingRequests);
    }
  }));
});

const restarting = [...running, { type: 'ContainerExited', exit: anExit('s1', 1), restart: { atMs: 9_000, backoffStep: 1 } }] as const satisfies ContainerEvent[];
const startFailed = (startId: string): ContainerCommand => ({ type: 'ReportStartFailed', startId, exitCode: 128, code: 'conflict', message: 'no' });

test('a start by hand that fails between two restarts is answered, and ends the restarting', () => {
  const after = given([...restarting, requested('s2', { kind: 'start' })]).when(startFailed('s2')).types(['ContainerStartFailed']);
  assert.equal(after?.status, 'exited');
  assert.deepEqual(after?.requests, []);
  assert.deepEqual(after?.failures, [{ commandId: 's2', code: 'conflict', message: 'no' }]);
});

test('a start by policy that fails is followed by the next one', () => {
  const withPolicy = [assigned({ restartPolicy: { name: 'always', maximumRetryCount: 0 } }), ...restarting.slice(1)];
  assert.equal(given(withPolicy).when(startFailed('policy-1')).types(['ContainerExited'])?.status, 'restarting');
});

test('SIGKILL and the stop signal end the restarting; other signals have nobody to go to', () => {
  given(restarting).when(request('k', { kind: 'kill', signal: 'SIGHUP' })).refused('not-running');
  given(restarting).when(request('k', { kind: 'kill', signal: 'SIGKILL' })).types(['ContainerRequested']);
  const after = given([...restarting, requested('k', { kind: 'kill', signal: 'SIGKILL' })]).when({ type: 'ReportRestartCancelled' }).types(['ContainerRestartCancelled', 'ContainerSignalled']);
  assert.equal(after?.status, 'exited');
  assert.deepEqual(after?.requests, []);
});

test('on-failure counts restarts that came to nothing, and gives up', () => {
  let events: readonly ContainerEvent[] = [assigned({ restartPolicy: { name: 'on-failure', maximumRetryCount: 3 } }), ...restarting.slice(1)];
  const statuses = [1, 2, 3].map((n) => {
    const decision = decideContainer(given(events).state, startFailed(`policy-${n}`), now);
    assert.ok(decision.ok);
    events = [...events, ...decision.events];
    return given(events).state?.status;
  });
  assert.deepEqual(statuses, ['restarting', 'restarting', 'exited']);
  assert.equal(given(events).state?.restartCount, 3);
});

test('a stop that the host had not heard of when a run ended is not done by that end where the container comes back by its policy', () => {
  const always = [assigned({ restartPolicy: { name: 'always', maximumRetryCount: 0 } }), created, requested('s1', { kind: 'start' }), started('s1'), requested('c1', stop)];
  const unaware: ContainerCommand = { type: 'ReportExit', exit: anExit('s1'), hostShutdown: false, knew: { manuallyStopped: false, requests: [] } };
  const ended = given(always).when(unaware).types(['ContainerExited']);
  assert.deepEqual([ended?.status, ended?.status === 'removed' ? [] : ended?.requests.map(({ commandId }) => commandId)], ['restarting', ['c1']]);
  // It had come back already: then the stop is of that run.
  const back: ContainerCommand = { type: 'ReportStarted', byPolicy: true, run: aRun('p1') };
  const events = decideContainer(ended, back, now);
  assert.ok(events.ok);
  const again = events.events.reduce<Container | null>(evolveContainer, ended);
  assert.deepEqual(statusOf(again), 'running');
  const known: ContainerCommand = { type: 'ReportExit', exit: anExit('p1'), hostShutdown: false, knew: { manuallyStopped: true, requests: ['c1'] } };
  const last = decideContainer(again, known, now);
  assert.deepEqual(last.ok && last.events.map(({ type }) => type), ['ContainerExited', 'ContainerStopped']);
  // It had not: the stop ends the waiting.
  assert.deepEqual(decideContainer(ended, { type: 'ReportRestartCancelled' }, now), { ok: true, events: [{ type: 'ContainerRestartCancelled', atMs: now }, { type: 'ContainerStopped', commandIds: ['c1'], atMs: now }] });
});

test('a stop that the host had not heard of is done by the end of a container that does not come back', () => {
  const unaware: ContainerCommand = { type: 'ReportExit', exit: anExit('s1'), hostShutdown: false, knew: { manuallyStopped: false, requests: [] } };
  given([...running, requested('c1', stop)]).when(unaware).types(['ContainerExited', 'ContainerStopped']);
});
