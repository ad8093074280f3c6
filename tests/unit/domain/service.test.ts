// Services: given what was wanted and what became of the replicas, when the scheduler looks, then so many are started, retired, and taken note of.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { containerId, decidePlacement, evolvePlacement, evolveService, fold, isServiceName, isSettled, maxPastOfSlot, maxStartsAtOnce, schedule, taskName, taskSpec, hostId, type ServiceCommand, type ServiceEvent, type Surroundings, type Task } from '@pouch/domain';
import { aHostsFacts, aSpec } from '../../fixtures/domain.ts';
import { rollout, template, aServiceSpec, idOf, Given, types, refusal } from '../../fixtures/service.ts';

test('a new service gets a replica for each slot, and looking again changes nothing', () => {
  const given = new Given();
  assert.equal(types(given.look()), 'ServiceTasksStarted');
  assert.equal(given.tasks, '1:1 2:1 3:1');
  assert.deepEqual(given.look(), []);
  assert.deepEqual(given.runs().look(), []);
});

test('many replicas are started so many at a time', () => {
  const given = new Given(aServiceSpec({ replicas: maxStartsAtOnce + 5 }));
  given.look();
  assert.equal(given.state.tasks.length, maxStartsAtOnce);
  given.look();
  assert.equal(given.state.tasks.length, maxStartsAtOnce + 5);
});

test('a replica that ends by itself is told of and replaced after a while, which doubles while they end soon', () => {
  const given = new Given(aServiceSpec({ replicas: 1 }));
  given.look();
  const waits: number[] = [];
  for (let times = 0; times < 3; times++) {
    const endedAtMs = given.nowMs;
    given.ends(() => true).look();
    assert.equal(given.tasks, '');
    while (given.tasks === '') {
      given.nowMs += 1_000;
      given.look();
    }
    waits.push(given.nowMs - endedAtMs);
  }
  assert.deepEqual(waits, [5_000, 10_000, 20_000]);
  const ids = new Set([...given.state.past, ...given.state.tasks].map(({ containerId: id }) => id));
  assert.equal(ids.size, 4, 'each has an id of its own');
  given.ends(() => true, 1, 60_000).look();
  assert.equal(given.state.rests[0]?.dueAtMs, given.nowMs + 5_000, 'one that ran for long begins anew');
});

test('a clock that is set back makes nobody wait for longer', () => {
  const given = new Given(aServiceSpec({ replicas: 1 }));
  given.look();
  given.nowMs = 1_000_000;
  given.ends(() => true).look();
  given.nowMs = 500;
  given.look();
  assert.equal(given.tasks, '1:1');
});

test('the restart condition and its attempts are kept to', () => {
  const never = new Given(aServiceSpec({ replicas: 1, restart: { condition: 'on-failure', delayMs: 0, maxAttempts: 0 } }));
  never.look();
  never.ends(() => true, 0).look();
  never.nowMs = 1e9;
  assert.deepEqual(never.look(), []);
  assert.equal(never.state.past[0]?.outcome, 'complete');
  const twice = new Given(aServiceSpec({ replicas: 1, restart: { condition: 'any', delayMs: 0, maxAttempts: 1 } }));
  twice.look();
  for (let times = 0; times < 5; times++) twice.ends(() => true).look();
  assert.equal(twice.state.tasksMade, 2);
});

test('what is remembered of ended replicas is bounded', () => {
  const given = new Given(aServiceSpec({ replicas: 1, restart: { condition: 'any', delayMs: 0, maxAttempts: 0 } }));
  for (let times = 0; times < 20; times++) { given.look(); given.ends(() => true); }
  given.look();
  assert.equal(given.state.past.length, maxPastOfSlot);
});

test('a replica on a lost host is replaced at once', () => {
  const given = new Given();
  given.look();
  given.runs().seen.set(given.state.tasks[1]?.containerId ?? '', { state: 'lost', hostId: 'h2' });
  assert.equal(types(given.look()), 'ServiceTasksEnded ServiceTasksStarted');
  assert.deepEqual([given.tasks, given.state.past[0]?.outcome], ['1:1 2:1 3:1', 'lost']);
});

