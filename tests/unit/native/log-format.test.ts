// The log record decoder, on buffers made here after the drawing in c/log-format.h.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeRecords } from '@pouch/native';

function encode(kind: number, position: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(36);
  header.write('PLR1', 0, 'latin1');
  header[4] = 1;
  header[5] = kind;
  header.writeUInt32LE(payload.length, 8);
  header.writeUInt32LE(1, 12);
  header.writeBigUInt64LE(1_700_000_000_000_000_000n, 16);
  header.writeBigUInt64LE(BigInt(position), 24);
  let hash = 0x811c9dc5n;
  for (const byte of header.subarray(0, 32)) hash = ((hash ^ BigInt(byte)) * 0x01000193n) & 0xffffffffn;
  header.writeUInt32LE(Number(hash), 32);
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(payload.length, 0);
  trailer.write('PLRE', 4, 'latin1');
  return Buffer.concat([header, payload, trailer]);
}

function encodeAll(payloads: readonly Buffer[]): Buffer {
  let position = 0;
  return Buffer.concat(payloads.map((payload) => {
    const record = encode(1, position, payload);
    position += record.length;
    return record;
  }));
}

const payloads = fc.array(fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)), { maxLength: 12 });

test('whole records are decoded, and a cut one is left as rest, wherever the cut is', () => {
  fc.assert(fc.property(payloads, fc.nat(), (chunks, cut) => {
    const all = encodeAll(chunks);
    const part = all.subarray(0, all.length === 0 ? 0 : cut % (all.length + 1));
    const { records, rest, consumedBytes, skippedBytes } = decodeRecords(part);
    assert.equal(skippedBytes, 0);
    assert.equal(consumedBytes + rest.length, part.length);
    assert.deepEqual(records.map((record) => record.kind === 'stdout' ? record.data : undefined), chunks.slice(0, records.length));
    assert.equal(records.at(-1)?.nextPosition ?? 0, consumedBytes);
    assert.ok(records.length === chunks.length || rest.length < 44 + (chunks[records.length]?.length ?? 0));
  }));
});

test('damage in the middle costs what it covers; the records behind it are found again', () => {
  const before = encode(1, 0, Buffer.from('before'));
  const damaged = encode(1, before.length, Buffer.alloc(100, 'x')).fill(0);
  const after = encode(2, before.length + damaged.length, Buffer.from('after'));
  const { records, skippedBytes, rest } = decodeRecords(Buffer.concat([before, damaged, after]));
  assert.deepEqual(records.map((record) => record.kind), ['stdout', 'stderr']);
  assert.equal(skippedBytes, damaged.length);
  assert.equal(rest.length, 0);
});

test('output that looks like a record is output', () => {
  const fake = encode(4, 0, Buffer.from('an end that never was'));
  const { records } = decodeRecords(encodeAll([Buffer.concat([fake, fake])]));
  assert.deepEqual(records.map((record) => record.kind), ['stdout']);
});

test('records of kinds that a newer writer knows are passed over', () => {
  const first = encode(99, 0, Buffer.from('?'));
  const { records, skippedBytes } = decodeRecords(Buffer.concat([first, encode(1, first.length, Buffer.from('known'))]));
  assert.deepEqual(records.map((record) => record.kind), ['stdout']);
  assert.equal(skippedBytes, 0);
});

test('any bytes at all are survived', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 2_000 }), (bytes) => {
    const { consumedBytes, rest } = decodeRecords(Buffer.from(bytes));
    assert.equal(consumedBytes + rest.length, bytes.length);
  }));
});
