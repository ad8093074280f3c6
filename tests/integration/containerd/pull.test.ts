// Pulls from a real HTTP registry into a real containerd: authentication, mirrors, broken transfers, and that a broken pull leaves nothing.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { ImageError, inspectImage, pull, type ImageErrorCode, type PullOptions, type PullProgress } from '@pouch/containerd';
import { containerdMissing, startContainerd, type TestContainerd } from '../../fixtures/containerd.ts';
import { busyboxImage, busyboxMissing, descriptorOf, layerOf, ociManifest, sha256, tarOf, type FixtureImage } from '../../fixtures/images.ts';
import { startRegistry, type TestRegistry } from '../../fixtures/registry.ts';

const FAST = { headMs: 20_000, stallMs: 20_000, retryMs: 5 };
const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
const failsWith = (code: ImageErrorCode, text = /./) => (error: unknown): boolean => {
  assert.ok(error instanceof ImageError, String(error));
  assert.deepEqual([error.code, text.test(error.message) || error.message], [code, true]);
  return true;
};

describe('pull', { skip: containerdMissing() || busyboxMissing(), timeout: 180_000 }, () => {
  let containerd: TestContainerd;
  let registry: TestRegistry;
  let image: FixtureImage; // busybox with two more layers, one of them large
  before(async () => {
    containerd = await startContainerd();
    const large = layerOf(await tarOf([{ name: 'large', data: randomBytes(1_000_000) }]));
    const small = layerOf(await tarOf([{ name: 'small', data: 'small' }]));
    image = await busyboxImage({ layers: [large, small] });
  });
  after(async () => { await containerd.stop(); });
  beforeEach(async () => {
    registry = await startRegistry();
    registry.push('app', 'v1', image);
  });
  afterEach(async () => {
    await registry.close();
    for (const { name } of await containerd.client.images.list()) await containerd.client.images.delete(name, { sync: true });
    await assertNothing();
  });

  async function assertNothing(): Promise<void> {
    const { content, snapshots, images, leases } = containerd.client;
    const left = { blobs: await content.list(), ingests: await content.listIngests(), snapshots: await snapshots.list(), images: await images.list(), leases: await leases.list() };
    assert.deepEqual(left, { blobs: [], ingests: [], snapshots: [], images: [], leases: [] });
  }
  const pullApp = (options: PullOptions = {}, name = 'app:v1') =>
    pull(containerd.client, `${registry.host}/${name}`, { timing: FAST, ...options, registries: { plainHttp: [registry.host], ...options.registries } });
  const layerPath = (at: number): string => `/v2/app/blobs/${image.layers[at]!.gzipDigest}`;

  test('an image is fetched, verified, unpacked and kept; progress is told in order', async () => {
    const told: PullProgress[] = [];
    const pulled = await pullApp({ onProgress: (progress) => { told.push(progress); } });
    assert.deepEqual([pulled.reference, pulled.imageId, pulled.upToDate, pulled.previousDigest], [`${registry.host}/app:v1`, image.imageId, false, null]);
    const { id } = await containerd.client.leases.create();
    await containerd.client.leases.delete(id, { sync: true }); // a garbage collection takes nothing of it
    const details = await inspectImage(containerd.client, pulled.reference);
    assert.deepEqual([details.imageId, details.unpacked, details.chainId, details.layers.length], [image.imageId, true, pulled.chainId, 3]);
    assert.equal(told[0]?.type, 'resolving');
    for (const { gzipDigest } of image.layers) {
      const statuses = told.flatMap((progress) => (progress.type === 'layer' && progress.id === gzipDigest.slice(7, 19) ? [progress.status] : []));
      assert.deepEqual(statuses.filter((status) => status !== 'Downloading'), ['Pulling fs layer', 'Download complete', 'Extracting', 'Pull complete']);
    }
    told.length = 0;
    const again = await pullApp({ onProgress: (progress) => { told.push(progress); } });
    assert.deepEqual(new Set(told.flatMap((progress) => (progress.type === 'layer' ? [progress.status] : []))), new Set(['Pulling fs layer', 'Already exists']));
    assert.deepEqual([again.upToDate, again.targetDigest], [true, pulled.targetDigest]);
    assert.equal(registry.requests.filter(({ path }) => path === layerPath(0)).length, 1, 'a layer that is there is not fetched again');
  });

  test('a tag that moved is told with what it was before, and the old image is kept under its id until it gets a name', async () => {
    const first = await pullApp();
    registry.push('app', 'v1', await busyboxImage({ config: { User: 'www' } }));
    const second = await pullApp();
    assert.equal(second.previousDigest, first.targetDigest);
    assert.equal((await inspectImage(containerd.client, second.reference)).config.config.User, 'www');
    assert.equal((await inspectImage(containerd.client, image.imageId)).manifestDigest, first.manifestDigest);
    registry.push('app', 'old', image);
    await pullApp({}, 'app:old');
    assert.deepEqual((await containerd.client.images.list()).map(({ name }) => name).sort(), [`${registry.host}/app:old`, `${registry.host}/app:v1`]);
  });

  test('by digest; and an index, of which the platform\'s manifest is taken', async () => {
    const digest = sha256(ociManifest(image));
    assert.equal((await pullApp({}, `app@${digest}`)).reference, `${registry.host}/app@${digest}`);
    const architecture = JSON.parse(image.config.toString()).architecture as string;
    const index = Buffer.from(JSON.stringify({
      schemaVersion: 2, mediaType: OCI_INDEX, manifests: [
        { ...descriptorOf('application/vnd.oci.image.manifest.v1+json', Buffer.from('other')), platform: { os: 'linux', architecture: 's390x' } },
        { ...descriptorOf('application/vnd.oci.image.manifest.v1+json', ociManifest(image)), platform: { os: 'linux', architecture } },
      ],
    }));
    const indexDigest = registry.pushManifest('app', 'multi', index, OCI_INDEX);
    const pulled = await pullApp({}, 'app:multi');
    assert.deepEqual([pulled.targetDigest, pulled.manifestDigest], [indexDigest, digest]);
    const details = await inspectImage(containerd.client, pulled.reference);
    assert.deepEqual([details.targetDigest, details.manifestDigest, details.imageId], [indexDigest, digest, image.imageId]);
    await assert.rejects(pullApp({ platform: 'linux/riscv64' }, 'app:multi'), failsWith('no-platform', /no matching manifest for linux\/riscv64.*it has linux\/s390x/));
  });

  test('token authentication: anonymous, user and password, identity token, and credentials that are wrong', async () => {
    registry.options.auth = 'token';
    await pullApp();
    assert.equal(registry.requests.filter(({ path }) => path === '/token').length, 1, 'one token serves the whole pull');
    Object.assign(registry.options, { username: 'me', password: 'secret', identityToken: 'refresh' });
    await pullApp({ auth: { username: 'me', password: 'secret' } });
    await pullApp({ auth: { identityToken: 'refresh' } });
    await pullApp({ auth: { registryToken: 'let-me-in' } });
    await assert.rejects(pullApp({ auth: { username: 'me', password: 'wrong' } }), failsWith('access-denied', /pull access denied for 127\.0\.0\.1:\d+\/app, repository does not exist or may require 'docker login'/));
    await assert.rejects(pullApp(), failsWith('access-denied'));
  });

  test('basic authentication', async () => {
    Object.assign(registry.options, { auth: 'basic', username: 'me', password: 'secret' });
    await pullApp({ auth: { username: 'me', password: 'secret' } });
    await pullApp({ registries: { credentials: { [registry.host]: { username: 'me', password: 'secret' } } } });
    await assert.rejects(pullApp(), failsWith('access-denied', /authentication required/));
  });

  test('what is not there is said as people know it', async () => {
    await assert.rejects(pullApp({}, 'app:nope'), failsWith('manifest-unknown', /manifest for 127\.0\.0\.1:\d+\/app:nope not found: manifest unknown/));
    await assert.rejects(pullApp({}, 'nobody:v1'), failsWith('access-denied', /pull access denied for .*\/nobody, repository does not exist/));
    await assert.rejects(pull(containerd.client, 'Bad Name'), failsWith('invalid-reference'));
    const gone = await startRegistry();
    await gone.close();
    await assert.rejects(pull(containerd.client, `${gone.host}/app`, { timing: FAST }), failsWith('unreachable', /cannot pull 127\.0\.0\.1:\d+\/app:latest: cannot reach http:\/\/127\.0\.0\.1:\d+: connect ECONNREFUSED/));
  });

  test('a loopback registry is found by plain http without being configured', async () => {
    assert.equal((await pull(containerd.client, `${registry.host}/app:v1`, { timing: FAST })).imageId, image.imageId);
  });

  test('a mirror is asked first; one that fails is passed over, and named when all fail', async () => {
    const mirror = await startRegistry();
    try {
      mirror.push('app', 'v1', image);
      const registries = { mirrors: { [registry.host]: ['http://127.0.0.1:1', mirror.url] } };
      await pullApp({ registries });
      assert.equal(registry.requests.length, 0);
      assert.ok(mirror.requests.length > 0);
      await assert.rejects(pullApp({ registries }, 'app:nope'), failsWith('manifest-unknown', /asked 127.*tried before: mirror http:\/\/127\.0\.0\.1:1: cannot reach.*; mirror http:\/\/127\.0\.0\.1:\d+: manifest unknown/));
      // A mirror that loses a blob half-way: the registry gives it.
      await containerd.client.images.delete(`${registry.host}/app:v1`, { sync: true });
      mirror.blobs.delete(image.layers[1]!.gzipDigest);
      await pullApp({ registries });
      assert.deepEqual(registry.requests.map(({ path }) => path).filter((path) => path.includes('/blobs/')), [layerPath(1)]);
    } finally {
      await mirror.close();
    }
  });

  test('a transfer that breaks is resumed by range, also at a host that knows no ranges', async () => {
    let breaks = 3;
    registry.options.fault = ({ path }) => (path === layerPath(1) && breaks-- > 0 ? { breakAfter: 300_000 } : undefined);
    await pullApp();
    const ranges = registry.requests.filter(({ path }) => path === layerPath(1)).map(({ range }) => range);
    assert.equal(ranges.length, 4);
    assert.equal(ranges[0], undefined);
    assert.ok(ranges.slice(1).every((range) => /^bytes=[1-9]\d+-$/.test(range ?? '')), String(ranges));
    await containerd.client.images.delete(`${registry.host}/app:v1`, { sync: true });
    let requests = 0;
    registry.options.fault = ({ path }) => (path !== layerPath(1) ? undefined : ++requests === 1 ? { breakAfter: 300_000 } : { ignoreRange: true });
    await pullApp();
    assert.equal(requests, 2);
  });

  test('a stalled transfer is given up and resumed', async () => {
    let stalls = 1;
    registry.options.fault = ({ path }) => (path === layerPath(1) && stalls-- > 0 ? { stall: 100_000 } : undefined);
    await pullApp({ timing: { ...FAST, stallMs: 300 } });
    assert.ok(registry.requests.filter(({ path }) => path === layerPath(1)).length > 1);
  });

  test('passing faults of the registry are tried again, a bounded number of times', async () => {
    let faults = 2;
    registry.options.fault = () => (faults-- > 0 ? { status: 503, headers: { 'retry-after': '0' } } : undefined);
    await pullApp();
    registry.requests.length = 0;
    registry.options.fault = () => ({ status: 500, body: 'oops' });
    await assert.rejects(pullApp({}, 'app:v1'), failsWith('registry', /answered 500/));
    assert.equal(registry.requests.length, 4);
  });

  test('wrong bytes are refused and leave nothing', async () => {
    const wrong = Buffer.from(image.layers[1]!.gzip);
    wrong[1000]! ^= 1;
    registry.options.fault = ({ path }) => (path === layerPath(1) ? { replace: wrong } : undefined);
    await assert.rejects(pullApp(), failsWith('digest-mismatch', /is not what its digest says/));
    await assertNothing();
    registry.options.fault = ({ path }) => (path === layerPath(1) ? { replace: Buffer.concat([wrong, wrong]) } : undefined);
    await assert.rejects(pullApp(), failsWith('digest-mismatch', /larger than the \d+ bytes/));
    await assertNothing();
    registry.options.fault = ({ path }) => (path.includes('/manifests/') ? { replace: Buffer.from('{}') } : undefined);
    await assert.rejects(pullApp({}, `app@${sha256(ociManifest(image))}`), failsWith('digest-mismatch', /where sha256:.* was asked for/));
    await assert.rejects(pullApp(), failsWith('invalid-image', /schemaVersion/));
    registry.options.fault = ({ path }) => (path.includes('/manifests/') ? { replace: Buffer.alloc(5 << 20) } : undefined);
    await assert.rejects(pullApp(), failsWith('invalid-image', /larger than/));
  });

  test('a pull that breaks half-way leaves nothing, not even the layers that were unpacked', async () => {
    registry.options.fault = ({ path }) => (path === layerPath(2) ? { status: 404 } : undefined);
    await assert.rejects(pullApp(), failsWith('manifest-unknown', /blob sha256:\w+ unknown/));
    await assertNothing();
  });

  test('a cancelled pull stops and leaves nothing', async () => {
    const stop = new AbortController();
    registry.options.fault = ({ path }) => (path === layerPath(1) ? { stall: 100_000 } : undefined);
    const pulling = pullApp({ signal: stop.signal, onProgress: (progress) => { if (progress.type === 'layer' && progress.status === 'Downloading') stop.abort(); } });
    await assert.rejects(pulling, failsWith('cancelled', /was cancelled/));
    await assertNothing();
    await assert.rejects(pullApp({ signal: AbortSignal.abort() }), failsWith('cancelled'));
  });

  test('two pulls of one image at once both succeed', async () => {
    const [a, b] = await Promise.all([pullApp(), pullApp()]);
    assert.equal(a.imageId, b.imageId);
    assert.equal((await inspectImage(containerd.client, a.reference)).unpacked, true);
  });
});
