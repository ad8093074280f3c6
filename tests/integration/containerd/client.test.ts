// The services of a real containerd through the client: what they return, how they fail, and that nothing is left behind.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { connect, ContainerdError, isContainerdError, type ContainerdEvent } from '@pouch/containerd';
import { containerdMissing, startContainerd, type TestContainerd } from '../../fixtures/containerd.ts';
import { sha256 } from '../../fixtures/images.ts';

const failsWith = (code: string, text = /./) => (error: unknown): boolean => error instanceof ContainerdError && error.code === code && text.test(error.message);

describe('containerd client', { skip: containerdMissing(), timeout: 180_000 }, () => {
  let containerd: TestContainerd;
  before(async () => { containerd = await startContainerd(); });
  after(async () => { await containerd.stop(); });

  test('version and plugins', async () => {
    assert.match((await containerd.client.version()).version, /^v?\d+\.\d+/);
    const [overlay] = await containerd.client.plugins(['id==overlayfs']);
    assert.equal(overlay?.type, 'io.containerd.snapshotter.v1');
    assert.equal(overlay.initError, null);
  });

  test('failures carry a code, the call and containerd\'s own text', async () => {
    await assert.rejects(containerd.client.containers.get('nobody'), failsWith('not-found', /Containers\.Get: container "nobody"/));
    await assert.rejects(containerd.client.tasks.get('nobody'), failsWith('not-found'));
    await assert.rejects(containerd.client.containers.create({ id: 'in/valid', runtime: { name: 'x' } }), failsWith('invalid-argument', /in\/valid/));
    await containerd.client.ensureNamespace();
    await containerd.client.ensureNamespace();
  });

  test('a containerd that is not there is unavailable, and said to be retryable', async () => {
    const nowhere = connect({ socketPath: `${containerd.directory}/nobody.sock`, namespace: 'test' });
    await assert.rejects(nowhere.version(), (error) => failsWith('unavailable')(error) && (error as ContainerdError).retryable);
    await assert.rejects(nowhere.waitForReady(100), failsWith('unavailable'));
    await assert.rejects(nowhere.events.subscribe([], () => undefined), failsWith('unavailable'));
    nowhere.close();
  });

  test('containers: create, read, label, list, delete', async () => {
    const { containers } = containerd.client;
    const created = await containers.create({ id: 'record', labels: { a: '1', 'b/c.d': '2' }, image: 'some', runtime: { name: 'io.containerd.runc.v2' }, spec: { type_url: 'x', value: Buffer.from('{}') } });
    assert.match(created.createdAt ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
    await assert.rejects(containers.create({ id: 'record', runtime: { name: 'x' }, spec: { type_url: 'x', value: Buffer.alloc(0) } }), failsWith('already-exists'));
    assert.deepEqual((await containers.updateLabels('record', { a: '3' })).labels, { a: '3', 'b/c.d': '2' });
    assert.deepEqual((await containers.get('record')).labels, { a: '3', 'b/c.d': '2' });
    assert.deepEqual((await containers.list(['labels.a==3'])).map(({ id }) => id), ['record']);
    assert.deepEqual(await containers.list(['labels.a==4']), []);
    await containers.delete('record');
    await assert.rejects(containers.delete('record'), failsWith('not-found'));
  });

  test('namespaces are apart', async () => {
    const other = containerd.connect('other');
    await containerd.client.containers.create({ id: 'mine', runtime: { name: 'x' }, spec: { type_url: 'x', value: Buffer.alloc(0) } });
    assert.deepEqual(await other.containers.list(), []);
    await containerd.client.containers.delete('mine');
  });

  test('content: written in pieces, read in parts, labelled, listed', async () => {
    const { content, leases } = containerd.client;
    await leases.with(async (lease) => {
      const data = randomBytes(1_500_000);
      const digest = sha256(data);
      const writer = await content.writer({ ref: 'pieces', expected: digest, total: data.length, labels: { kind: 'test' } }, { lease });
      assert.ok(writer);
      for (let at = 0; at < data.length; at += 100_001) await writer.write(data.subarray(at, at + 100_001));
      assert.equal(writer.offset, data.length);
      assert.equal(await writer.commit(), digest);
      assert.equal(await content.writer({ ref: 'again', expected: digest }, { lease }), null);
      assert.deepEqual(await content.readBlob(digest), data);
      const part = [];
      for await (const chunk of content.read(digest, { offset: 1_000_000, size: 1000 })) part.push(chunk);
      assert.deepEqual(Buffer.concat(part), data.subarray(1_000_000, 1_001_000));
      await assert.rejects(content.readBlob(digest, { maxBytes: 1000 }), failsWith('out-of-range'));
      await content.updateLabels(digest, { more: 'yes' });
      assert.deepEqual((await content.info(digest)).labels, { kind: 'test', more: 'yes' });
      assert.ok((await content.list()).some((info) => info.digest === digest && info.size === data.length));
    });
    await assert.rejects(content.readBlob(`sha256:${'0'.repeat(64)}`), failsWith('not-found'));
  });

  test('content: a write is resumed where it broke, and an aborted one is gone', async () => {
    const { content, leases } = containerd.client;
    await leases.with(async (lease) => {
      const data = randomBytes(600_000);
      const target = { ref: 'resumed', expected: sha256(data), total: data.length };
      const first = await content.writer(target, { lease });
      await first!.write(data.subarray(0, 300_000));
      first!.close();
      const second = await content.writer(target, { lease });
      assert.ok(second!.offset <= 300_000);
      await second!.write(data.subarray(second!.offset));
      assert.equal(await second!.commit(), target.expected);

      const third = await content.writer({ ref: 'aborted' }, { lease });
      await third!.write(data);
      await third!.abort();
      assert.deepEqual(await content.listIngests(), []);
    });
  });

  test('content: wrong bytes are refused at the commit and leave nothing', async () => {
    const { content, leases } = containerd.client;
    await leases.with(async (lease) => {
      const expected = sha256('right');
      await assert.rejects(content.writeBlob({ ref: 'wrong', expected }, Buffer.from('wrong'), { lease }), failsWith('failed-precondition', /unexpected commit digest/));
      await assert.rejects(content.info(expected), failsWith('not-found'));
    });
    assert.deepEqual(await content.listIngests(), []);
  });

  test('content: a cancelled write fails at once', async () => {
    const stop = new AbortController();
    const writer = await containerd.client.content.writer({ ref: 'cancelled' }, { signal: stop.signal });
    stop.abort();
    await assert.rejects(writer!.write(randomBytes(10)), failsWith('cancelled'));
    await writer!.abort();
    assert.deepEqual(await containerd.client.content.listIngests(), []);
  });

  test('leases hold content and snapshots; failed work leaves nothing, finished work what is referred to', async () => {
    const { content, leases, snapshots, images } = containerd.client;
    const data = randomBytes(1000);
    const broken = leases.with(async (lease) => {
      await content.writeBlob({ ref: 'held', expected: sha256(data) }, data, { lease });
      await snapshots.prepare('held', '', { lease });
      assert.deepEqual((await leases.listResources(lease)).map(({ type }) => type).sort(), ['content', 'snapshots/overlayfs']);
      throw new Error('the work failed');
    });
    await assert.rejects(broken, /the work failed/);
    await assert.rejects(content.info(sha256(data)), failsWith('not-found'));
    await assert.rejects(snapshots.stat('held'), failsWith('not-found'));
    assert.deepEqual(await leases.list(), []);

    await leases.with(async (lease) => {
      await content.writeBlob({ ref: 'kept', expected: sha256(data) }, data, { lease });
      await images.create({ name: 'kept', target: { mediaType: 'text/plain', digest: sha256(data), size: data.length } });
    });
    const { id } = await leases.create();
    await leases.delete(id, { sync: true });
    assert.equal((await content.info(sha256(data))).size, data.length);
    await images.delete('kept', { sync: true });
    await assert.rejects(content.info(sha256(data)), failsWith('not-found'));
  });

  test('snapshots: prepare, commit, stand on each other, view, remove', async () => {
    const { snapshots, leases } = containerd.client;
    await leases.with(async (lease) => {
      const mounts = await snapshots.prepare('active', '', { lease, labels: { a: 'b' } });
      assert.ok(mounts[0]!.source.startsWith(containerd.directory));
      assert.deepEqual(await snapshots.mounts('active'), mounts);
      await snapshots.commit('base', 'active', { lease });
      assert.equal((await snapshots.stat('base')).kind, 'COMMITTED');
      await snapshots.prepare('child', 'base', { lease });
      await snapshots.view('look', 'base', { lease });
      assert.deepEqual((await snapshots.list()).map(({ name, parent }) => `${name}<${parent}`).sort(), ['base<', 'child<base', 'look<base']);
      assert.equal((await snapshots.updateLabels('child', { x: 'y' })).labels['x'], 'y');
      await assert.rejects(snapshots.remove('base'), failsWith('failed-precondition'));
      assert.ok((await snapshots.usage('base')).inodes > 0);
      for (const name of ['look', 'child', 'base']) await snapshots.remove(name);
      assert.deepEqual(await snapshots.list(), []);
    });
  });

  test('images: create, replace, list, delete', async () => {
    const { images } = containerd.client;
    const target = (letter: string) => ({ mediaType: 'text/plain', digest: `sha256:${letter.repeat(64)}`, size: 1 });
    await images.put({ name: 'example.org/a:1', target: target('a'), labels: { l: '1' } });
    await images.put({ name: 'example.org/a:1', target: target('b') });
    const found = await images.get('example.org/a:1');
    assert.deepEqual([found.target.digest, found.labels], [target('b').digest, {}]);
    assert.deepEqual((await images.list([`target.digest==${target('b').digest}`])).map(({ name }) => name), ['example.org/a:1']);
    await images.delete('example.org/a:1');
    await assert.rejects(images.get('example.org/a:1'), failsWith('not-found'));
  });

  test('events arrive from the moment subscribe has resolved, only of the own namespace, until close', async () => {
    const seen: ContainerdEvent[] = [];
    const { snapshots, events } = containerd.client;
    const other = containerd.connect('other');
    const subscription = await events.subscribe(['topic~="^/snapshot/"'], (event) => { seen.push(event); });
    await snapshots.prepare('seen', '', { labels: { 'containerd.io/gc.root': '1' } });
    await other.snapshots.prepare('unseen', '', { labels: { 'containerd.io/gc.root': '1' } });
    await other.snapshots.remove('unseen');
    await snapshots.remove('seen');
    for (let tries = 0; seen.length < 2 && tries < 200; tries++) await new Promise((resolve) => setTimeout(resolve, 25));
    assert.deepEqual(seen.map(({ topic, namespace }) => `${namespace} ${topic}`), ['test /snapshot/prepare', 'test /snapshot/remove']);
    subscription.close();
    assert.equal(await subscription.ended, undefined);
    await snapshots.prepare('after', '', { labels: { 'containerd.io/gc.root': '1' } });
    await snapshots.remove('after');
    assert.equal(seen.length, 2);
  });

  test('a subscription can be cancelled before and after it stands', async () => {
    await assert.rejects(containerd.client.events.subscribe([], () => undefined, { signal: AbortSignal.abort() }), failsWith('cancelled'));
    const stop = new AbortController();
    const subscription = await containerd.client.events.subscribe([], () => undefined, { signal: stop.signal });
    stop.abort();
    assert.equal(await subscription.ended, undefined);
  });

  test('when containerd dies, a subscription says so, and the same client works again afterwards', async () => {
    const own = await startContainerd();
    try {
      await own.client.containers.create({ id: 'survivor', runtime: { name: 'x' }, spec: { type_url: 'x', value: Buffer.alloc(0) } });
      const subscription = await own.client.events.subscribe([], () => undefined);
      await own.restart();
      assert.ok(isContainerdError(await subscription.ended, 'unavailable'));
      await own.client.waitForReady(30_000);
      assert.equal((await own.client.containers.get('survivor')).id, 'survivor');
      (await own.client.events.subscribe([], () => undefined)).close();
    } finally {
      await own.stop();
    }
  });
});
