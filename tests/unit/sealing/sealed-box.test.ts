// What is sealed for a reader opens for that reader only, whole only.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { makeReader, SealedError, sealFor } from '@pouch/sealing';

test('a reader opens what was sealed for it, nobody else does, and every changed byte is found', () => {
  const [reader, other] = [makeReader(), makeReader()];
  const plain = randomBytes(100);
  const sealed = sealFor(reader.publicKey, plain);
  assert.deepEqual(reader.open(sealed), plain);
  assert.throws(() => other.open(sealed), SealedError);
  for (let at = 0; at < sealed.length; at++) {
    const changed = Buffer.from(sealed);
    changed[at] = (changed[at] ?? 0) ^ 1;
    assert.throws(() => reader.open(changed), SealedError, `byte ${at}`);
  }
  for (const length of [0, 10, 44, 59]) assert.throws(() => reader.open(sealed.subarray(0, length)), SealedError);
});

test('the same bytes are sealed differently each time, and not for what is no key', () => {
  const reader = makeReader();
  assert.notDeepEqual(sealFor(reader.publicKey, Buffer.from('x')), sealFor(reader.publicKey, Buffer.from('x')));
  for (const key of [Buffer.alloc(0), randomBytes(44), reader.publicKey.subarray(1)]) assert.throws(() => sealFor(key, Buffer.from('x')), SealedError);
});
