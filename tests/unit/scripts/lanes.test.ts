// Jobs in lanes: in their order, never more at once than there are lanes, none twice, also where a lane joins later.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Queue, type Job } from '../../../scripts/testing/lanes.ts';

/** Jobs that end when told, and what has begun so far. */
function controlled(count: number): { readonly jobs: readonly Job[]; readonly begun: number[]; end(at: number): Promise<void> } {
  const begun: number[] = [];
  const ends = Array.from({ length: count }, () => Promise.withResolvers<void>());
  return {
    begun,
    jobs: ends.map(({ promise }, at) => async () => {
      begun.push(at);
      await promise;
    }),
    async end(at) {
      ends[at]?.resolve();
      await new Promise((done) => { setImmediate(done); });
    },
  };
}

test('a lane takes the next job as soon as it has done its last, in their order', async () => {
  const { jobs, begun, end } = controlled(4);
  const worked = new Queue(jobs).work(2);
  assert.deepEqual(begun, [0, 1]);
  await end(1);
  assert.deepEqual(begun, [0, 1, 2]);
  await end(2);
  await end(3);
  let over = false;
  void worked.then(() => { over = true; });
  await new Promise((done) => { setImmediate(done); });
  assert.deepEqual([begun, over], [[0, 1, 2, 3], false]);
  await end(0);
  await worked;
});

test('a lane that joins later takes from what is left', async () => {
  const { jobs, begun, end } = controlled(3);
  const queue = new Queue(jobs);
  const first = queue.work(1);
  assert.deepEqual(begun, [0]);
  const second = queue.work(1);
  assert.deepEqual(begun, [0, 1]);
  await end(1);
  await end(2);
  await second;
  assert.deepEqual(begun, [0, 1, 2]);
  await end(0);
  await first;
  await queue.work(3);
});
