// The agent's images on real containerd and NATS with a registry of the test's own: what arrives, what goes, and what the log is told.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { text } from 'node:stream/consumers';
import { imageSubject, type HostPipes, type ImageProgress } from '@pouch/contracts';
import { imageId, type Image } from '@pouch/domain';
import { keyOf } from '../../../services/agent/src/images/reports.ts';
import { containerdMissing } from '../../fixtures/containerd.ts';
import { busyboxImage, busyboxMissing, dockerArchive, imageOf, layerOf, ociLayout, sha256, tarOf, type FixtureImage } from '../../fixtures/images.ts';
import { startRegistry, type TestRegistry } from '../../fixtures/registry.ts';
import { eventually, host, startFixture, type Fixture } from '../agent/fixture.ts';

const options = { skip: containerdMissing() || busyboxMissing(), timeout: 300_000 };
const busybox = 'docker.io/library/busybox:latest';
let registry: TestRegistry;
let fixture: Fixture;
let small: FixtureImage;
let other: FixtureImage;

before(async () => {
  if (options.skip !== false) return;
  registry = await startRegistry({ auth: 'basic', username: 'me', password: 'secret' });
  fixture = await startFixture({ env: { POUCH_REGISTRIES: JSON.stringify({ mirrors: { 'mirrored.invalid': [registry.url] }, credentials: { [registry.host]: { username: 'me', password: 'secret' } } }) } });
  await fixture.startAgent();
  small = imageOf('small', [layerOf(await tarOf([{ name: 'hello', data: 'hello' }]))], { Labels: { team: 'a' }, Cmd: ['/hello'], ExposedPorts: { '80/tcp': {} } });
  other = imageOf('other', [layerOf(await tarOf([{ name: 'other', data: 'other' }]))], { Labels: { team: 'b' } });
}, { timeout: 300_000 });
after(async () => {
  await fixture?.stop();
  await registry?.close();
});

const known = async (name: string): Promise<Image | null> => ((await fixture.log.last(imageSubject(host, keyOf(name))))?.message.snapshot ?? null) as Image | null;
const isPresent = async (name: string): Promise<boolean> => (await known(name))?.state === 'present';

async function pull(reference: string, more: Partial<HostPipes['image.pull']['params']> = {}): Promise<{ lines: ImageProgress[]; trailer: HostPipes['image.pull']['trailer'] }> {
  const { raw, trailer } = await fixture.converse('image.pull', { reference, platform: null, auth: null, actor: 'me', ...more }, null);
  return { lines: raw.toString().trim().split('\n').map((line) => JSON.parse(line) as ImageProgress), trailer };
}

async function load(archive: Buffer): Promise<HostPipes['image.load']['trailer']> {
  const pipe = await fixture.client.open(host, 'image.load', { quiet: false, actor: 'me' });
  pipe.end(archive);
  const [, trailer] = await Promise.all([text(pipe), pipe.trailer]);
  return trailer;
}

const remove = async (name: string, force = false): Promise<{ untagged: string[]; deleted: string[] }> => await fixture.client.call(host, 'image.remove', { name, force, actor: 'me' });
const tag = async (source: string, name: string): Promise<{ seq: number }> => await fixture.client.call(host, 'image.tag', { source, name, actor: 'me' });

test('an image that was there before the log knew of it is announced', options, async () => {
  await eventually(() => isPresent(busybox), 'it is announced');
  const image = await known(busybox);
  assert.equal(image?.record.id, (await busyboxImage()).imageId);
  assert.deepEqual(image?.record.config.cmd, ['sh']);
  assert.equal(image?.record.history.length, 1);
  assert.ok(image?.record.sizeBytes > 100_000);
});

