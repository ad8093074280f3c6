// The data of volumes on a host's disk: filled once and whole, also where an earlier agent was killed in between; taken away only where the log says so.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, beforeEach, test } from 'node:test';
import { toMessage, volumeSubject, type Message } from '@pouch/contracts';
import { decideVolume, hostId, volumesOf, type Container, type Mount, type VolumeCommand } from '@pouch/domain';
import { execute, MemoryEventLog, type PouchLog } from '@pouch/eventlog';
import { nullLogger } from '@pouch/process';
import { volumeUsage } from '../../../services/agent/src/volumes/usage.ts';
import { Volumes } from '../../../services/agent/src/volumes/volumes.ts';
import { aContainerId, aHostId, aSpec } from '../../fixtures/domain.ts';

const [dataId, other] = ['1'.repeat(32), '2'.repeat(32)];
const skip = process.getuid?.() === 0 ? false : 'owners of files can be kept by root only';
let directory: string;
let log: PouchLog;
let volumes: Volumes;

before(async () => { directory = await mkdtemp(join(tmpdir(), 'pouch-test-volumes-')); });
after(async () => { await rm(directory, { recursive: true, force: true }); });
beforeEach(async (t) => {
  await rm(directory, { recursive: true, force: true });
  await mkdir(join(directory, 'image', 'srv'), { recursive: true });
  await symlink('/srv', join(directory, 'image', 'data'));
  for (const name of ['one', 'two']) await writeFile(join(directory, 'image', 'srv', name), name);
  await utimes(join(directory, 'image', 'srv', 'one'), 1_000, 1_000);
  log = new MemoryEventLog<Message>({ check: toMessage });
  volumes = new Volumes({ hostId: aHostId, directory: join(directory, 'volumes'), log, logger: nullLogger });
  await volumes.start();
  (t as unknown as { after(run: () => Promise<void>): void }).after(async () => { await volumes.stop(); });
});

const home = (...path: string[]): string => join(directory, 'volumes', dataId, ...path);
const data = (...path: string[]): string => home('_data', ...path);

function container(different: Partial<Extract<Mount, { type: 'volume' }>> = {}): Container {
  const spec = aSpec({ mounts: [{ type: 'volume', declaredAs: 'mounts', name: 'data', target: '/data', readonly: false, noCopy: false, labels: {}, ...different }] });
  return { id: aContainerId, status: 'assigned', spec, volumes: volumesOf(aContainerId, spec.mounts).map(({ name }) => ({ name, dataId })) } as unknown as Container;
}
const make = async (different: Parameters<typeof container>[0] = {}): Promise<void> => { await volumes.make(container(different), [join(directory, 'image')]); };
const say = async (command: VolumeCommand): Promise<void> => {
  const done = await execute({ log, kind: 'volume', subject: volumeSubject('data'), commandId: crypto.randomUUID(), meta: { atMs: 1, service: 'api', actor: 'x', cause: null }, decide: (state) => decideVolume(state, command, 1) });
  assert.ok(done.ok);
};
const taken = (host = aHostId, id = dataId): VolumeCommand => ({ type: 'TakeVolume', name: 'data', labels: {}, anonymous: false, dataId: id, hostId: host, containerId: aContainerId, rejectedBy: [] });
const removed: VolumeCommand = { type: 'RemoveVolume', gone: [aContainerId] };

test('an empty volume is filled, by way of a link of the image, and never again', { skip }, async () => {
  await make();
  assert.deepEqual([(await readdir(data())).sort(), await readdir(home())], [['one', 'two'], ['_data']]);
  assert.equal((await lstat(data('one'))).mtimeMs, 1_000_000);
  await rm(data('one'));
  await make();
  assert.deepEqual(await readdir(data()), ['two']);
  assert.equal(volumes.path(container(), 'data'), data());
});

test('nothing is copied with nocopy, nor where the image has no directory', { skip }, async () => {
  await make({ noCopy: true });
  await make({ target: '/data/one' });
  await make({ target: '/nowhere' });
  assert.deepEqual([await readdir(data()), await readdir(home())], [[], ['_data']]);
});

