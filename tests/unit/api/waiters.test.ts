// Waiting for a container: what a status alone says is believed, and nothing is read for it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Waiters, type StatusMeans } from '../../../services/api/src/projection/waiters.ts';

const means: Readonly<Record<string, StatusMeans<string>>> = { placed: 'sleep', created: { outcome: 'there' }, removed: 'look' };

function waiting(): { waiters: Waiters; looks: { count: number; answer: string | undefined }; outcome: Promise<string> } {
  const waiters = new Waiters();
  const looks = { count: 0, answer: undefined as string | undefined };
  const look = (): string | undefined => {
    looks.count += 1;
    return looks.answer;
  };
  const outcome = waiters.wait('c', look, { timeoutMs: null, onStatus: (status) => means[status] ?? 'look' }, () => new Error('late'));
  looks.count = 0; // the one at the start
  return { waiters, looks, outcome };
}

test('a status that says it all ends the wait without a look', async () => {
  const { waiters, looks, outcome } = waiting();
  waiters.wake('c', 'placed');
  waiters.wake('other', 'created');
  assert.equal(waiters.count, 1);
  waiters.wake('c', 'created');
  assert.equal(await outcome, 'there');
  assert.deepEqual([looks.count, waiters.count], [0, 0]);
});

test('a status that does not, and a change that tells none, are looked at', async () => {
  const { waiters, looks, outcome } = waiting();
  waiters.wake('c', 'removed');
  waiters.wakeAll();
  assert.equal(looks.count, 2);
  looks.answer = 'gone';
  waiters.wake('c', 'removed');
  assert.equal(await outcome, 'gone');
});
