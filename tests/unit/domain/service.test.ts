// Services: given what was wanted and what became of the replicas, when the scheduler looks, then so many are started, retired, and taken note of.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { containerId, decidePlacement, decideService, evolvePlacement, evolveService, fold, isServiceName, isSettled, maxPastOfSlot, maxStartsAtOnce, schedule, taskName, taskSpec, hostId, type HealthStatus, type Observation, type Rollout, type Service, type ServiceCommand, type ServiceEvent, type ServiceSpec, type Surroundings, type Task } from '@pouch/domain';
import { createHash } from 'node:crypto';
import { aHostsFacts, aSpec } from '../../fixtures/domain.ts';

const rollout = (different: Partial<Rollout> = {}): Rollout => ({ parallelism: 1, delayMs: 0, order: 'stop-first', monitorMs: 5_000, onFailure: 'pause', maxFailureRatio: 0, ...different });
const template = (version: string) => aSpec({ env: [`VERSION=${version}`], hostname: '' });
function aServiceSpec(different: Partial<ServiceSpec> = {}): ServiceSpec {
  return { templates: [template('1')], replicas: 3, update: rollout(), rollback: rollout(), restart: { condition: 'any', delayMs: 5_000, maxAttempts: 0 }, labels: {}, asked: '{}', ...different };
}
const idOf: Surroundings['idOf'] = ({ uid, slot, generation, number }) => containerId(createHash('sha256').update(`${uid} ${slot} ${generation} ${number}`).digest('hex'));

/** A service with what its replicas have come to; a replica that nothing is said of is still to come. */
class Given {
  state: Service;
  nowMs = 0;
  /** Of those that run from here on. */
  health: HealthStatus | null = null;
  readonly seen = new Map<string, Observation>();

  constructor(spec: ServiceSpec = aServiceSpec()) {
    this.state = this.#fold(null, decideService(null, { type: 'CreateService', name: 'web', uid: 'u1', spec }, 0));
  }

  #fold(state: Service | null, decision: ReturnType<typeof decideService>): Service {
    if (!decision.ok) throw new Error(decision.refusal.message);
    return fold('service', state, decision.events) as Service;
  }

  when(command: ServiceCommand): this {
    this.state = this.#fold(this.state, decideService(this.state, command, this.nowMs));
    return this;
  }

  update(different: Partial<ServiceSpec>, force = false): this {
    return this.when({ type: 'UpdateService', uid: 'u1', version: null, spec: { ...this.state.spec, ...different }, force });
  }

  /** The scheduler looks once; what is retired stays until it is said to have ended. */
  look(): readonly ServiceEvent[] {
    const decision = decideService(this.state, { type: 'AdvanceService', uid: 'u1', surroundings: { observe: (id) => this.seen.get(id) ?? { state: 'pending' }, idOf } }, this.nowMs);
    this.state = this.#fold(this.state, decision);
    return decision.ok ? decision.events : [];
  }

  /** What would follow now; nothing is taken note of. */
  again(): readonly ServiceEvent[] {
    const decision = decideService(this.state, { type: 'AdvanceService', uid: 'u1', surroundings: { observe: (id) => this.seen.get(id) ?? { state: 'pending' }, idOf } }, this.nowMs);
    return decision.ok ? decision.events : [];
  }

  runs(forMs = 60_000, which: (task: Task) => boolean = ({ retired }) => retired === undefined): this {
    for (const task of this.state.tasks) if (which(task)) this.seen.set(task.containerId, { state: 'running', forMs, health: this.health, draining: false });
    return this;
  }

  ends(which: (task: Task) => boolean, exitCode: number | null = 1, ranMs = 0): this {
    for (const task of this.state.tasks) if (which(task)) this.seen.set(task.containerId, { state: 'ended', hostId: 'h1', exitCode, ranMs, message: '' });
    return this;
  }

  /** Looks until nothing follows, with retired ones ending at once and started ones running for as long as it takes. */
  settle(): this {
    for (let round = 0; round < 100; round++) {
      this.runs().ends(({ retired }) => retired !== undefined, 0);
      this.nowMs += 1_000_000; // longer than any delay
      if (this.look().length === 0) return this;
    }
    throw new Error('it never settles');
  }

  /** `slot:generation`, a retired one with a minus before it. */
  get tasks(): string {
    return this.state.tasks.map(({ slot, generation, retired }) => `${retired === undefined ? '' : '-'}${slot}:${generation}`).sort().join(' ');
  }
}

