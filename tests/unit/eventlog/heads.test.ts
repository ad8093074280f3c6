// Ends of subjects that the log's leader has told, against what replicas say later: who is behind is not believed, for a while, and not too much is remembered.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '@pouch/process';
import { Heads, maxHeads } from '../../../packages/eventlog/src/heads.ts';

function made(): { heads: Heads; pass(ms: number): void } {
  let nowMs = 1_000;
  return { heads: new Heads({ ...systemClock, monotonicMs: () => nowMs }), pass: (ms) => { nowMs += ms; } };
}
const behind = { name: 'LogUnavailable', retryable: true, message: /behind: a ends at 7, it knows 3/ };

test('an answer from before what was told is not believed, a newer one is, and of other subjects nothing is known', () => {
  const { heads } = made();
  heads.reached('a', 7);
  heads.reached('a', 5); // an earlier try was found
  assert.throws(() => heads.check('a', 3), behind);
  for (const [subject, seq] of [['a', 7], ['a', 8], ['b', 0]] as const) heads.check(subject, seq);
});

test('the leader may say that a subject ends earlier, and in time everybody may', () => {
  const { heads, pass } = made();
  heads.reached('a', 9);
  heads.ends('a', 7);
  assert.throws(() => heads.check('a', 3), behind);
  pass(119_000);
  assert.throws(() => heads.check('a', 3), behind);
  pass(2_000);
  heads.check('a', 3);
  heads.ends('a', 7);
  heads.clear();
  heads.check('a', 0);
});

test('the oldest is forgotten where there are too many', () => {
  const { heads } = made();
  heads.reached('a', 7);
  for (let n = 1; n < maxHeads; n++) heads.reached(`b${n}`, 1);
  assert.throws(() => heads.check('a', 3), behind);
  heads.reached('c', 1);
  heads.check('a', 3);
});
