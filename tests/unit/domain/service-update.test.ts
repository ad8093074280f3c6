// Updates of services: replicas are exchanged in order, proven by time and health, and what fails pauses, goes on or is rolled back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Rollout } from '@pouch/domain';
import { rollout, template, aServiceSpec, Given, types, refusal } from '../../fixtures/service.ts';

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
