// What schedulers do to volumes: bind and take under the volume's own lock, also two of them at once, and let go of who is gone.
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import { toMessage, volumeSubject, type Message, type Recorded } from '@pouch/contracts';
import { anonymousLabel, containerId, hostId, type Container, type Mount, type Placement, type Volume } from '@pouch/domain';
import { MemoryEventLog } from '@pouch/eventlog';
import { nullLogger, systemClock } from '@pouch/process';
import { View } from '../../../services/scheduler/src/view.ts';
import { VolumeKeeper } from '../../../services/scheduler/src/volumes/volume-keeper.ts';
import { aSpec } from '../../fixtures/domain.ts';

const [a, b] = [hostId('a'), hostId('b')];
const idOf = (digit: string) => containerId(digit.repeat(64));
const mount = (name: string | null, target = '/data'): Mount => ({ type: 'volume', declaredAs: 'mounts', name, target, readonly: false, noCopy: false, labels: { team: 'x' } });
const asking = (digit: string, ...mounts: Mount[]): Pick<Placement, 'id' | 'spec' | 'rejections'> => ({ id: idOf(digit), spec: aSpec({ mounts }), rejections: [] });

function cluster() {
  const log = new MemoryEventLog<Message>({ check: toMessage });
  const scheduler = () => {
    const view = new View();
    return { view, keeper: new VolumeKeeper({ volumes: view.volumes, log, clock: systemClock, logger: nullLogger }) };
  };
  const volume = async (name: string): Promise<Volume | null> => ((await log.last(volumeSubject(name)))?.message.snapshot as Volume | undefined) ?? null;
  return { log, scheduler, volume };
}

test('two schedulers that bind one volume to two hosts: one of them is told to choose anew', async () => {
  const { scheduler, volume } = cluster();
  const [one, two] = [scheduler(), scheduler()];
  const outcomes = await Promise.all([one.keeper.take(asking('1', mount('data')), 'named', a), two.keeper.take(asking('2', mount('data')), 'named', b)]);
  assert.deepEqual(outcomes.map(({ outcome }) => outcome).sort(), ['elsewhere', 'taken']);
  const bound = await volume('data');
  assert.equal(bound?.users.length, 1);
  // Whoever won gets the same again, and the other one's container comes to the same host.
  const [winner, loser] = bound.users[0] === idOf('1') ? (['1', '2'] as const) : (['2', '1'] as const);
  const again = await one.keeper.take(asking(winner, mount('data')), 'named', bound.hostId ?? a);
  assert.deepEqual(again, { outcome: 'taken', uses: [{ name: 'data', dataId: bound.dataId }] });
  assert.equal((await two.keeper.take(asking(loser, mount('data')), 'named', bound.hostId ?? a)).outcome, 'taken');
  assert.equal((await volume('data'))?.users.length, 2);
});

test('what is taken is known at once, before the log has told of it', async () => {
  const { scheduler } = cluster();
  const { view, keeper } = scheduler();
  await keeper.take(asking('1', mount('data'), mount(null, '/own')), 'named', b);
  assert.equal(view.volumes.placeOf('data'), b);
});

test("a container's own volume follows it only from a host that has said no", async () => {
  const { scheduler, volume } = cluster();
  const asked = asking('1', mount(null));
  const taken = await scheduler().keeper.take(asked, 'own', a);
  assert.ok(taken.outcome === 'taken');
  assert.equal((await scheduler().keeper.take(asked, 'own', b)).outcome, 'elsewhere');
  const rejections = [{ hostId: a, filter: 'host', reason: 'full', score: null }];
  assert.equal((await scheduler().keeper.take({ ...asked, rejections }, 'own', b)).outcome, 'taken');
  // Whoever has not heard of that is too late.
  assert.equal((await scheduler().keeper.take(asked, 'own', a)).outcome, 'elsewhere');
  assert.equal((await volume(taken.uses[0]?.name ?? ''))?.hostId, b);
});