test('a pull shows its progress and is told to the log', options, async () => {
  const digest = registry.push('app', '1', small);
  const name = `${registry.host}/app:1`;
  const auth = { username: 'me', password: 'secret', identityToken: '' };
  const { lines, trailer } = await pull(name, { auth });
  assert.equal(lines[0]?.status, `Pulling from ${registry.host}/app`);
  assert.equal(lines[0]?.id, '1');
  assert.deepEqual(lines.slice(-2).map(({ status }) => status), [`Digest: ${digest}`, `Status: Downloaded newer image for ${name}`]);
  assert.ok(lines.some(({ status, id }) => status === 'Pull complete' && id === small.layers[0]?.gzipDigest.slice(7, 19)));
  const told = await fixture.log.last(imageSubject(host, keyOf(name)));
  assert.equal(told?.seq, trailer.seq);
  assert.equal(told?.message.meta.actor, 'me');
  assert.deepEqual((told?.message.snapshot as Image).record, trailer.record);
  assert.equal(trailer.record.manifestDigest, digest);
  const again = await pull(name, { auth });
  assert.equal(again.lines.at(-1)?.status, `Status: Image is up to date for ${name}`);
  assert.ok(again.trailer.seq > trailer.seq, 'a pull is told even when it brings nothing');
});

test('a pull that fails is refused before the first line, in words', options, async () => {
  await assert.rejects(pull(`${registry.host}/app:nope`), { code: 'not-found', message: /manifest for .*\/app:nope not found/ });
  await assert.rejects(pull(`${registry.host}/app:1`, { auth: { username: 'me', password: 'wrong', identityToken: '' } }), { code: 'not-found', message: /pull access denied/ });
  await assert.rejects(pull('upper/CASE'), { code: 'bad-parameter' });
  await assert.rejects(pull(busybox, { platform: 'plan9/mips' }), { code: 'bad-parameter', message: /^platform/ });
});

test('a container gets the image of its pin from a mirror, even when the tag has moved on', options, async () => {
  const digest = registry.push('moved', 'latest', small);
  registry.push('moved', 'latest', other);
  const name = 'mirrored.invalid/moved:latest';
  const image = { reference: name, name, id: imageId(small.imageId), manifestDigest: digest };
  await remove(`${registry.host}/app:1`);
  assert.equal(await isPresent(`${registry.host}/app:1`), false);
  const made = await fixture.created({ image });
  await eventually(() => isPresent(name), 'the name is told');
  assert.equal((await known(name))?.record.id, small.imageId);
  await fixture.request(made, { kind: 'remove', force: true });
  await fixture.untilStatus(made, 'removed');

  const missing = { ...image, id: imageId(sha256('nothing')), manifestDigest: sha256('nothing') };
  const failed = await fixture.assign({ image: missing });
  const gone = await fixture.until(failed, ({ status }) => status === 'removed');
  assert.match(JSON.stringify(gone), /"code":"not-found".*No such image: mirrored/);
  assert.equal((await known(name))?.record.id, other.imageId, 'what was tried by name is told as it is');
});

test('load takes docker archives and layouts; a broken one leaves nothing', options, async () => {
  const named = { ...small, reference: 'docker.io/library/loaded:1' };
  assert.deepEqual((await load(await dockerArchive([named]))).loaded, [{ name: named.reference, imageId: small.imageId }]);
  assert.equal((await known(named.reference))?.record.id, small.imageId);
  const { loaded, seq } = await load(await ociLayout([other], { named: false }));
  assert.deepEqual(loaded, [{ name: null, imageId: other.imageId }]);
  assert.ok(seq > 0);
  assert.equal(await isPresent(other.imageId), true);
  const blobs = async (): Promise<string[]> => (await fixture.containerd.client.content.list()).map(({ digest }) => digest);
  const before = new Set(await blobs()); // some of it may be collected meanwhile
  const big = await ociLayout([imageOf('docker.io/library/broken:1', [layerOf(await tarOf([{ name: 'x', data: Buffer.alloc(3_000_000, 7) }]))])]);
  await assert.rejects(load(big.subarray(0, big.length / 2)), { code: 'bad-parameter', message: /it ends in the middle of/ });
  await assert.rejects(load(Buffer.alloc(100_000, 1)), { code: 'bad-parameter' });
  await eventually(async () => (await blobs()).every((digest) => before.has(digest)), 'nothing of them is there');
  await eventually(async () => (await fixture.containerd.client.leases.list()).length === 0, 'no lease is left');
});