test('replicas on a host that is drained move one at a time, while all others run', () => {
  const given = new Given();
  given.look();
  given.runs();
  for (const { containerId: id, slot } of given.state.tasks) if (slot < 3) given.seen.set(id, { state: 'running', forMs: 60_000, health: null, draining: true });
  assert.equal(types(given.look()), 'ServiceTasksRetired');
  assert.equal(given.tasks, '-1:1 2:1 3:1');
  assert.deepEqual(given.look(), [], 'the next one waits');
  given.ends(({ retired }) => retired !== undefined, 143).look();
  assert.deepEqual(given.look(), [], 'also for the new one to run');
  given.runs(10, ({ slot, retired }) => slot === 1 && retired === undefined);
  given.look();
  assert.equal(given.tasks, '-2:1 1:1 3:1');
});

test('scaling down ends the highest slots; scaling up waits until they have ended', () => {
  const given = new Given();
  given.look();
  given.runs().update({ replicas: 1 }).look();
  assert.equal(given.tasks, '-2:1 -3:1 1:1');
  assert.equal(given.state.rollout, null, 'the number is no update');
  given.update({ replicas: 2 });
  assert.deepEqual(given.look(), []);
  given.ends(({ retired }) => retired !== undefined, 143).look();
  assert.equal(given.tasks, '1:1 2:1');
  assert.deepEqual(given.state.past.map(({ outcome }) => outcome), ['shut-down', 'shut-down']);
});

test('removal ends all, and is over when they have ended; the name is free then', () => {
  const given = new Given();
  given.look();
  given.runs().when({ type: 'RemoveService', uid: 'u1' }).look();
  assert.equal(given.tasks, '-1:1 -2:1 -3:1');
  const again: ServiceCommand = { type: 'CreateService', name: 'web', uid: 'u2', spec: aServiceSpec() };
  assert.match(refusal(given.state, again), /^removing: /);
  assert.match(refusal(given.state, { type: 'UpdateService', uid: 'u1', version: null, spec: aServiceSpec(), force: true }), /^removing: /);
  given.ends(() => true, 143).look();
  assert.equal(given.state.state, 'removed');
  assert.match(refusal(given.state, { type: 'RemoveService', uid: 'u1' }), /^not-found: /);
  assert.equal(refusal(given.state, again), 'accepted ServiceCreated');
});

test('names are taken once, and an update of something older than what is there is refused', () => {
  const given = new Given();
  assert.match(refusal(given.state, { type: 'CreateService', name: 'web', uid: 'u2', spec: aServiceSpec() }), /^already-exists: there is a service web already$/);
  assert.match(refusal(given.state, { type: 'RemoveService', uid: 'u2' }), /^not-found: /, 'an earlier service of the name is not this one');
  given.update({ replicas: 5 });
  assert.match(refusal(given.state, { type: 'UpdateService', uid: 'u1', version: 1, spec: aServiceSpec(), force: false }), /^stale: update out of sequence/);
  for (const name of ['web', 'a', 'A-1_b']) assert.equal(isServiceName(name), true, name);
  for (const name of ['', '-a', 'a-', 'a.b', 'a b', 'a'.repeat(64), 'ä']) assert.equal(isServiceName(name), false, name);
});

test("a replica's container: its name, host name and labels, spread over hosts, and nothing else brings it back", () => {
  const given = new Given(aServiceSpec({ templates: [aSpec({ hostname: '', restartPolicy: { name: 'always', maximumRetryCount: 0 } }), aSpec({ hostname: 'fixed', runtime: 'runv' })] }));
  given.look();
  const [first, second] = given.state.tasks as [Task, Task];
  const spec = taskSpec(given.state, first);
  assert.equal(taskName(given.state, first), `web.1.${first.containerId.slice(0, 12)}`);
  assert.deepEqual(spec?.service, { uid: 'u1', name: 'web', slot: 1, generation: 1 });
  assert.deepEqual([spec?.hostname, spec?.restartPolicy.name, spec?.labels['io.pouch.service.name'], spec?.placement?.spreadOver], [first.containerId.slice(0, 12), 'no', 'web', ['node']]);
  assert.deepEqual([taskSpec(given.state, second)?.runtime, taskSpec(given.state, second)?.hostname], ['runv', 'fixed']);
  assert.equal(taskSpec(given.state, { ...first, generation: 7 }), null);
});

