// The catalogue of guest kernels through the whole api, with a real nats-server behind it: what is added is there, found, used, refused and removed;
// what is no kernel is refused by name and leaves nothing.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { kernelsBucket, type ClusterKernel } from '@pouch/contracts';
import { connectNats, NatsObjectStore, type NatsLink } from '@pouch/eventlog';
import { nullLogger } from '@pouch/process';
import { pack } from 'tar-stream';
import { kernelArchive } from '../../../packages/cli/src/kernels/archive.ts';
import { startApi, type ApiFixture, type Answer } from '../../fixtures/api-server.ts';
import { pouch as runPouch } from '../cli/run-pouch.ts';

let api: ApiFixture;
let link: NatsLink;
let directory: string;
before(async () => {
  api = await startApi({ machines: { acceleration: 'tcg', defaultKernel: 'debian-6.1', kernels: [{ name: 'debian-6.1', digest: `sha256:${'6'.repeat(64)}`, release: '6.1.0', profiles: [{ profile: 'modern', ok: true, bootMs: 1_900, lacks: [] }] }] } });
  link = connectNats({ servers: api.nats.url, name: 'test', logger: nullLogger });
  directory = await mkdtemp(join(tmpdir(), 'pouch-test-kernels-'));
});
after(async () => {
  await link.close();
  await api.stop();
  await rm(directory, { recursive: true, force: true });
});

/** Beginning of a bzImage that says which release it is. */
function bzImage(release: string, bytes = 100_000): Buffer {
  const image = Buffer.alloc(bytes);
  image.write('HdrS', 0x202);
  image.writeUInt16LE(0x3000, 0x20e);
  image.write(`${release} (debian-kernel@example.org) #1 SMP\0`, 0x3200);
  return image;
}

function vmlinux(release: string): Buffer {
  const image = Buffer.alloc(300_000);
  image.write('\x7fELF', 0, 'latin1');
  image.write(`Linux version ${release} (gcc)`, 200_001);
  return image;
}

async function tar(members: Readonly<Record<string, Buffer | string>>): Promise<Buffer> {
  const archive = pack();
  for (const [name, content] of Object.entries(members)) archive.entry({ name }, content);
  archive.finalize();
  const parts: Buffer[] = [];
  for await (const part of archive as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts);
}

const add = async (name: string, raw: Buffer, more = ''): Promise<Answer> => await api.ask('POST', `/cluster/kernels?name=${encodeURIComponent(name)}${more}`, { raw, headers: { 'content-type': 'application/x-tar' } });
const inspect = async (name: string): Promise<ClusterKernel> => (await api.ask('GET', `/cluster/kernels/${name}`)).json as ClusterKernel;
async function objects(): Promise<number> {
  const manager = await (await link.connection()).jetstreamManager();
  return Object.keys((await manager.streams.info(`OBJ_${kernelsBucket}`, { subjects_filter: `$O.${kernelsBucket}.M.>` })).state.subjects ?? {}).length;
}