test('two containers that are made with an empty volume at once fill it once', { skip }, async () => {
  await Promise.all([make(), make(), make({ noCopy: true })]);
  assert.deepEqual([(await readdir(data())).sort(), await readdir(home())], [['one', 'two'], ['_data']]);
});

test('a copy that was cut short is begun anew; a whole one that was not all moved is moved to its end', { skip }, async () => {
  await mkdir(home('.new-of-one-that-was-killed'), { recursive: true });
  await writeFile(home('.new-of-one-that-was-killed', 'one'), 'on');
  await mkdir(home('.scratch'));
  await make();
  assert.deepEqual([(await readdir(data())).sort(), await readdir(home()), await readFile(data('one'), 'utf8')], [['one', 'two'], ['_data'], 'one']);
  await rm(home(), { recursive: true });
  await mkdir(home('copied'), { recursive: true });
  await mkdir(data());
  await writeFile(home('copied', 'later'), 'later');
  await writeFile(data('earlier'), 'earlier');
  await make();
  assert.deepEqual([(await readdir(data())).sort(), await readdir(home())], [['earlier', 'later'], ['_data']]);
});

test('what cannot be copied fails by its reason and leaves nothing that looks whole', { skip }, async () => {
  await assert.rejects(volumes.make(container(), [join(directory, 'image'), join(directory, 'not-there')]), /could not be copied into an empty volume: .*(mount|overlay)/s);
  assert.ok(!existsSync(home('copied')));
  assert.ok(!(await readdir(home())).some((name) => name.startsWith('.new-')));
});

test('data go once the log says that their volume is removed: these, and no others', async () => {
  for (const id of [dataId, other]) await mkdir(join(directory, 'volumes', id, '_data'), { recursive: true });
  await volumes.stop();
  await say(taken());
  await say(removed);
  volumes = new Volumes({ hostId: aHostId, directory: join(directory, 'volumes'), log, logger: nullLogger });
  await volumes.start();
  while (existsSync(home())) await delay(5);
  assert.ok(existsSync(join(directory, 'volumes', other)));
});

test('data of an earlier volume of that name go, those of the later one stay, and what another host has is not this one\'s', async () => {
  for (const id of [dataId, other]) await mkdir(join(directory, 'volumes', id, '_data'), { recursive: true });
  await volumes.stop();
  await say(taken());
  await say(removed);
  await say(taken(hostId('elsewhere'), other));
  await say(removed);
  await say(taken(aHostId, 'e'.repeat(32)));
  volumes = new Volumes({ hostId: aHostId, directory: join(directory, 'volumes'), log, logger: nullLogger });
  await volumes.start();
  while (existsSync(home())) await delay(5);
  assert.ok(existsSync(join(directory, 'volumes', other)));
});

test('a link in place of data is taken away and not followed', async () => {
  await volumes.stop();
  await mkdir(join(directory, 'precious'));
  await symlink(join(directory, 'precious'), home());
  await say(taken());
  await say(removed);
  volumes = new Volumes({ hostId: aHostId, directory: join(directory, 'volumes'), log, logger: nullLogger });
  await volumes.start();
  while (await lstat(home()).then(() => true, () => false)) await delay(5);
  assert.ok(existsSync(join(directory, 'precious')));
});

test('how much they hold; what is not an id is refused', async () => {
  await mkdir(data(), { recursive: true });
  await writeFile(data('file'), Buffer.alloc(100_000));
  const { volumes: [of] } = await volumeUsage(volumes, { dataIds: [dataId, other] });
  assert.equal(of?.dataId, dataId);
  assert.ok((of?.bytes ?? 0) >= 100_000 && (of?.bytes ?? 0) < 150_000);
  for (const bad of ['..', '../..', 'x', `${dataId}/..`]) await assert.rejects(volumeUsage(volumes, { dataIds: [bad] }), /dataIds/);
});