const types = (events: readonly ServiceEvent[]): string => events.map(({ type }) => type).join(' ');
const refusal = (state: Service | null, command: ServiceCommand): string => {
  const decision = decideService(state, command, 9);
  return decision.ok ? `accepted ${types(decision.events)}` : `${decision.refusal.code}: ${decision.refusal.message}`;
};

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

test('an update, stop-first: one slot after the other, the next when the new one is proven', () => {
  const given = new Given(aServiceSpec({ replicas: 2 }));
  given.look();
  given.runs().update({ templates: [template('2')] });
  given.look();
  assert.equal(given.tasks, '-1:1 2:1');
  given.ends(({ retired }) => retired !== undefined, 143).look();
  assert.equal(given.tasks, '1:2 2:1');
  given.runs(4_999, ({ generation }) => generation === 2);
  assert.deepEqual(given.look(), []);
  given.runs(5_000, ({ generation }) => generation === 2).look();
  assert.equal(given.tasks, '-2:1 1:2');
  given.settle();
  assert.deepEqual([given.tasks, given.state.rollout?.state], ['1:2 2:2', 'completed']);
});

test('an update, start-first: the old one goes when the new one beside it is proven', () => {
  const given = new Given(aServiceSpec({ replicas: 2, update: rollout({ order: 'start-first' }) }));
  given.look();
  given.runs().update({ templates: [template('2')] }).look();
  assert.equal(given.tasks, '1:1 1:2 2:1');
  given.runs(1, ({ generation }) => generation === 2);
  assert.deepEqual(given.look(), []);
  given.runs(5_000, ({ generation }) => generation === 2).look();
  assert.equal(given.tasks, '-1:1 1:2 2:1', 'the next waits for the old one to end');
  given.settle();
  assert.deepEqual([given.tasks, given.state.rollout?.state], ['1:2 2:2', 'completed']);
});

test('parallelism and delay are kept to; 0 exchanges all at once', () => {
  const all = new Given(aServiceSpec({ update: rollout({ parallelism: 0 }) }));
  all.look();
  all.runs().update({ templates: [template('2')] }).look();
  assert.equal(all.tasks, '-1:1 -2:1 -3:1');
  const slow = new Given(aServiceSpec({ update: rollout({ delayMs: 10_000 }) }));
  slow.look();
  slow.runs().update({ templates: [template('2')] }).look();
  slow.ends(({ retired }) => retired !== undefined, 143).look();
  slow.runs(14_999, ({ generation }) => generation === 2);
  assert.deepEqual(slow.look(), []);
  slow.runs(15_000, ({ generation }) => generation === 2).look();
  assert.equal(slow.tasks, '-2:1 1:2 3:1');
});

test('new replicas that end before they are proven pause the update, or it goes on, as asked', () => {
  const fail = (different: Partial<Rollout>): Given => {
    const given = new Given(aServiceSpec({ update: rollout(different) }));
    given.look();
    given.runs().update({ templates: [template('2')] }).look();
    given.ends(({ retired }) => retired !== undefined, 143).look();
    given.ends(({ generation }) => generation === 2, 1, 100);
    given.nowMs += 1;
    given.look();
    return given;
  };
  const paused = fail({ onFailure: 'pause' });
  assert.deepEqual([paused.state.rollout?.state, paused.state.rollout?.failures], ['paused', 1]);
  paused.settle();
  assert.equal(paused.tasks, '1:2 2:1 3:1', 'the failed slot is kept up, the others are left alone');
  assert.equal(fail({ onFailure: 'continue' }).state.rollout?.state, 'updating');
  assert.equal(fail({ onFailure: 'pause', maxFailureRatio: 0.34 }).state.rollout?.state, 'updating', 'one of three may fail');
});

test('a failed update is rolled back: to the old settings, with the replicas that still have them', () => {
  const given = new Given(aServiceSpec({ update: rollout({ onFailure: 'rollback' }) }));
  given.look();
  given.runs().update({ templates: [template('2')], labels: { new: 'yes' } }).update({ replicas: 4 }).look();
  assert.equal(given.tasks, '1:1 2:1 3:1 4:2', 'the slot that was empty is the first');
  given.ends(({ generation }) => generation === 2, 1, 100).look();
  assert.match(given.state.rollout?.message ?? '', /^rolled back: 1 of the new replicas ended before they had run for 5000 ms, or became unhealthy$/);
  given.settle();
  assert.deepEqual([given.tasks, given.state.rollout?.state], ['1:1 2:1 3:1 4:1', 'rollback_completed']);
  assert.deepEqual([given.state.spec.labels, given.state.spec.replicas], [{}, 4]);
  assert.equal(given.state.past.filter(({ generation }) => generation === 1).length, 0);
  given.update({ templates: [template('3')] }).settle();
  assert.equal(given.tasks, '1:3 2:3 3:3 4:3', 'a generation is never counted twice');
});

