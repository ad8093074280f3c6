// Archives for a guest's initramfs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { packCpio, type CpioEntry } from '../../../packages/runv/src/machine/cpio.ts';

type Read = { name: string; mode: number; size: number; major: number; minor: number; content: Buffer };

/** Reads newc as the kernel does: fields of eight hex digits, everything at multiples of four. */
function read(archive: Buffer): Read[] {
  const found: Read[] = [];
  for (let at = 0; ;) {
    assert.equal(archive.toString('latin1', at, at + 6), '070701');
    assert.equal(at % 4, 0);
    const field = (index: number): number => Number.parseInt(archive.toString('latin1', at + 6 + index * 8, at + 14 + index * 8), 16);
    const [mode, size, nameSize] = [field(1), field(6), field(11)];
    const name = archive.toString('utf8', at + 110, at + 110 + nameSize - 1);
    assert.equal(archive[at + 110 + nameSize - 1], 0);
    const start = Math.ceil((at + 110 + nameSize) / 4) * 4;
    if (name === 'TRAILER!!!') return found;
    found.push({ name, mode, size, major: field(9), minor: field(10), content: archive.subarray(start, start + size) });
    at = Math.ceil((start + size) / 4) * 4;
  }
}

const entries: CpioEntry[] = [
  { name: 'dev', mode: 0o040755 },
  { name: 'dev/console', mode: 0o020600, device: { major: 5, minor: 1 } },
  { name: 'init', mode: 0o100755, content: Buffer.from('12345') },
  { name: 'ä', mode: 0o100644, content: Buffer.alloc(4096, 7) },
  { name: 'empty', mode: 0o100600 },
];

test('what is packed is read again', () => {
  const archive = packCpio(entries);
  assert.equal(archive.length % 512, 0);
  assert.deepEqual(read(archive).map(({ name, mode, size }) => ({ name, mode, size })), entries.map(({ name, mode, content }) => ({ name, mode, size: content?.length ?? 0 })));
  const [, console, init] = read(archive);
  assert.deepEqual([console?.major, console?.minor], [5, 1]);
  assert.equal(init?.content.toString(), '12345');
});

test('the same entries give the same bytes', () => {
  assert.ok(packCpio(entries).equals(packCpio(entries)));
});

test('names that an archive cannot hold are refused', () => {
  assert.throws(() => packCpio([{ name: 'a\0b', mode: 0o100644 }]), RangeError);
  assert.throws(() => packCpio([{ name: 'n'.repeat(5000), mode: 0o100644 }]), RangeError);
});
