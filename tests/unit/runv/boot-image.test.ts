// What a kernel file is, and the vmlinux within it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { readBootImage } from '../../../packages/runv/src/machine/boot-image.ts';
import { lz4Block } from '../../../packages/runv/src/machine/decompress.ts';
import { MachineError } from '../../../packages/runv/src/machine/errors.ts';
import { bzImage, vmlinux, withLength } from '../../fixtures/kernel-files.ts';

const kernel = vmlinux();
const refused = (words: RegExp) => (error: unknown): boolean => error instanceof MachineError && error.code === 'bad-kernel' && words.test(error.message);

/** A legacy frame with one block of literals. */
function lz4Legacy(data: Buffer): Buffer {
  const lengths: number[] = [];
  for (let rest = data.length - 15; ; rest -= 255) {
    lengths.push(Math.min(rest, 255));
    if (rest < 255) break;
  }
  const block = Buffer.concat([Buffer.from([0xf0, ...lengths]), data]);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(block.length, 0);
  return Buffer.concat([Buffer.from('02214c18', 'hex'), size, block]);
}

test('the vmlinux of a bzImage, however it was compressed', async () => {
  const payloads: Record<string, Buffer> = {
    gzip: gzipSync(kernel), // ends with the length itself
    zstd: withLength(zstdCompressSync(kernel), kernel.length),
    lz4: withLength(lz4Legacy(kernel), kernel.length),
  };
  for (const [name, payload] of Object.entries(payloads)) {
    const image = await readBootImage(bzImage(payload));
    assert.equal(image.format, 'vmlinux', name);
    assert.equal(image.sourceFormat, 'bzImage');
    assert.equal(image.release, '6.6.6-test');
    assert.ok(image.bytes.equals(kernel), name);
  }
});

test('xz, by its program', async (t) => {
  let packed: Buffer;
  try {
    packed = execFileSync('xz', ['--check=crc32', '--x86', '--lzma2=dict=1MiB', '--stdout'], { input: kernel, maxBuffer: 1 << 20 });
  } catch {
    return t.skip('not installed: xz-utils');
  }
  const image = await readBootImage(bzImage(withLength(packed, kernel.length)));
  assert.ok(image.bytes.equals(kernel));
});

test('a kernel without PVH entry, or of an old boot protocol, stays the bzImage that it is', async () => {
  for (const file of [bzImage(gzipSync(vmlinux({ pvh: false }))), bzImage(gzipSync(kernel), { protocol: 0x207 })]) {
    const image = await readBootImage(file);
    assert.equal(image.format, 'bzImage');
    assert.ok(image.bytes.equals(file));
  }
});

test('a vmlinux is taken as it is, with the release of its banner', async () => {
  const image = await readBootImage(kernel);
  assert.deepEqual([image.format, image.sourceFormat, image.release], ['vmlinux', 'vmlinux', '6.6.6-test']);
});

test('what is no kernel is refused with words', async () => {
  await assert.rejects(readBootImage(Buffer.from('#!/bin/sh\n')), refused(/neither a bzImage .* 23212f62/));
  await assert.rejects(readBootImage(Buffer.alloc(0)), refused(/0 bytes/));
  await assert.rejects(readBootImage(vmlinux({ pvh: false })), refused(/no PVH entry/));
  await assert.rejects(readBootImage(bzImage(gzipSync(kernel)).subarray(0, 2650)), refused(/cut short/));
  await assert.rejects(readBootImage(bzImage(Buffer.concat([gzipSync(kernel).subarray(0, 60), Buffer.alloc(50, 1)]))), refused(/gzip data cannot/));
});

test('LZ4: matches that overlap themselves, and blocks that lie', () => {
  // Four literals "abcd", then a match of 8 bytes 2 back; last, one literal.
  assert.equal(lz4Block(Buffer.from([0x44, 0x61, 0x62, 0x63, 0x64, 2, 0, 0x10, 0x65])).toString(), 'abcdcdcdcdcde');
  assert.throws(() => lz4Block(Buffer.from([0x10, 0x61, 9, 0])), RangeError, 'a match before the beginning');
  assert.throws(() => lz4Block(Buffer.from([0xf0, 255])), RangeError, 'a length beyond the block');
  assert.throws(() => lz4Block(Buffer.from([0x1f, 0x61, 1, 0, 255, 255, 0]), 100), RangeError, 'more than it may become');
});
