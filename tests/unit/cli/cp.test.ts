// docker cp's rules: which side is a container, what a copy is called where it goes, and that nothing of a container is written outside.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { encodeTarHeader, tarEnd, tarPadding, type TarHeader } from '@pouch/oci';
import { localArchive, localSource } from '../../../packages/cli/src/copying/archive.ts';
import { extractHere } from '../../../packages/cli/src/copying/extract.ts';
import { absolute, directionOf, landing, placeOf, renamed, split } from '../../../packages/cli/src/copying/places.ts';

test('NAME:PATH is in a container; what begins with / or . is here, whatever colons are in it', () => {
  assert.deepEqual(placeOf('web:/etc'), { container: 'web', path: '/etc' });
  assert.deepEqual(placeOf('/a:b'), { container: null, path: '/a:b' });
  assert.deepEqual(placeOf('./a:b'), { container: null, path: './a:b' });
  assert.deepEqual(placeOf('-'), { container: null, path: '-' });
  assert.throws(() => directionOf('a:/x', 'b:/y'), /between containers/);
  assert.throws(() => directionOf('x', 'y'), /must be in a container/);
  assert.throws(() => directionOf('web:', '.'), /has none/);
});

test('where a copy lands, by what is there', () => {
  const file = { base: 'f', directory: false };
  const folder = { base: 'd', directory: true };
  assert.deepEqual(landing(file, { path: '/to', is: 'directory' }), { directory: '/to', base: 'f' });
  assert.deepEqual(landing(file, { path: '/to/g', is: 'missing' }), { directory: '/to', base: 'g' });
  assert.deepEqual(landing(file, { path: '/to/g', is: 'file' }), { directory: '/to', base: 'g' });
  assert.deepEqual(landing(folder, { path: '/to/e', is: 'missing' }), { directory: '/to', base: 'e' });
  assert.deepEqual(landing({ base: '.', directory: true }, { path: '/to/e', is: 'missing' }), { directory: '/to', base: 'e' });
  assert.throws(() => landing(folder, { path: '/to/g', is: 'file' }), /onto the file/);
  assert.throws(() => landing(file, { path: '/to/e/', is: 'missing' }), /no directory/);
  assert.deepEqual(split('/a/b/.'), { directory: '/a/b', base: '.' });
  assert.deepEqual(split('/a/b/'), { directory: '/a', base: 'b' });
  assert.equal(absolute('x/.', '/w'), '/w/x/.');
  assert.equal(absolute('x/', '/w'), '/w/x/');
});

test('names are changed at their beginning only, and stay in the directory', () => {
  assert.equal(renamed('etc/etc/x', 'etc', 'new'), 'new/etc/x');
  assert.equal(renamed('./x', '.', 'new'), 'new/x');
  assert.equal(renamed('./', '.', '.'), '');
  assert.equal(renamed('/bin/', '/', '/'), 'bin');
  for (const name of ['../x', 'etc/../../x', '/../x']) assert.throws(() => renamed(name, 'etc', 'etc'), /leads out/, name);
});

async function inDirectory(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'pouch-test-cp-'));
  try {
    await work(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

const member = (name: string, different: Partial<TarHeader>, data = ''): Buffer => Buffer.concat([
  encodeTarHeader({ name: Buffer.from(name), type: 'file', linkName: Buffer.alloc(0), mode: 0o640, uid: 0, gid: 0, mtimeSeconds: 1_000, sizeBytes: data.length, major: 0, minor: 0, capability: Buffer.alloc(0), ...different }),
  Buffer.from(data), tarPadding(data.length),
]);
const tarOf = (...members: Buffer[]): Readable => Readable.from([Buffer.concat([...members, tarEnd])]);

test('files here become a tar and files again: modes, times, links', async () => {
  await inDirectory(async (directory) => {
    await mkdir(join(directory, 'a/sub'), { recursive: true });
    await writeFile(join(directory, 'a/sub/f'), 'hello', { mode: 0o750 });
    await symlink('sub/f', join(directory, 'a/l'));
    await mkdir(join(directory, 'to'));
    const source = await localSource(join(directory, 'a'), false);
    await extractHere(Readable.from(localArchive(source, 'b')), { directory: join(directory, 'to'), from: 'b', to: 'c' });
    assert.equal(await readFile(join(directory, 'to/c/l'), 'utf8'), 'hello');
    const [before, after] = await Promise.all([stat(join(directory, 'a/sub/f')), stat(join(directory, 'to/c/sub/f'))]);
    assert.deepEqual([after.mode, Math.floor(after.mtimeMs / 1000)], [before.mode, Math.floor(before.mtimeMs / 1000)]);
  });
});

test('a hostile container writes nothing outside: links in the way, names that lead out, hard links', async () => {
  await inDirectory(async (directory) => {
    const [to, outside] = [join(directory, 'to'), join(directory, 'outside')];
    await mkdir(to);
    await mkdir(outside);
    await writeFile(join(outside, 'secret'), 'secret');
    const into = (source: Readable): Promise<string[]> => extractHere(source, { directory: to, from: 'd', to: 'd' });
    const link = member('d', { type: 'symlink', linkName: Buffer.from(outside) });
    await assert.rejects(into(tarOf(link, member('d/evil', {}, 'x'))), /in the way/);
    await assert.rejects(into(tarOf(member('d/../../evil', {}, 'x'))), /leads out/);
    await assert.rejects(into(tarOf(member('e', { type: 'link', linkName: Buffer.from('d/secret') }))), /no directory/);
    // A link that stands where a file comes is replaced, not written through.
    await rm(join(to, 'd'));
    await into(tarOf(member('d/f', { type: 'symlink', linkName: Buffer.from(join(outside, 'secret')) }), member('d/f', {}, 'mine')));
    assert.equal(await readFile(join(outside, 'secret'), 'utf8'), 'secret');
    assert.deepEqual(await readdir(outside), ['secret']);
    assert.deepEqual(await into(tarOf(member('d/null', { type: 'character', major: 1, minor: 3 }))), ['d/null']);
  });
});
