// Answers kept until a message of their kind comes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Remembered } from '../../../services/api/src/projection/remembered.ts';

test('an answer is read once until a message of its kind, or any, may have changed it', () => {
  const remembered = new Remembered();
  let reads = 0;
  const ask = (kind: string, question = 'q'): number => remembered.answer(kind, question, () => ++reads);
  assert.deepEqual([ask('image'), ask('image'), ask('policy'), ask('image', 'other')], [1, 1, 2, 3]);
  remembered.changed(['evt.container.host-1.a', 'evt.images.x', 'evt.policy.cluster']);
  assert.deepEqual([ask('image'), ask('policy')], [1, 4]);
  remembered.changed(['evt.image.host-1.k']);
  assert.deepEqual([ask('image'), ask('image', 'other'), ask('policy')], [5, 6, 4]);
  remembered.changed(null);
  assert.deepEqual([ask('image'), ask('policy')], [7, 8]);
});

test('nothing is remembered of a question that failed, and of many not all', () => {
  const remembered = new Remembered();
  assert.throws(() => remembered.answer('image', 'q', () => { throw new Error('the file is damaged'); }), /damaged/);
  assert.equal(remembered.answer('image', 'q', () => null), null);
  assert.equal(remembered.answer('image', 'q', () => 'another'), null, 'that there is none is an answer');
  let reads = 0;
  for (let n = 0; n < 1_000; n++) remembered.answer('image', `q${n}`, () => ++reads);
  remembered.answer('image', 'q0', () => ++reads);
  assert.equal(reads, 1_001, 'the first of a thousand was forgotten');
});
