// What is written as a tar reads back the same, by our reader and by tar-stream's; what is no tar is refused.
import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeTarHeader, readTarMembers, tarEnd, TarError, tarPadding, type TarHeader } from '@pouch/oci';
import tarStream from 'tar-stream';

const header = (different: Partial<TarHeader>): TarHeader => ({
  name: Buffer.from('a'), type: 'file', linkName: Buffer.alloc(0), mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 0, sizeBytes: 0, major: 0, minor: 0, capability: Buffer.alloc(0), ...different,
});
const archive = (members: readonly { readonly header: TarHeader; readonly data?: Buffer }[]): Buffer =>
  Buffer.concat([...members.flatMap(({ header: one, data = Buffer.alloc(0) }) => [encodeTarHeader(one), data, tarPadding(data.length)]), tarEnd]);

async function read(bytes: Buffer): Promise<{ header: TarHeader; data: Buffer }[]> {
  const found = [];
  for await (const { body, ...rest } of readTarMembers(Readable.from([bytes]))) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of body) chunks.push(chunk);
    found.push({ header: rest as TarHeader, data: Buffer.concat(chunks) });
  }
  return found;
}

const name = fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => Buffer.from(bytes.map((byte) => (byte === 0 ? 1 : byte))));
const anyHeader: fc.Arbitrary<TarHeader> = fc.record({
  name, type: fc.constantFrom('link', 'symlink', 'character', 'block', 'directory', 'fifo'), linkName: name, mode: fc.integer({ min: 0, max: 0o7777 }), uid: fc.nat(0xfffffffe), gid: fc.nat(0xfffffffe),
  mtimeSeconds: fc.integer({ min: -1e9, max: 2 ** 40 }), sizeBytes: fc.constant(0), major: fc.nat(0xfff), minor: fc.nat(0xfffff), capability: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
}, { noNullPrototype: true });

test('every header reads back as it was written: long names, large owners, times before 1970, bytes that are no UTF-8', async () => {
  await fc.assert(fc.asyncProperty(fc.array(anyHeader, { minLength: 1, maxLength: 5 }), async (headers) => {
    const found = await read(archive(headers.map((one) => ({ header: one }))));
    assert.deepEqual(found.map((one) => one.header), headers);
  }), { numRuns: 300 });
});

test('bytes of files come back, and a size that no octal field holds is told by a pax header', async () => {
  const data = Buffer.from('x'.repeat(1_500));
  const [found] = await read(archive([{ header: header({ sizeBytes: data.length }), data }]));
  assert.deepEqual(found?.data, data);
  const large = encodeTarHeader(header({ sizeBytes: 2 ** 40 }));
  await assert.rejects(read(large), /ends in the middle of a \(1099511627776 of/);
});

test('another reader understands it', async () => {
  const extract = tarStream.extract();
  const seen: { name: string; linkname: string | null | undefined; mode: number | undefined }[] = [];
  extract.on('entry', ({ name: found, linkname, mode }, stream, next) => {
    seen.push({ name: found, linkname, mode });
    stream.resume();
    next();
  });
  const long = `${'d/'.repeat(100)}file`;
  const over = new Promise<void>((resolve, reject) => { extract.on('finish', () => resolve()).on('error', reject); });
  extract.end(archive([{ header: header({ name: Buffer.from(long), mode: 0o4755 }) }, { header: header({ name: Buffer.from('l'), type: 'symlink', linkName: Buffer.from(long) }) }]));
  await over;
  assert.deepEqual(seen, [{ name: long, linkname: null, mode: 0o4755 }, { name: 'l', linkname: long, mode: 0o644 }]);
});

test('absurd numbers, sparse files and unknown kinds are told', async () => {
  const broken = (change: (block: Buffer) => void): Buffer => {
    const block = Buffer.from(encodeTarHeader(header({})));
    change(block);
    block.fill(' ', 148, 156);
    block.write(`${block.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0')}\0 `, 148);
    return Buffer.concat([block, tarEnd]);
  };
  await assert.rejects(read(broken((block) => block.write('not octal..', 124))), (error) => error instanceof TarError && /absurd size/.test(error.message));
  await assert.rejects(read(broken((block) => block.fill(0xff, 108, 116))), /absurd owner/);
  await assert.rejects(read(broken((block) => { block[124] = 0x80; block.fill(0xff, 125, 136); })), /absurd size/);
  const strange = Buffer.concat([broken((block) => { block.write('Z', 156); block.write('00000000003\0', 124); }).subarray(0, 512), Buffer.from('abc'), tarPadding(3), archive([{ header: header({ name: Buffer.from('next') }) }])]);
  assert.deepEqual((await read(strange)).map((one) => [one.header.name.toString(), one.header.type, one.data.toString()]), [['a', 'other', 'abc'], ['next', 'file', '']]);
});
