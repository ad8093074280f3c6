// Buckets and claims in memory keep the contract; keys survive their encoding.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeKey, encodeKey, MemoryBucket } from '@pouch/eventlog';
import { bucketContract } from './bucket-contract.ts';

const shared = new MemoryBucket();
bucketContract('in memory', () => Promise.resolve(shared));

test('entries go after their lifetime', async () => {
  let nowMs = 0;
  const bucket = new MemoryBucket({ clock: { now: () => nowMs, monotonicMs: () => nowMs }, ttlMs: 2_000 });
  const revision = await bucket.put('k', '1', 0);
  nowMs = 1_999;
  assert.notEqual(await bucket.get('k'), null);
  nowMs = 2_000;
  assert.equal(await bucket.get('k'), null);
  assert.equal(await bucket.put('k', '2', revision ?? -1), null);
  assert.ok(((await bucket.put('k', '2', 0)) ?? 0) > (revision ?? 0));
});

test('every key is encoded to what NATS takes, and back', () => {
  fc.assert(fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }), (key) => {
    const encoded = encodeKey(key);
    assert.match(encoded, /^[A-Za-z0-9_=-]+$/);
    assert.equal(decodeKey(encoded), key);
  }));
  assert.equal(encodeKey('web.1'), 'web=2E1');
  for (const foreign of ['', 'a.b', 'a=', 'a=g0', 'ä']) assert.equal(decodeKey(foreign), null);
});
