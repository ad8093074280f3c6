// Volumes: a name, a host with the first container, and users that keep it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { containerId, dataToRemove, decideVolume, evolveVolume, hostId, isVolumeName, maxFormer, maxVolumeUsers, mountsToShare, volumeId, volumesOf, type Mount, type Volume, type VolumeCommand, type VolumeEvent } from '@pouch/domain';

const [one, two] = ['1', '2'].map((digit) => containerId(digit.repeat(64))) as [ReturnType<typeof containerId>, ReturnType<typeof containerId>];
const [here, there] = [hostId('here'), hostId('there')];
const create: VolumeCommand = { type: 'CreateVolume', name: 'my.data', labels: { a: 'b' }, dataId: 'd1' };
const take = (different: Partial<Extract<VolumeCommand, { type: 'TakeVolume' }>> = {}): VolumeCommand =>
  ({ type: 'TakeVolume', name: 'my.data', labels: {}, anonymous: false, dataId: 'd2', hostId: here, containerId: one, rejectedBy: [], ...different });
const release = (id = one, withAnonymous = false): VolumeCommand => ({ type: 'ReleaseVolume', containerId: id, withAnonymous });
const remove = (...gone: (typeof one)[]): VolumeCommand => ({ type: 'RemoveVolume', gone });

let atMs = 0;
function after(...commands: readonly VolumeCommand[]): Volume | null {
  return commands.reduce<Volume | null>((state, command) => {
    const decision = decideVolume(state, command, ++atMs);
    assert.ok(decision.ok, JSON.stringify(decision));
    return decision.events.reduce<Volume | null>((folded, event) => evolveVolume(folded, event), state);
  }, null);
}
const types = (state: Volume | null, command: VolumeCommand): readonly VolumeEvent['type'][] | string => {
  const decision = decideVolume(state, command, 5);
  return decision.ok ? decision.events.map(({ type }) => type) : `${decision.refusal.code}: ${decision.refusal.message}`;
};

test('a volume has no host until a container has it, and then keeps it', () => {
  const made = after(create);
  assert.deepEqual([made?.id, made?.hostId, made?.labels], ['my~data', null, { a: 'b' }]);
  const taken = after(create, take());
  assert.deepEqual([taken?.hostId, taken?.dataId, taken?.users], [here, 'd1', [one]]);
  assert.deepEqual(types(taken, take()), []);
  assert.deepEqual(types(taken, take({ containerId: two })), ['VolumeTaken']);
  assert.equal(types(taken, take({ containerId: two, hostId: there })), 'stale: volume my.data is on host here');
  assert.equal(types(after(create, take(), release()), take({ hostId: there })), 'stale: volume my.data is on host here');
});

test('one that is not there is made with its first container; creating it again changes nothing', () => {
  assert.deepEqual(types(null, take()), ['VolumeCreated', 'VolumeBound', 'VolumeTaken']);
  assert.deepEqual(types(after(create), create), []);
});

test('what a container has is not removed, unless that container is known to be gone', () => {
  const used = after(create, take(), take({ containerId: two }));
  assert.equal(types(used, remove()), `in-use: volume is in use - [${one}, ${two}]`);
  assert.equal(types(used, remove(one)), `in-use: volume is in use - [${two}]`);
  assert.deepEqual(types(used, remove(one, two)), ['VolumeRemoved']);
  assert.deepEqual(types(after(create, take(), release()), remove()), ['VolumeRemoved']);
  assert.match(String(types(null, remove())), /^not-found/);
  assert.match(String(types(after(create, remove()), remove())), /^not-found/);
});

test('an anonymous volume goes with its container where that is asked for, but not from under another one', () => {
  const own = after(take({ anonymous: true }));
  assert.deepEqual(types(own, release(one, true)), ['VolumeReleased', 'VolumeRemoved']);
  assert.deepEqual(types(own, release()), ['VolumeReleased']);
  assert.deepEqual(types(after(take({ anonymous: true }), take({ containerId: two })), release(one, true)), ['VolumeReleased']);
  assert.deepEqual(types(after(take()), release(one, true)), ['VolumeReleased']);
  assert.deepEqual(types(own, release(two, true)), []);
});

