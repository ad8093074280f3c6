// Image archives go into a real containerd, and hostile ones leave nothing there.
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { after, before, beforeEach, describe, test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { ImageError, imageUsage, inspectImage, load, unpackImage, type LoadOptions, type LoadProgress } from '@pouch/containerd';
import { containerdMissing, startContainerd, type TestContainerd } from '../../fixtures/containerd.ts';
import { busyboxImage, busyboxMissing, dockerArchive, imageOf, layerOf, ociLayout, ociManifest, sha256, tarOf, type FixtureImage, type TarFile } from '../../fixtures/images.ts';
import { removeSnapshot } from './spec.ts';

const LATEST = 'docker.io/library/busybox:latest';

describe('load', { skip: containerdMissing() || busyboxMissing(), timeout: 180_000 }, () => {
  let containerd: TestContainerd;
  let busybox: FixtureImage;
  before(async () => {
    containerd = await startContainerd();
    busybox = await busyboxImage();
  });
  after(async () => { await containerd.stop(); });
  beforeEach(async () => {
    for (const { name } of await containerd.client.images.list()) await containerd.client.images.delete(name, { sync: true });
    await assertNothing('after the images are deleted');
  });

  const loadTar = (tar: Buffer, options?: LoadOptions) => load(containerd.client, Readable.from(pieces(tar)), options);
  function* pieces(tar: Buffer): Generator<Buffer> {
    for (let at = 0; at < tar.length; at += 60_000) yield tar.subarray(at, at + 60_000);
  }
  async function assertNothing(when: string): Promise<void> {
    const { content, snapshots, images, leases } = containerd.client;
    const left = { blobs: await content.list(), ingests: await content.listIngests(), snapshots: await snapshots.list(), images: await images.list(), leases: await leases.list() };
    assert.deepEqual(left, { blobs: [], ingests: [], snapshots: [], images: [], leases: [] }, when);
  }

  for (const [what, make] of [
    ['docker save before 25', () => dockerArchive([busybox])],
    ['docker save with gzipped layers', () => dockerArchive([busybox], { compress: true })],
    ['docker save since 25', () => ociLayout([busybox], { withDockerManifest: true })],
    ['an OCI layout that is named in manifest.json only', () => ociLayout([busybox], { withDockerManifest: true, named: false })],
    ['an OCI layout', () => ociLayout([busybox])],
    ['a gzipped archive', async () => gzipSync(await dockerArchive([busybox]), { level: 1 })],
    ['a zstd-compressed archive', async () => zstdCompressSync(await dockerArchive([busybox]))],
  ] as [string, () => Promise<Buffer>][]) {
    test(`${what} is loaded, unpacked and kept`, async () => {
      const [loaded, ...more] = await loadTar(await make());
      assert.equal(more.length, 0);
      assert.deepEqual([loaded?.reference, loaded?.imageId, loaded?.chainId], [LATEST, busybox.imageId, busybox.layers[0]!.diffId]);
      const { id } = await containerd.client.leases.create();
      await containerd.client.leases.delete(id, { sync: true }); // a garbage collection takes nothing of it
      const details = await inspectImage(containerd.client, LATEST);
      assert.deepEqual([details.imageId, details.unpacked, details.config.config.Cmd, details.manifestDigest], [busybox.imageId, true, ['sh'], loaded?.manifestDigest]);
      assert.ok(details.sizeBytes > 1_000_000);
      assert.equal((await inspectImage(containerd.client, details.manifestDigest)).imageId, busybox.imageId);
    });
  }

  test('several images that share a layer; an image without a name is kept under its id', async () => {
    const top = layerOf(await tarOf([{ name: 'hello', data: 'hello' }]));
    const other = await busyboxImage({ reference: 'example.org/other:1', layers: [top], config: { User: 'www' } });
    const loaded = await loadTar(await dockerArchive([busybox, other]));
    assert.deepEqual(loaded.map(({ reference }) => reference), [LATEST, 'example.org/other:1']);
    assert.equal((await containerd.client.snapshots.list()).length, 2);
    const usage = await imageUsage(containerd.client, 'example.org/other:1');
    assert.deepEqual(usage.layers.map(({ chainId }) => chainId), [busybox.layers[0]!.diffId, loaded[1]!.chainId]);
    assert.ok(usage.layers.every(({ snapshotBytes }) => snapshotBytes! > 0));

    await containerd.client.images.delete(LATEST, { sync: true });
    const [unnamed] = await loadTar(await dockerArchive([busybox], { tagged: false }));
    assert.deepEqual([unnamed?.reference, unnamed?.recordName], [null, busybox.imageId]);
    assert.equal((await inspectImage(containerd.client, busybox.imageId)).imageId, busybox.imageId);
  });

  test('loading again changes nothing; progress is told', async () => {
    const told: LoadProgress[] = [];
    const tar = await dockerArchive([busybox]);
    const first = await loadTar(tar, { onProgress: (progress) => { told.push(progress); } });
    assert.deepEqual(await loadTar(tar), first);
    assert.ok(told.some((progress) => progress.type === 'file' && progress.current === progress.total && progress.name.endsWith('layer.tar')));
    assert.deepEqual(told.flatMap((progress) => (progress.type === 'layer' ? [progress.status] : [])), ['Extracting', 'Pull complete']);
  });

  test('layers may be links within the archive, as docker save wrote them', async () => {
    const layer = busybox.layers[0]!;
    const config = { name: 'config.json', data: busybox.config };
    const manifest = { name: 'manifest.json', data: JSON.stringify([{ Config: 'config.json', RepoTags: null, Layers: ['b/layer.tar'] }]) };
    await loadTar(await tarOf([{ name: 'a/layer.tar', data: layer.tar }, { name: 'b/layer.tar', type: 'symlink', linkname: '../a/layer.tar' }, config, manifest]));
  });

  test('snapshots that are gone are made again by unpackImage', async () => {
    await loadTar(await dockerArchive([busybox]));
    const { chainId } = await inspectImage(containerd.client, LATEST);
    await containerd.client.content.updateLabels(busybox.imageId, { 'containerd.io/gc.ref.snapshot.overlayfs': '' });
    await removeSnapshot(containerd.client, chainId);
    assert.equal((await inspectImage(containerd.client, LATEST)).unpacked, false);
    assert.equal(await unpackImage(containerd.client, LATEST), chainId);
    assert.equal((await inspectImage(containerd.client, LATEST)).unpacked, true);
  });

  test('hostile archives are refused with what is wrong, and leave nothing', async () => {
    const layer = busybox.layers[0]!;
    const config: TarFile = { name: 'config.json', data: busybox.config };
    const manifest = (value: unknown): TarFile => ({ name: 'manifest.json', data: typeof value === 'string' ? value : JSON.stringify(value) });
    const index = (manifests: unknown): TarFile => ({ name: 'index.json', data: JSON.stringify({ schemaVersion: 2, manifests }) });
    const good = { Config: 'config.json', RepoTags: ['a:1'], Layers: ['layer.tar'] };
    const files: TarFile[] = [config, { name: 'layer.tar', data: layer.tar }];
    const blob = (data: Buffer | string, name = sha256(data).slice(7)): TarFile => ({ name: `blobs/sha256/${name}`, data });
    const ociEntry = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: sha256(ociManifest(busybox)), size: ociManifest(busybox).length };
    const table: [string, TarFile[], RegExp][] = [
      ['no documents', [{ name: 'readme', data: 'x' }], /neither index\.json/],
      ['invalid JSON', [...files, manifest('{')], /manifest\.json is not valid JSON/],
      ['not a list', [...files, manifest({})], /manifest\.json is not a list/],
      ['no image', [...files, manifest([])], /names no image/],
      ['null', [...files, manifest([null])], /manifest\.json\[0\]\.Config/],
      ['wrong types', [...files, manifest([{ ...good, Layers: [5] }])], /\[0\]\.Layers/],
      ['a missing config', [manifest([good])], /the config "config\.json".* is missing/],
      ['a missing layer', [config, manifest([good])], /the layer "layer\.tar".* is missing/],
      ['a layer outside', [...files, manifest([{ ...good, Layers: ['../../etc/shadow'] }])], /leaves the archive/],
      ['a link outside', [{ name: 'layer.tar', type: 'symlink', linkname: '../../etc/shadow' }, config, manifest([good])], /leaves the archive/],
      ['an absolute link', [{ name: 'layer.tar', type: 'symlink', linkname: '/etc/shadow' }, config, manifest([good])], /absolute path/],
      ['links in a circle', [{ name: 'layer.tar', type: 'symlink', linkname: 'b' }, { name: 'b', type: 'symlink', linkname: 'layer.tar' }, config, manifest([good])], /is missing/],
      ['a device', [{ name: 'dev', type: 'character-device' }, ...files, manifest([good])], /device/],
      ['a bad name', [...files, manifest([{ ...good, RepoTags: ['Bad Name'] }])], /invalid reference format/],
      ['another layer than the config says', [config, { name: 'layer.tar', data: await tarOf([{ name: 'x', data: 'y' }]) }, manifest([good])], /the layer layer\.tar is sha256:.*but the config says/],
      ['another layer, gzipped', [config, { name: 'layer.tar', data: gzipSync(await tarOf([{ name: 'x', data: 'y' }])) }, manifest([good])], /holds sha256:.* when unpacked, but the image's config says/],
      ['a layer that is no tar', [{ name: 'layer.tar', data: 'not a tar' }, { name: 'config.json', data: imageOf('x', [layerOf(Buffer.from('not a tar'))]).config }, manifest([good])], /./],
      ['a blob with a wrong name', [blob('data', 'ab'.repeat(32)), index([])], /blobs\/sha256\/(?:ab)+ holds sha256:/],
      ['a blob that is not sha256', [{ name: 'blobs/md5/abc', data: 'x' }, index([])], /not named by a sha256 digest/],
      ['a missing manifest', [index([ociEntry])], /a manifest, blob sha256:\w+, is missing/],
      ['a missing layer blob', [blob(ociManifest(busybox)), blob(busybox.config), index([ociEntry])], /a layer, blob sha256:\w+, is missing/],
      ['a wrong size', [blob(ociManifest(busybox)), index([{ ...ociEntry, size: 5 }])], /has \d+ bytes and not the 5/],
      ['an index that nests itself', await (async () => {
        let data = JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [] as unknown[] });
        const blobs = [blob(data)];
        for (let depth = 0; depth < 6; depth++) {
          data = JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [{ mediaType: 'application/vnd.oci.image.index.v1+json', digest: sha256(data), size: data.length }] });
          blobs.push(blob(data));
        }
        return [...blobs, index([{ mediaType: 'application/vnd.oci.image.index.v1+json', digest: sha256(data), size: data.length }])];
      })(), /nested too deep/],
    ];
    for (const [what, entries, why] of table) {
      await assert.rejects(loadTar(await tarOf(entries)), (error) => error instanceof Error && why.test(error.message), what);
      await assertNothing(what);
    }
    const whole = await dockerArchive([busybox]);
    await assert.rejects(loadTar(whole.subarray(0, 1_000_000)), /invalid tar: it ends in the middle of .*layer\.tar/);
    await assert.rejects(loadTar(gzipSync(whole, { level: 1 }).subarray(0, 500_000)), /gzip compression is damaged/);
    await assert.rejects(loadTar(whole, { limits: { totalBytes: 1_000_000 } }), /more than 1000000 bytes together/);
    await assert.rejects(loadTar(whole, { limits: { entryBytes: 1000 } }), /claims \d+ bytes/);
    await assert.rejects(loadTar(whole, { limits: { entries: 2 } }), /more than 2 entries/);
    await assert.rejects(loadTar(whole, { platform: 'nonsense' }), (error) => error instanceof ImageError && error.code === 'invalid-reference');
    await assertNothing('after all of them');
  });

  test('a source that fails, and a load that is cancelled, leave nothing', async () => {
    const tar = await dockerArchive([busybox]);
    const broken = async function* () { yield tar.subarray(0, 1_000_000); throw new Error('the client went away'); };
    await assert.rejects(load(containerd.client, broken()), /the client went away/);
    const stop = new AbortController();
    const slow = async function* () { yield tar.subarray(0, 1_000_000); stop.abort(); yield tar.subarray(1_000_000); };
    await assert.rejects(load(containerd.client, slow(), { signal: stop.signal }), (error) => error instanceof ImageError && error.code === 'cancelled');
    await assertNothing('afterwards');
  });
});
