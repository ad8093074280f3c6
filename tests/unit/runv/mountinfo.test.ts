// Where an overlay's layers are, as /proc/self/mountinfo tells it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mountAt, overlayOf, parseMountinfo } from '../../../packages/runv/src/rootfs/mountinfo.ts';

const line = (mountPoint: string, type: string, options: string, root = '/'): string => `36 35 98:0 ${root} ${mountPoint} rw,noatime master:1 - ${type} source ${options}\n`;
const overlayAt = (path: string, text: string) => {
  const mount = mountAt(parseMountinfo(text), path);
  return mount === undefined ? undefined : overlayOf(mount);
};

test('lower directories come uppermost first, with the upper one', () => {
  const text = line('/b/rootfs', 'overlay', 'rw,lowerdir=/s/3/fs:/s/2/fs:/s/1/fs,upperdir=/s/4/fs,workdir=/s/4/work');
  assert.deepEqual(overlayAt('/b/rootfs', text), { lower: ['/s/3/fs', '/s/2/fs', '/s/1/fs'], upper: '/s/4/fs' });
});

test('a read-only overlay has no upper directory', () => {
  assert.deepEqual(overlayAt('/r', line('/r', 'overlay', 'ro,lowerdir=/a:/b')), { lower: ['/a', '/b'], upper: null });
});

test('colons, commas, blanks and backslashes in names', () => {
  const text = line(String.raw`/b\040c`, 'overlay', String.raw`rw,lowerdir=/a\134:b:/c\054d:/e\040f:/g\134\134h,upperdir=/u\134:p`);
  assert.deepEqual(overlayAt('/b c', text), { lower: ['/a:b', '/c,d', '/e f', '/g\\h'], upper: '/u:p' });
});

test('one option per lower directory, as newer mounts show it', () => {
  assert.deepEqual(overlayAt('/r', line('/r', 'overlay', 'rw,lowerdir+=/a,lowerdir+=/b,upperdir=/u'))?.lower, ['/a', '/b']);
});

test('the uppermost of several mounts counts, and optional fields may be missing', () => {
  const text = `${line('/r', 'overlay', 'rw,lowerdir=/old')}36 35 98:0 / /r rw - overlay overlay rw,lowerdir=/new\n`;
  assert.deepEqual(overlayAt('/r', text)?.lower, ['/new']);
});

test('other mounts, and binds from within an overlay, are no overlay', () => {
  assert.equal(overlayAt('/r', line('/r', 'ext4', 'rw')), undefined);
  assert.equal(overlayAt('/r', line('/r', 'overlay', 'rw,lowerdir=/a', '/sub')), undefined);
  assert.equal(overlayAt('/r', line('/r/below', 'overlay', 'rw,lowerdir=/a')), undefined);
});

test('nonsense is passed over', () => {
  assert.deepEqual(parseMountinfo('\n1 2 3\nfoo - bar\n'), []);
});