test('a rollback by request, and one that fails: it pauses', () => {
  const given = new Given(aServiceSpec({ replicas: 1 }));
  assert.match(refusal(given.state, { type: 'RollBackService', uid: 'u1', version: null }), /^no-change: .*has not been updated/);
  given.look();
  given.runs().update({ templates: [template('2')] }).settle().when({ type: 'RollBackService', uid: 'u1', version: null }).look();
  given.ends(({ retired }) => retired !== undefined, 0).look();
  given.ends(({ generation, retired }) => generation === 1 && retired === undefined, 1, 0).look();
  assert.equal(given.state.rollout?.state, 'rollback_paused');
});

test('an update waits for the health of a new replica, however long it has run', () => {
  const given = new Given(aServiceSpec({ replicas: 2 }));
  given.health = 'healthy';
  given.look();
  given.runs().update({ templates: [template('2')] }).look();
  given.ends(({ retired }) => retired !== undefined, 143).look();
  given.health = 'starting';
  given.runs(600_000, ({ generation }) => generation === 2);
  assert.deepEqual(given.look(), []);
  given.health = 'healthy';
  given.runs(4_999, ({ generation }) => generation === 2);
  assert.deepEqual(given.look(), [], 'it is to run for so long all the same');
  given.runs(5_000, ({ generation }) => generation === 2).look();
  assert.equal(given.tasks, '-2:1 1:2');
  assert.deepEqual([given.settle().tasks, given.state.rollout?.state], ['1:2 2:2', 'completed']);
});

test('a new replica that becomes unhealthy fails the update, and is ended', () => {
  const given = new Given(aServiceSpec({ replicas: 2, update: rollout({ order: 'start-first', onFailure: 'rollback' }) }));
  given.health = 'healthy';
  given.look();
  given.runs().update({ templates: [template('2')] }).look();
  assert.equal(given.tasks, '1:1 1:2 2:1');
  given.health = 'unhealthy';
  given.runs(600_000, ({ generation }) => generation === 2).look();
  assert.equal(given.tasks, '-1:2 1:1 2:1', 'the old one goes on');
  given.ends(({ retired }) => retired !== undefined, 0, 600_000);
  assert.match(JSON.stringify(given.look()), /"ServiceRolledBack","why":"rolled back: 1 of the new replicas [^"]* became unhealthy"/);
  given.health = 'healthy';
  assert.deepEqual([given.settle().tasks, given.state.rollout?.state], ['1:1 2:1', 'rollback_completed']);
});

test('an unhealthy replica is ended and replaced like one that failed', () => {
  const given = new Given(aServiceSpec({ replicas: 1 }));
  given.look();
  given.health = 'unhealthy';
  given.runs();
  assert.equal(types(given.look()), 'ServiceTasksRetired');
  given.ends(() => true, 0, 60_000).look();
  const [past] = given.state.past;
  assert.deepEqual([past?.outcome, past?.message, given.tasks], ['failed', 'its health check failed', '']);
  given.nowMs += 5_000;
  given.look();
  assert.equal(given.tasks, '1:1');
});

test('an update that overtakes another leaves one replica a slot', () => {
  const given = new Given(aServiceSpec({ replicas: 1, update: rollout({ order: 'start-first' }) }));
  given.look();
  given.runs().update({ templates: [template('2')] }).look();
  assert.equal(given.tasks, '1:1 1:2');
  given.update({ templates: [template('3')] }).look();
  assert.equal(given.tasks, '-1:2 1:1');
  given.settle();
  assert.equal(given.tasks, '1:3');
});

test('a forced update exchanges replicas though nothing differs, another one without a difference is nothing', () => {
  const given = new Given(aServiceSpec({ replicas: 1 }));
  given.look();
  given.runs().update({});
  assert.equal(given.state.version, 1);
  given.update({}, true).settle();
  assert.equal(given.tasks, '1:2');
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