test('an anonymous volume goes along when a host says no to its container; what was there is to go', () => {
  const moved = after(take({ anonymous: true }), take({ anonymous: true, hostId: there, dataId: 'd3', rejectedBy: [here] }));
  assert.match(String(types(after(take({ anonymous: true })), take({ anonymous: true, hostId: there, dataId: 'd3' }))), /^stale/);
  assert.deepEqual([moved?.hostId, moved?.dataId, moved?.users], [there, 'd3', [one]]);
  assert.ok(moved !== null);
  assert.deepEqual([dataToRemove(moved, here), dataToRemove(moved, there)], [['d2'], []]);
});

test('a later volume of the same name has data of its own, and the earlier data are to go from their host only', () => {
  const again = after(create, take(), release(), remove(), take({ hostId: there, dataId: 'd9' }));
  assert.ok(again !== null);
  assert.deepEqual([again.dataId, again.hostId, dataToRemove(again, here), dataToRemove(again, there)], ['d9', there, ['d1'], []]);
  const removed = after(create, take(), release(), remove());
  assert.ok(removed !== null);
  assert.deepEqual([dataToRemove(removed, here), dataToRemove(removed, there)], [['d1'], []]);
  const never = after(create, remove());
  assert.ok(never !== null);
  assert.deepEqual(dataToRemove(never, here), []);
});

test('users and remembered data are bounded', () => {
  const full: Volume = { ...(after(create, take()) as Volume), users: Array.from({ length: maxVolumeUsers }, (_, at) => containerId(at.toString(16).padStart(64, 'a'))) };
  assert.match(String(types(full, take())), /^too-many-requests/);
  const lives = Array.from({ length: maxFormer + 3 }, (_, at) => [take({ dataId: `d${at}` }), release(), remove()]).flat();
  assert.equal(after(...lives, take())?.former.length, maxFormer);
});

test('each anonymous mount has a name that only its container can have', () => {
  const mount = (name: string | null, target: string): Mount => ({ type: 'volume', declaredAs: 'volumes', name, target, readonly: false, noCopy: false, labels: {} });
  const mounts = [mount(null, '/a'), mount('named', '/b'), mount(null, '/c')];
  const names = volumesOf(one, mounts).map(({ name }) => name);
  assert.deepEqual(names, [`${'1'.repeat(60)}0000`, 'named', `${'1'.repeat(60)}0002`]);
  assert.ok(names.every(isVolumeName));
  assert.notDeepEqual(volumesOf(two, mounts).map(({ name }) => name), names);
});

test('what another container gets: binds and volumes, read-only where either says so, and the same volumes also of those without a name', () => {
  const mounts: readonly Mount[] = [
    { type: 'bind', declaredAs: 'binds', source: '/s', target: '/bound', readonly: true, propagation: 'rslave', recursive: true, createSource: true, within: '/s' },
    { type: 'tmpfs', declaredAs: 'mounts', target: '/fleeting', sizeBytes: null, mode: null, options: [] },
    { type: 'volume', declaredAs: 'volumes', name: null, target: '/own', readonly: false, noCopy: false, labels: { a: 'b' } },
  ];
  const shared = mountsToShare({ id: one, spec: { mounts } }, { readonly: false });
  assert.deepEqual(shared, [
    { ...mounts[0], declaredAs: 'volumes-from' },
    { type: 'volume', declaredAs: 'volumes-from', name: volumesOf(one, mounts)[0]?.name, target: '/own', readonly: false, noCopy: true, labels: {} },
  ]);
  assert.ok(mountsToShare({ id: one, spec: { mounts } }, { readonly: true }).every((mount) => mount.type !== 'tmpfs' && mount.readonly));
  assert.deepEqual(mountsToShare({ id: two, spec: { mounts: shared } }, { readonly: false }), shared, 'and from that one to the next');
});

test('names', () => {
  for (const name of ['ab', 'a.b', 'A_b-c.d', 'x'.repeat(255)]) assert.ok(isVolumeName(name), name);
  for (const name of ['', 'a', '.a', '../x', 'a/b', 'a b', 'a~b', 'x'.repeat(256)]) assert.ok(!isVolumeName(name), name);
  assert.equal(volumeId('a.b.c'), 'a~b~c');
});