test('replicas go to the hosts that have the fewest of them, whatever else is there', () => {
  const given = new Given();
  given.look();
  const spec = taskSpec(given.state, given.state.tasks[0] as Task);
  assert.ok(spec !== null);
  const host = (name: string, replicas: number, containers: number) => ({
    host: { id: hostId(name), facts: aHostsFacts(), joinedAtMs: 0, state: 'up' as const, stateSinceMs: 0, cordoned: false },
    reserved: { cpuNanos: 0, memoryBytes: 0, pids: 0, containers, ports: new Map(), groups: new Map([['service u1', replicas]]) },
    contents: { containers: () => [], images: () => [] },
  });
  const plan = schedule(spec, [host('a', 2, 2), host('b', 1, 90), host('c', 3, 3)]);
  assert.equal(plan.outcome === 'place' && plan.hostId, 'b');
});

test('a request for a host that is wanted no more can be placed by nobody, whether it was asked for or not', () => {
  const id = containerId('ab'.repeat(32));
  const cancel = { type: 'CancelPlacement', id, name: 'web.1', spec: aSpec(), message: 'its service wants it no more' } as const;
  for (const before of [null, evolvePlacement(null, { type: 'PlacementRequested', id, name: 'web.1', spec: aSpec(), atMs: 1 })]) {
    const decision = decidePlacement(before, cancel, 2);
    assert.ok(decision.ok);
    const after = fold('placement', before, decision.events);
    assert.equal(after?.status, 'refused');
    assert.deepEqual(decidePlacement(after, cancel, 3), { ok: true, events: [] });
    assert.equal(decidePlacement(after, { type: 'PlaceContainer', hostId: hostId('h1'), epoch: 1, verdicts: [] }, 3).ok, false);
    assert.equal(decidePlacement(after, { type: 'RequestPlacement', id, name: 'web.1', spec: aSpec() }, 3).ok, false);
  }
});

test('an event of a newer version changes nothing', () => {
  const { state } = new Given();
  assert.equal(evolveService(state, { type: 'ServiceBlessed' } as unknown as ServiceEvent), state);
});

/** Anything that may happen between two looks. */
const happening = fc.oneof(
  fc.record({ what: fc.constant('look' as const), forMs: fc.constantFrom(0, 2_000, 60_000) }),
  fc.record({ what: fc.constant('end' as const), slot: fc.integer({ min: 1, max: 5 }), exitCode: fc.constantFrom(0, 1), lost: fc.boolean() }),
  fc.record({ what: fc.constant('scale' as const), replicas: fc.integer({ min: 0, max: 5 }) }),
  fc.record({ what: fc.constant('update' as const), version: fc.integer({ min: 1, max: 9 }), order: fc.constantFrom('stop-first' as const, 'start-first' as const), parallelism: fc.integer({ min: 0, max: 2 }), onFailure: fc.constantFrom('pause' as const, 'continue' as const, 'rollback' as const) }),
  fc.record({ what: fc.constant('roll back' as const) }),
);

