// Files of an image read from its layers: whiteouts, links, nothing outside.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { hasAny, hasLinks, layersOf, readInLayers } from '../../../services/agent/src/containers/layered-files.ts';

test('the uppermost layer wins, links stay inside, missing files are null', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'pouch-test-layers-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const [upper, lower] = [join(dir, 'upper'), join(dir, 'lower')];
  for (const layer of [upper, lower]) mkdirSync(join(layer, 'etc'), { recursive: true });
  writeFileSync(join(lower, 'etc/passwd'), 'below');
  writeFileSync(join(lower, 'etc/group'), 'group');
  writeFileSync(join(upper, 'etc/passwd'), 'above');
  symlinkSync('/etc/passwd', join(upper, 'etc/absolute'));
  symlinkSync('../../../../etc/group', join(upper, 'etc/relative'));
  symlinkSync('loop', join(upper, 'etc/loop'));
  symlinkSync('etc', join(lower, 'linked'));
  const layers = [upper, lower];
  const read = (path: string) => readInLayers(layers, path);
  assert.equal(await read('/etc/passwd'), 'above');
  assert.equal(await read('/etc/group'), 'group');
  assert.equal(await read('/etc/absolute'), 'above');
  assert.equal(await read('/etc/relative'), 'group');
  assert.equal(await read('/linked/group'), 'group');
  for (const path of ['/etc/loop', '/etc/none', '/etc/passwd/x', '/etc', '/no/such']) assert.equal(await read(path), null, path);
});

test('layers of containerd\'s mounts', () => {
  assert.deepEqual(layersOf([{ type: 'overlay', source: 'overlay', target: '', options: ['workdir=/w', 'upperdir=/u', 'lowerdir=/b:/a'] }]), ['/u', '/b', '/a']);
  assert.deepEqual(layersOf([{ type: 'bind', source: '/one', target: '', options: [] }]), ['/one']);
});

test('a layer has a word on a file by the file itself, and by anything but a directory on the way to it', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'pouch-test-layers-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const layer = (name: string): string => {
    const path = join(dir, name);
    mkdirSync(path);
    return path;
  };
  const [none, other, own, linked, hidden] = ['none', 'other', 'own', 'linked', 'hidden'].map(layer) as [string, string, string, string, string];
  for (const path of [other, own]) mkdirSync(join(path, 'etc'));
  writeFileSync(join(other, 'etc/hostname'), '');
  writeFileSync(join(own, 'etc/group'), '');
  symlinkSync('usr/etc', join(linked, 'etc'));
  writeFileSync(join(hidden, 'etc'), ''); // stands for a whiteout, which only root can make
  const files = ['etc/passwd', 'etc/group'];
  assert.deepEqual(await Promise.all([none, other, own, linked, hidden].map((path) => hasAny(path, files))), [false, false, true, true, true]);
  assert.deepEqual([await hasLinks([none, own, hidden], ['etc', ...files]), await hasLinks([own, linked], ['etc', ...files])], [false, true]);
});
