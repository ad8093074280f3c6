// How what comes from the log is cut into batches, on a clock of the test's own.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { BatchDelivery } from '../../../packages/eventlog/src/batch-delivery.ts';

const gatherMs = 5;

class Rig {
  nowMs = 1_000;
  gathers = true;
  readonly batches: (readonly number[])[] = [];
  readonly #handled: (() => void)[] = [];
  readonly delivery = new BatchDelivery<number>({
    handle: (batch) => { this.batches.push(batch); },
    maxBatch: 100, maxWaiting: 1_000,
    gathering: { clock: { now: () => 0, monotonicMs: () => this.nowMs }, ms: () => (this.gathers ? gatherMs : 0) },
    onHandled: () => { for (const tell of this.#handled.splice(0)) tell(); },
    onEmpty: () => undefined,
    onError: (error) => { throw error; },
  });

  /** `count` in one tick, and the batch that they come in or add to. */
  async push(count: number): Promise<void> {
    const handled = new Promise<void>((resolve) => this.#handled.push(resolve));
    this.hold(count);
    await handled;
  }

  hold(count: number): void {
    for (let n = 0; n < count; n++) this.delivery.push(n);
  }

  get sizes(): readonly number[] {
    return this.batches.map((batch) => batch.length);
  }
}

test('what comes one by one, and not often, is handed over at once', async () => {
  const rig = new Rig();
  for (let n = 0; n < 10; n++) await rig.push(1);
  rig.nowMs += 1_000;
  for (let n = 0; n < 10; n++) await rig.push(1);
  assert.deepEqual(new Set(rig.sizes), new Set([1]));
});

test('after much, what comes shortly after one another is one batch', async () => {
  const rig = new Rig();
  await rig.push(30);
  rig.hold(1);
  await delay(2 * gatherMs);
  assert.deepEqual(rig.sizes, [30], 'the clock stands still, so it is not time yet');
  const handled = rig.push(1);
  rig.nowMs += gatherMs;
  await handled;
  assert.deepEqual(rig.sizes, [30, 2]);
});

test('a whole batch waits for nothing, nor does anything for who does not want it so just now', async () => {
  const rig = new Rig();
  await rig.push(100);
  await rig.push(100);
  rig.gathers = false;
  await rig.push(1);
  assert.deepEqual(rig.sizes, [100, 100, 1]);
});

test('stopped while it waits for more, it hands over nothing', async () => {
  const rig = new Rig();
  await rig.push(30);
  rig.hold(1);
  await delay(1);
  await rig.delivery.stop();
  assert.deepEqual(rig.sizes, [30]);
});