test('a tag names an image further; a name that moves leaves the other image under its id', options, async () => {
  const name = 'docker.io/library/tagged:2';
  const { seq } = await tag(small.imageId, name);
  assert.equal((await fixture.log.last(imageSubject(host, keyOf(name))))?.seq, seq);
  await load(await dockerArchive([{ ...imageOf('x', [layerOf(await tarOf([{ name: 'third', data: '3' }]))]), reference: 'docker.io/library/third:1' }]));
  const third = (await known('docker.io/library/third:1'))!.record.id;
  await tag('docker.io/library/loaded:1', 'docker.io/library/third:1');
  assert.equal((await known('docker.io/library/third:1'))?.record.id, small.imageId);
  assert.equal((await known(third))?.name, third);
  await assert.rejects(tag('docker.io/library/no:1', name), { code: 'not-found' });
  await assert.rejects(tag(small.imageId, `${busybox}@${sha256('')}`), { code: 'bad-parameter' });
});

test('an image in use stays: Docker\'s words, and what force may do', options, async () => {
  const id = await fixture.created();
  const image = (await busyboxImage()).imageId;
  const [container, short] = [id.slice(0, 12), image.slice(7, 19)];
  await assert.rejects(remove(busybox), { code: 'conflict', message: `conflict: unable to remove repository reference "busybox:latest" (must force) - container ${container} is using its referenced image ${short}` });
  await assert.rejects(remove(image), { code: 'conflict', message: `conflict: unable to delete ${short} (must be forced) - image is being used by stopped container ${container}` });
  await fixture.request(id, { kind: 'start' });
  await fixture.untilStatus(id, 'running');
  await assert.rejects(remove(image, true), { code: 'conflict', message: /cannot be forced.*running container/ });
  assert.deepEqual(await remove(busybox, true), { untagged: ['busybox:latest'], deleted: [], seq: (await fixture.log.last(imageSubject(host, keyOf(busybox))))!.seq });
  assert.equal(await isPresent(image), true);
  await tag(image, busybox);
  assert.equal(await isPresent(image), false, 'an image with a name needs no other');
  await fixture.request(id, { kind: 'remove', force: true });
  await fixture.untilStatus(id, 'removed');
});

test('by id: one name goes along, several want force', options, async () => {
  await assert.rejects(remove(small.imageId), { code: 'conflict', message: /must be forced.*multiple repositories/ });
  const { untagged, deleted } = await remove(small.imageId, true);
  assert.ok(untagged.includes('loaded:1') && untagged.includes('tagged:2') && untagged.includes('third:1'));
  assert.deepEqual(deleted, [small.imageId]);
  const last = fixture.log.read({ filter: `evt.image.${host}.>` });
  const standing = new Map<string, Image>();
  for await (const batch of last) for (const entry of batch) standing.set(entry.subject, fixture.log.decode(entry).message.snapshot as Image);
  assert.deepEqual([...standing.values()].filter((one) => one.state === 'present' && one.record.id === small.imageId), []);
  await assert.rejects(remove(small.imageId), { code: 'not-found', message: `No such image: ${small.imageId}` });
});

test('prune takes what nobody uses, by its filters', options, async () => {
  const prune = async (more: object) => await fixture.client.call(host, 'image.prune', { all: false, untilMs: null, labels: [], notLabels: [], actor: 'me', ...more });
  await load(await ociLayout([small], { named: false }));
  assert.deepEqual((await prune({ labels: ['team=z'] })).deleted, []);
  assert.deepEqual((await prune({ untilMs: 1 })).deleted, []);
  const dangling = await prune({ labels: ['team=a'] });
  assert.deepEqual(dangling.deleted, [small.imageId]);
  assert.ok(dangling.reclaimedBytes > 0);
  const id = await fixture.created();
  const all = await prune({ all: true });
  assert.ok(all.deleted.includes(other.imageId));
  assert.equal(all.deleted.includes((await busyboxImage()).imageId), false);
  await fixture.request(id, { kind: 'remove', force: true });
  await fixture.untilStatus(id, 'removed');
  const names = (await fixture.containerd.client.images.list()).map(({ name }) => name);
  assert.deepEqual(names, [busybox]);
});

test('what changes behind the agent\'s back is told at its next start', options, async () => {
  await fixture.stopAgent();
  await fixture.containerd.client.images.delete(busybox, { sync: true });
  await fixture.startAgent();
  await eventually(async () => !(await isPresent(busybox)), 'it is told as gone');
  await load(await dockerArchive([await busyboxImage()]));
  const id = await fixture.created();
  await fixture.request(id, { kind: 'remove', force: true });
  await fixture.untilStatus(id, 'removed');
});