test('a kernel is added, booted, found with what it can, used, kept while it is used, and removed with its bytes', async () => {
  const body = await tar({ image: bzImage('2.6.32-5-amd64'), 'modules/kernel/fs/ext4.ko': 'module', 'modules/modules.dep': '' });
  const added = await add('old-2.6.32', body);
  assert.equal(added.status, 201, added.text);
  const { kernel, warnings } = added.json as { kernel: ClusterKernel; warnings: string[] };
  assert.deepEqual(warnings, []);
  assert.deepEqual([kernel.source, kernel.format, kernel.release, kernel.sizeBytes, kernel.moduleCount], ['catalogue', 'bzImage', '2.6.32-5-amd64', 100_000, 2]);
  assert.deepEqual(kernel.hosts.map(({ hostId, present, profiles }) => [hostId, present, profiles.map(({ profile, ok }) => `${profile} ${ok}`)]), [['host-1', false, ['modern true', 'bare true']]]);
  assert.equal((await add('old-2.6.32', body)).status, 201, 'the same again is no conflict');
  const other = await add('old-2.6.32', await tar({ image: bzImage('2.6.33') }));
  assert.equal(other.status, 409);
  assert.match(other.text, /with other bytes/);

  const listed = (await api.ask('GET', '/cluster/kernels')).json as { kernels: ClusterKernel[] };
  assert.deepEqual(listed.kernels.map(({ name, source, hosts }) => [name, source, hosts[0]?.isDefault]), [['debian-6.1', 'host', true], ['old-2.6.32', 'catalogue', false]]);

  const refused = await api.ask('POST', '/containers/create', { body: { Image: 'busybox', HostConfig: { Runtime: 'runv', Annotations: { 'io.pouch.kernel': 'older' } } } });
  assert.equal(refused.status, 400);
  assert.match(refused.text, /there is no guest kernel \\"older\\"; there are debian-6\.1, old-2\.6\.32/);
  const id = await api.create({ Cmd: ['sleep'], HostConfig: { Runtime: 'runv', Annotations: { 'io.pouch.kernel': 'old-2.6.32' } } }, 'legacy');
  assert.deepEqual((await inspect('old-2.6.32')).usedBy, ['legacy']);
  const used = await api.ask('DELETE', '/cluster/kernels/old-2.6.32');
  assert.equal(used.status, 409);
  assert.match(used.text, /is used by legacy/);
  assert.equal((await api.ask('DELETE', `/containers/${id}?force=1`)).status, 204);
  const before = await objects();
  assert.equal((await api.ask('DELETE', '/cluster/kernels/old-2.6.32')).status, 204);
  assert.equal(await objects(), before - 1);
  const gone = await api.ask('GET', '/cluster/kernels/old-2.6.32');
  assert.equal(gone.status, 404);
  assert.match(gone.text, /there are debian-6\.1/);
  assert.equal((await api.ask('GET', '/cluster/verify')).json.ok, true);
});

test('two names of the same bytes keep them once, until both are gone', async () => {
  const body = await tar({ image: vmlinux('5.10.0-x') });
  assert.equal(((await add('one', body, '&probe=0')).json as { kernel: ClusterKernel }).kernel.release, '5.10.0-x');
  const before = await objects();
  assert.equal((await add('two', body, '&probe=0')).status, 201);
  assert.equal(await objects(), before);
  assert.equal((await api.ask('DELETE', '/cluster/kernels/one')).status, 204);
  assert.equal(await objects(), before);
  assert.equal((await api.ask('POST', '/cluster/kernels/two/probe')).status, 200);
  assert.equal((await api.ask('DELETE', '/cluster/kernels/two')).status, 204);
  assert.equal(await objects(), before - 1);
});

test("a host's own kernel is neither overwritten nor removed by way of the catalogue", async () => {
  assert.equal((await add('debian-6.1', await tar({ image: vmlinux('6') }))).status, 409);
  assert.equal((await api.ask('DELETE', '/cluster/kernels/debian-6.1')).status, 409);
});

test('what is no kernel is refused with what is wrong, and leaves nothing', async () => {
  const bodies: [Buffer | string, RegExp][] = [
    ['', /tar/], ['not a tar at all'.repeat(100), /no tar, or damaged/], [await tar({ kernel: 'x' }), /\\"kernel\\" does not belong there/], [await tar({ 'modules/a.ko': 'x' }), /holds no file `image`/],
    [await tar({ image: 'x'.repeat(5_000) }), /neither a bzImage nor/], [await tar({ 'modules/../../etc/passwd': 'x' }), /would leave the archive/], [(await tar({ image: vmlinux('1') })).subarray(0, 5_000), /ends in the middle/],
  ];
  for (const [raw, why] of bodies) {
    const answer = await add('wrong', Buffer.from(raw));
    assert.equal(answer.status, 400, `${why}: ${answer.text}`);
    assert.match(answer.text, why);
  }
  for (const name of ['', 'a/b', '..', 'A', 'x'.repeat(64)]) assert.equal((await add(name, Buffer.alloc(0))).status, 400, name);
  assert.equal((await api.ask('POST', '/cluster/kernels/nosuch/probe')).status, 404);
  assert.equal((await api.ask('DELETE', '/cluster/kernels/nosuch')).status, 404);
  assert.equal(await objects(), 0);
});

