// The object store over a real nats-server: what goes in comes out, damage is told, nothing is left of what broke off, and `nats` clients read it.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { connectNats, NatsObjectStore, type NatsLink } from '@pouch/eventlog';
import { nullLogger } from '@pouch/process';
import { startNats, type NatsFixture } from '../../fixtures/nats.ts';

let nats: NatsFixture;
let link: NatsLink;
let store: NatsObjectStore;
before(async () => {
  nats = await startNats();
  link = connectNats({ servers: nats.url, name: 'test', logger: nullLogger });
  store = new NatsObjectStore({ link, logger: nullLogger, bucket: 'kernels', timeoutMs: 30_000 });
});
after(async () => {
  await link.close();
  await nats.stop();
});

const limits = { maxBytes: 64 * 2 ** 20 };
const sha256 = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

async function* inPieces(bytes: Buffer, pieceBytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}

async function all(source: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of source) parts.push(part);
  return Buffer.concat(parts);
}

async function messages(): Promise<number> {
  const manager = await (await link.connection()).jetstreamManager();
  return (await manager.streams.info('OBJ_kernels')).state.messages;
}

test('bytes of every size come out as they went in, and the same bytes are kept once', async () => {
  for (const bytes of [0, 1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 3_000_000].map((size) => randomBytes(size))) {
    const put = await store.put(inPieces(bytes, 70_001), limits);
    assert.deepEqual(put, { digest: sha256(bytes), sizeBytes: bytes.length, existed: false });
    assert.ok((await all(store.get(put.digest))).equals(bytes));
    const before = await messages();
    assert.equal((await store.put(inPieces(bytes, 1_000_000), limits)).existed, true);
    assert.equal(await messages(), before);
    await store.remove(put.digest);
    await store.remove(put.digest);
    await assert.rejects(all(store.get(put.digest)), { code: 'not-found' });
  }
  assert.equal(await messages(), 0);
});

test('a source that breaks off or does not end leaves nothing', async () => {
  const broken = async function* (): AsyncGenerator<Buffer> {
    yield randomBytes(600_000);
    throw new Error('gone');
  };
  await assert.rejects(store.put(broken(), limits), /gone/);
  const endless = async function* (): AsyncGenerator<Buffer> {
    for (;;) yield Buffer.alloc(300_000);
  };
  await assert.rejects(store.put(endless(), { maxBytes: 1_000_000 }), { code: 'too-large' });
  assert.equal(await messages(), 0);
});

test('what is damaged is told, not handed over as whole', async () => {
  const bytes = randomBytes(1_000_000);
  const { digest } = await store.put(inPieces(bytes, 100_000), limits);
  const manager = await (await link.connection()).jetstreamManager();
  const info = await manager.streams.info('OBJ_kernels', { subjects_filter: '$O.kernels.C.>' });
  const [chunks = ''] = Object.keys(info.state.subjects ?? {});
  await manager.streams.purge('OBJ_kernels', { filter: chunks, keep: 2 });
  await assert.rejects(all(store.get(digest)), { code: 'damaged' });
  await store.remove(digest);
});

test('a sweep takes what nobody keeps and what broken-off writes left, and spares what is young', async () => {
  const kept = await store.put(inPieces(randomBytes(300_000), 9_999), limits);
  const dropped = await store.put(inPieces(randomBytes(300_000), 9_999), limits);
  await (await link.connection()).jetstream().publish('$O.kernels.C.orphan', randomBytes(10));
  assert.equal(await store.sweep(new Set(), Date.now() - 3_600_000), 0);
  assert.equal(await store.sweep(new Set([kept.digest]), Date.now() + 60_000), 1);
  assert.equal((await all(store.get(kept.digest))).length, 300_000);
  await assert.rejects(all(store.get(dropped.digest)), { code: 'not-found' });
  assert.equal(await messages(), 3); // two chunks and their description
});

test("NATS' own client reads it", async () => {
  const bytes = randomBytes(700_000);
  const { digest } = await store.put(inPieces(bytes, 100_000), limits);
  const objects = await (await link.connection()).jetstream().views.os('kernels');
  const read = await objects.getBlob(digest);
  assert.ok(read !== null && Buffer.from(read).equals(bytes));
});

test('a restart of the server in between is waited out', async () => {
  const bytes = randomBytes(2_000_000);
  const source = async function* (): AsyncGenerator<Buffer> {
    yield bytes.subarray(0, 1_000_000);
    await nats.restart();
    yield bytes.subarray(1_000_000);
  };
  const { digest } = await store.put(source(), limits);
  assert.ok((await all(store.get(digest))).equals(bytes));
});