test('property: whatever happens, there are never more than may be, ids are new ones, and it settles at what is wanted', () => {
  fc.assert(fc.property(fc.array(happening, { maxLength: 60 }), (happenings) => {
    const given = new Given(aServiceSpec({ restart: { condition: 'any', delayMs: 1_000, maxAttempts: 0 } }));
    const ids = new Set<string>();
    let most = 3;
    const check = (): void => {
      const { tasks, spec } = given.state;
      const beside = [spec.update, spec.rollback].map(({ order, parallelism }) => (order === 'stop-first' ? 0 : parallelism === 0 ? spec.replicas : parallelism));
      const now = spec.replicas + Math.max(...beside);
      // What is to end already is not counted: it only takes its time.
      const active = tasks.filter(({ retired }) => retired === undefined);
      most = active.every(({ slot }) => slot <= spec.replicas) && new Set(active.map(({ slot }) => slot)).size === active.length ? now : Math.max(most, now);
      assert.ok(active.length <= most, `${active.length} tasks, ${most} may be: ${given.tasks}`);
    };
    for (const one of happenings) {
      given.nowMs += 700;
      if (one.what === 'look') {
        given.runs(one.forMs).ends(({ retired }) => retired !== undefined, 143);
        for (const event of given.look()) {
          if (event.type !== 'ServiceTasksStarted') continue;
          for (const { containerId: id } of event.tasks) {
            assert.ok(!ids.has(id), 'an id is given once');
            ids.add(id);
          }
        }
      } else if (one.what === 'end') {
        if (one.lost) for (const task of given.state.tasks) { if (task.slot === one.slot) given.seen.set(task.containerId, { state: 'lost', hostId: 'h1' }); }
        else given.ends(({ slot }) => slot === one.slot, one.exitCode);
        given.look();
      } else if (one.what === 'scale') given.update({ replicas: one.replicas });
      else if (one.what === 'update') given.update({ templates: [template(String(one.version))], update: rollout({ order: one.order, parallelism: one.parallelism, onFailure: one.onFailure }) });
      else if (given.state.previous !== null) given.when({ type: 'RollBackService', uid: 'u1', version: null });
      check();
    }
    given.settle();
    const { tasks, spec, rollout: last, generation } = given.state;
    assert.deepEqual(tasks.map(({ slot }) => slot).sort((a, b) => a - b), Array.from({ length: spec.replicas }, (_, index) => index + 1));
    if (last === null || last.state.endsWith('completed')) assert.ok(tasks.every((task) => task.generation === generation));
  }), { numRuns: 500, seed: 20261127 });
});

test('property: of what is settled, time makes nothing else; what has just settled is found to be', () => {
  let settled = 0;
  fc.assert(fc.property(fc.array(happening, { maxLength: 20 }), (happenings) => {
    const given = new Given(aServiceSpec({ restart: { condition: 'on-failure', delayMs: 1_000, maxAttempts: 2 } }));
    const surroundings: Surroundings = { observe: (id) => given.seen.get(id) ?? { state: 'pending' }, idOf };
    const check = (): void => {
      if (!isSettled(given.state, surroundings) || given.again().length > 0) return;
      settled += 1;
      const { nowMs } = given;
      for (const laterMs of [1, 5_000, 1e9]) {
        given.nowMs = nowMs + laterMs;
        given.runs(60_000 + laterMs);
        assert.deepEqual(given.again(), [], `settled with ${given.tasks}, and ${laterMs} ms later it is not`);
      }
      given.nowMs = nowMs;
    };
    for (const one of happenings) {
      given.nowMs += 700;
      if (one.what === 'look') given.runs(one.forMs).ends(({ retired }) => retired !== undefined, 143).look();
      else if (one.what === 'end') given.ends(({ slot }) => slot === one.slot, one.exitCode).look();
      else if (one.what === 'scale') given.update({ replicas: one.replicas }).look();
      else if (one.what === 'update') given.update({ templates: [template(String(one.version))], update: rollout({ order: one.order, parallelism: one.parallelism, onFailure: one.onFailure }) }).look();
      else if (given.state.previous !== null) given.when({ type: 'RollBackService', uid: 'u1', version: null }).look();
      check();
    }
    given.settle();
    assert.ok(isSettled(given.state, surroundings), given.tasks);
  }), { numRuns: 300 });
  assert.ok(settled > 100, `only ${settled} were settled on the way`);
});