test('pouch kernel: add sends image and modules, long names too; ls, inspect, probe and rm tell of them', async () => {
  const release = '6.1.0-38-cloud-amd64';
  const long = join(directory, 'modules', 'kernel', 'drivers', 'a'.repeat(60), 'b'.repeat(60));
  await mkdir(long, { recursive: true });
  await writeFile(join(long, 'virtio.ko.xz'), 'compressed');
  await symlink('/usr/src', join(directory, 'modules', 'build'));
  await writeFile(join(directory, 'vmlinuz'), bzImage(release));
  const pouch = async (...args: string[]) => await runPouch({ socketPath: api.socket }, args);

  const added = await pouch('kernel', 'add', 'cloud', '--image', join(directory, 'vmlinuz'), '--modules', join(directory, 'modules'));
  assert.equal(added.code, 0, added.stderr);
  assert.equal(added.stdout, 'cloud\n');
  assert.match(added.stderr, /host-1 \(tcg\): modern boots in 1\.2 s/);
  assert.equal((await inspect('cloud')).moduleCount, 1);
  // What reached the store is what was sent.
  const { stream } = await kernelArchive(join(directory, 'vmlinuz'), join(directory, 'modules'));
  const sent: Buffer[] = [];
  for await (const part of stream as AsyncIterable<Buffer>) sent.push(part);
  const store = new NatsObjectStore({ link, logger: nullLogger, bucket: kernelsBucket });
  assert.equal((await store.put([Buffer.concat(sent)] as never, { maxBytes: 2 ** 30 })).existed, true);

  assert.equal((await pouch('kernel', 'ls', '--format', '{{.Name}} {{.Release}} {{.Profiles}}')).stdout, `cloud ${release} modern,bare\ndebian-6.1 6.1.0 modern\n`);
  assert.equal((await pouch('kernel', 'inspect', '-f', '{{.release}} {{len .hosts}}', 'cloud')).stdout, `${release} 1\n`);
  assert.match((await pouch('cluster', 'hosts', '--format', '{{.Machines}}')).stdout, /tcg \(software\): debian-6\.1/);
  const dead = await pouch('kernel', 'add', 'dead', '--image', join(directory, 'vmlinuz'));
  assert.equal(dead.code, 1);
  assert.match(dead.stderr, /modern does not boot: no answer/);
  const missing = await pouch('kernel', 'add', 'x', '--image', join(directory, 'nosuch'));
  assert.deepEqual([missing.code, /--image/.test(missing.stderr)], [125, true]);
  const removed = await pouch('kernel', 'rm', 'cloud', 'nosuch', 'dead');
  assert.deepEqual([removed.code, removed.stdout], [1, 'cloud\ndead\n']);
  const created = await pouch('create', '--kernel', 'debian-6.1', '--name', 'vm', 'busybox', 'sleep');
  assert.equal(created.code, 0, created.stderr);
  const shown = (await api.ask('GET', '/containers/vm/json')).json as { HostConfig: { Runtime: string; Memory: number; Annotations: object } };
  assert.deepEqual([shown.HostConfig.Runtime, shown.HostConfig.Memory, shown.HostConfig.Annotations], ['runv', 256 * 2 ** 20, { 'io.pouch.kernel': 'debian-6.1' }]);
  assert.equal((await pouch('logs', '--console', 'vm')).stdout, 'Linux version of a test, follow false\n');
  await api.create({ Cmd: ['sleep'] }, 'shared');
  assert.match((await pouch('logs', '--console', 'shared')).stderr, /shares the kernel of its host/);
});
