// Frames and records: what is written is read again, and nothing that comes in can do more than be refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeFrame, FrameReader, ProtocolError } from '../../../packages/runv/src/protocol/frames.ts';
import { decodeRecords, record, u32, u64 } from '../../../packages/runv/src/protocol/records.ts';
import { decodeProcesses, decodeStats } from '../../../packages/runv/src/protocol/replies.ts';

test('frames are read again, however the stream is cut', () => {
  const frame = fc.record({ op: fc.integer({ min: 1, max: 255 }), id: fc.integer({ min: 0, max: 0xffffffff }), payload: fc.uint8Array({ maxLength: 300 }) });
  fc.assert(fc.property(fc.array(frame, { maxLength: 8 }), fc.integer({ min: 1, max: 64 }), (frames, step) => {
    const stream = Buffer.concat(frames.map(({ op, id, payload }) => encodeFrame(op, id, Buffer.from(payload))));
    const reader = new FrameReader();
    const read = [];
    for (let at = 0; at < stream.length; at += step) read.push(...reader.push(stream.subarray(at, at + step)));
    assert.deepEqual(read.map(({ op, id, payload }) => ({ op, id, payload: Uint8Array.from(payload) })), frames.map((one) => ({ ...one, payload: Uint8Array.from(one.payload) })));
  }));
});

test('whatever a guest sends, it is frames or a ProtocolError', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
    for (const read of [() => new FrameReader().push(bytes), () => decodeRecords(Buffer.from(bytes)), () => decodeProcesses(Buffer.from(bytes)), () => decodeStats(Buffer.from(bytes))]) {
      try {
        read();
      } catch (error) {
        assert.ok(error instanceof ProtocolError, String(error));
      }
    }
  }), { numRuns: 2_000 });
});

test('a frame that is too long is refused before its bytes are there; one of ours cannot be made', () => {
  const head = encodeFrame(35, 1);
  head.writeUInt32LE(0xffffffff, 0);
  assert.throws(() => new FrameReader().push(head), ProtocolError);
  assert.throws(() => encodeFrame(2, 0, Buffer.alloc((1 << 20) + 1)), RangeError);
});

test('records: several parts, lengths, cut ones', () => {
  const payload = Buffer.concat([record(1, u32(7), 'ab'), record(2, u64(2n ** 64n - 1n))]);
  assert.deepEqual(decodeRecords(payload).map(({ tag, bytes }) => [tag, bytes.toString('hex')]), [[1, '070000006162'], [2, 'ffffffffffffffff']]);
  for (let length = 1; length < payload.length; length++) {
    if (length !== 14) assert.throws(() => decodeRecords(payload.subarray(0, length)), ProtocolError);
  }
});
