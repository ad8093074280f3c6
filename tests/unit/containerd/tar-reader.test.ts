// The tar reader agrees with tar-stream on good archives and refuses bad ones, however the bytes are cut.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ImageError } from '@pouch/containerd';
import { readTar } from '../../../packages/containerd/src/image/tar-reader.ts';
import { tarOf, type TarFile } from '../../fixtures/images.ts';

async function* cut(data: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size);
}

async function read(data: Buffer, size = 65_536): Promise<{ name: string; type: string; link: string; data: string }[]> {
  const found = [];
  for await (const entry of readTar(cut(data, size))) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of entry.body) chunks.push(chunk);
    found.push({ name: entry.name, type: entry.type, link: entry.linkName, data: Buffer.concat(chunks).toString() });
  }
  return found;
}

/** A raw header block with a right checksum, for what tar-stream refuses to write. */
function header(name: string, size: string, flag = '0'): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, 'latin1');
  block.write('0000644\0', 100);
  block.write(size, 124, 'latin1');
  block.write(flag, 156);
  block.write('ustar\0' + '00', 257);
  block.fill(' ', 148, 156);
  block.write(block.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0') + '\0 ', 148);
  return block;
}
const size = (bytes: number): string => bytes.toString(8).padStart(11, '0') + '\0';

test('entries, long names and links come out as they went in, for any cut of the stream', async () => {
  const files: TarFile[] = [
    { name: 'dir/', type: 'directory' }, { name: 'dir/a', data: 'hello' }, { name: 'empty', data: '' }, { name: `${'long/'.repeat(60)}name-ü`, data: 'x'.repeat(1500) },
    { name: 'link', type: 'symlink', linkname: 'dir/a' }, { name: 'hard', type: 'link', linkname: 'dir/a' }, { name: './dot', data: 'dot' },
  ];
  const tar = await tarOf(files);
  const expected = files.map(({ name, type = 'file', data = '', linkname = '' }) => ({ name: name.replace(/^\.\//, '').replace(/\/$/, ''), type, link: linkname ?? '', data: String(data) }));
  await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: 3000 }), async (piece) => {
    assert.deepEqual(await read(tar, piece), expected);
  }), { numRuns: 20 });
});

test('bodies that are not read are skipped', async () => {
  const names = [];
  for await (const { name } of readTar(cut(await tarOf([{ name: 'a', data: 'x'.repeat(5000) }, { name: 'b', data: 'y' }]), 700))) names.push(name);
  assert.deepEqual(names, ['a', 'b']);
});

test('hostile tars are refused with what is wrong', async () => {
  const good = await tarOf([{ name: 'a', data: 'x'.repeat(5000) }]);
  const table: [string, Buffer, RegExp][] = [
    ['nothing', Buffer.alloc(0), /empty/],
    ['no tar', Buffer.from('#!/bin/sh\n'.repeat(100)), /no tar header/],
    ['cut in a header', good.subarray(0, 300), /middle of a header/],
    ['cut in a body', good.subarray(0, 2000), /middle of a \(\d+ of 5000 bytes are missing\)/],
    ['a flipped bit', Buffer.concat([good.subarray(0, 5632), Buffer.from([1]), good.subarray(5633)]), /checksum/],
    ['an absolute path', header('/etc/passwd', size(0)), /absolute path/],
    ['a path upwards', header('a/../../b', size(0)), /leaves the archive/],
    ['control characters', header('a\nb', size(0)), /control characters/],
    ['invalid UTF-8', header('a\xff', size(0)), /UTF-8/],
    ['a size of letters', header('a', 'zzzzzzzzzzz\0'), /absurd size/],
    ['a huge binary size', header('a', '\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff'), /absurd size/],
    ['a huge extended header', header('a', size(2 ** 30), 'x'), /extended header claims/],
    ['a huge long name', header('a', size(2 ** 30), 'L'), /extended header claims/],
    ['a broken pax header', Buffer.concat([header('a', size(10), 'x'), Buffer.alloc(512, '9')]), /pax header is malformed/],
    ['a negative pax size', Buffer.concat([header('a', size(12), 'x'), Buffer.concat([Buffer.from('12 size=-10\n')], 512), header('a', size(0))]), /absurd size/],
  ];
  for (const [what, tar, why] of table) {
    await assert.rejects(read(tar), (error) => error instanceof ImageError && error.code === 'invalid-archive' && why.test(error.message), what);
  }
});

test('random bytes never crash the reader', async () => {
  await fc.assert(fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 3000 }), async (bytes) => {
    await read(Buffer.from(bytes), 100).catch((error: unknown) => { assert.ok(error instanceof ImageError, String(error)); });
  }), { numRuns: 100 });
});