test('an anonymous volume has the labels of its mount and the one that says what it is', async () => {
  const { scheduler, volume } = cluster();
  const taken = await scheduler().keeper.take(asking('1', mount(null)), 'own', a);
  assert.ok(taken.outcome === 'taken');
  assert.deepEqual((await volume(taken.uses[0]?.name ?? ''))?.labels, { team: 'x', [anonymousLabel]: '' });
});

test('a container that is gone is taken out of its volumes, with those of its own where that was asked for; by a scheduler that has just begun, too', async () => {
  const { log, scheduler, volume } = cluster();
  const asked = asking('1', mount('data'), mount(null, '/own'));
  assert.equal((await scheduler().keeper.take(asked, 'named', a)).outcome, 'taken');
  const taken = await scheduler().keeper.take(asked, 'own', a);
  assert.ok(taken.outcome === 'taken');
  const own = taken.uses[0]?.name ?? '';
  const later = scheduler();
  for (const name of ['data', own]) later.view.apply(await log.last(volumeSubject(name)) as unknown as Recorded);
  const { id, spec } = asked;
  const gone = { status: 'removed', id, hostId: a, name: 'x', spec, requests: [], reason: { kind: 'removed' }, removedAtMs: 1, withVolumes: true } as unknown as Container;
  later.view.apply({ subject: `evt.container.a.${id}`, seq: 99, message: { kind: 'container', snapshot: gone, meta: { atMs: 1 } } } as unknown as Recorded);
  const over = new AbortController();
  later.keeper.work({ epoch: 1, signal: over.signal });
  while (later.view.volumes.releases().length > 0) await delay(1);
  assert.deepEqual([(await volume('data'))?.users, (await volume(own))?.state], [[], 'removed']);
  // Nothing is left to be done about it.
  const before = (await log.identity()).lastSeq;
  later.keeper.work({ epoch: 1, signal: over.signal });
  assert.equal((await log.identity()).lastSeq, before);
});

test('users of whom nothing is known are found by the sweep; those that are known stay', async () => {
  const { log, scheduler, volume } = cluster();
  const { view, keeper } = scheduler();
  await keeper.take(asking('1', mount('data')), 'named', a);
  await keeper.take(asking('2', mount('data')), 'named', a);
  // Not before the log has told of the volume: what it has not told of may be of others.
  view.volumes.sweep(() => false);
  assert.deepEqual(view.volumes.releases(), []);
  view.apply(await log.last(volumeSubject('data')) as unknown as Recorded);
  view.promise({ id: idOf('2'), name: 'known', spec: aSpec() } as Placement, a);
  view.volumes.sweep((id) => view.nameOf(id) !== null);
  keeper.work({ epoch: 1, signal: new AbortController().signal });
  while (view.volumes.releases().length > 0) await delay(1);
  assert.deepEqual((await volume('data'))?.users, [idOf('2')]);
});

test('a promise is taken back only while the log has not told where the container is', () => {
  const view = new View();
  const { id, spec } = asking('1');
  const told = (seq: number, kind: string, subject: string, snapshot: object): void => { view.apply({ subject, seq, message: { kind, snapshot, meta: { atMs: 1 } } } as unknown as Recorded); };
  const placement = { id, name: 'web', spec, requestedAtMs: 1, rejections: [] };
  told(1, 'placement', `evt.placement.${id}`, { ...placement, status: 'requested' });
  view.promise(placement as unknown as Placement, a);
  view.unpromise(id);
  assert.deepEqual(view.occupants(a), []);
  view.promise(placement as unknown as Placement, a);
  told(2, 'placement', `evt.placement.${id}`, { ...placement, status: 'placed', hostId: b, epoch: 1, verdicts: [], atMs: 1 });
  view.unpromise(id);
  assert.deepEqual([view.occupants(a), view.occupants(b), view.nameOf(id)], [[], [id], 'web']);
});
