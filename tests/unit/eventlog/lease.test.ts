// The lease: one holder, who knows in time that it is one no more. Over a bucket in memory with a clock of the test's.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { Lease, MemoryBucket } from '@pouch/eventlog';
import { nullLogger, systemClock } from '@pouch/process';
import { until } from './log-contract.ts';

interface Told {
  readonly acquired: number[];
  readonly lost: string[];
  readonly signals: AbortSignal[];
}

const ttlMs = 2_000;

function hold(t: TestContext, bucket: MemoryBucket, holder: string, clock = systemClock): Told & { lease: Lease } {
  const told: Told = { acquired: [], lost: [], signals: [] };
  const lease = new Lease({
    bucket, holder, clock, ttlMs, logger: nullLogger, name: 'scheduler', pollMs: 5,
    onAcquired: ({ epoch, signal }) => {
      told.acquired.push(epoch);
      told.signals.push(signal);
    },
    onLost: (reason) => told.lost.push(reason),
  });
  t.after(() => lease.stop());
  return { ...told, lease };
}

test('one holds it; when it lets go the other has it at once, with a higher epoch', async (t) => {
  const bucket = new MemoryBucket({ ttlMs });
  const one = hold(t, bucket, 'one');
  await until('one has it', () => one.acquired.length === 1);
  const two = hold(t, bucket, 'two');
  assert.equal((await two.lease.current())?.holder, 'one');
  await one.lease.stop();
  assert.deepEqual(one.lost, ['let go']);
  assert.equal(one.signals[0]?.aborted, true);
  await until('two has it', () => two.acquired.length === 1);
  assert.ok((two.acquired[0] ?? 0) > (one.acquired[0] ?? 0));
  assert.equal(two.lease.epoch, two.acquired[0]);
  assert.equal(one.lease.epoch, null);
  assert.deepEqual(two.lost, []);
});

test('a holder that cannot renew gives up before its entry has run out; another takes over after', async (t) => {
  let nowMs = 0;
  const clock = { now: () => nowMs, monotonicMs: () => nowMs };
  const bucket = new MemoryBucket({ clock, ttlMs });
  const one = hold(t, bucket, 'one', clock);
  await until('one has it', () => one.acquired.length === 1);
  bucket.available = false;
  nowMs += ttlMs * 0.8;
  await until('one has given up', () => one.lost.length === 1);
  assert.equal(one.lost[0], 'it could not be renewed in time');
  await one.lease.stop();
  bucket.available = true;
  const two = hold(t, bucket, 'two', clock);
  await until('two has looked', async () => (await two.lease.current())?.holder === 'one');
  assert.deepEqual(two.acquired, []);
  nowMs += ttlMs;
  await until('two has it', () => two.acquired.length === 1);
});

test('a holder whose entry was taken is told', async (t) => {
  const bucket = new MemoryBucket({ ttlMs: 0 });
  const one = hold(t, bucket, 'one');
  await until('one has it', () => one.acquired.length === 1);
  await until('it was replaced', async () => (await bucket.put('scheduler', '{"holder":"thief","token":"t"}', (await bucket.get('scheduler'))?.revision ?? -1)) !== null);
  await until('one knows', () => one.lost.length === 1);
  assert.equal(one.lost[0], 'it was taken by another holder');
});

test('of many who try one holds it', async (t) => {
  const bucket = new MemoryBucket({ ttlMs });
  const all = Array.from({ length: 8 }, (_, at) => hold(t, bucket, String(at)));
  for (let round = 0; round < 4; round++) {
    const holder = await until('one has it', () => all.find(({ lease }) => lease.epoch !== null));
    assert.equal(all.filter(({ lease }) => lease.epoch !== null).length, 1);
    await holder.lease.stop();
  }
  const epochs = all.flatMap(({ acquired }) => acquired);
  assert.equal(new Set(epochs).size, epochs.length);
});
