// What paths of `docker cp` mean on the host: which one is asked for, what members are called, where they go; and the options of an overlay.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FilesError } from '@pouch/native';
import { TarError } from '@pouch/oci';
import { OperatingError } from '@pouch/process';
import { copyFailure } from '../../../services/agent/src/files/failures.ts';
import { askedPath, baseName, linkedPlace, memberName, placeOf } from '../../../services/agent/src/files/names.ts';
import { overlayOptions } from '../../../services/agent/src/files/overlay-options.ts';

test('a path is absolute and cleaned, and keeps the slash or dot at its end', () => {
  const table: [string, string][] = [
    ['etc/hosts', '/etc/hosts'], ['/etc//hosts', '/etc/hosts'], ['../../etc', '/etc'], ['/a/../..', '/'], ['/etc/', '/etc/'], ['/etc/.', '/etc/.'], ['.', '/.'], ['/', '/'], ['/.', '/.'], ['etc/./x', '/etc/x'],
  ];
  for (const [asked, expected] of table) assert.equal(askedPath(asked), expected, asked);
  assert.throws(() => askedPath('x'.repeat(5_000)), /path: it has more than 4095 bytes/);
});

test('members are called as Docker calls them', () => {
  const named = (path: string, below: string, directory: boolean): string => memberName(baseName(path), below, directory);
  assert.equal(named('/etc/hosts', '', false), 'hosts');
  assert.equal(named('/etc', '', true), 'etc/');
  assert.equal(named('/etc/', 'ssl/x', false), 'etc/ssl/x');
  assert.equal(named('/etc/.', '', true), './');
  assert.equal(named('/etc/.', 'ssl', true), './ssl/');
  assert.equal(named('/', '', true), '/');
  assert.equal(named('/', 'bin', true), '/bin/');
});

test('whatever a member is called, it goes below the directory or is refused', () => {
  assert.equal(placeOf('/etc/passwd'), 'etc/passwd');
  assert.equal(placeOf('/../../x'), 'x');
  assert.equal(placeOf('./a//b/../c/'), 'a/c');
  assert.equal(placeOf('./'), '');
  for (const name of ['../x', 'a/../../x', '..', './..']) assert.throws(() => placeOf(name), /outside of the directory/, name);
  assert.throws(() => placeOf('x'.repeat(5_000)), /more than 4095 bytes/);
  fc.assert(fc.property(fc.array(fc.constantFrom('..', '.', '', 'a', '/', '...'), { maxLength: 12 }).map((parts) => parts.join('/')), (name) => {
    let place: string;
    try {
      place = placeOf(name);
    } catch (error) {
      assert.ok(error instanceof OperatingError && error.code === 'bad-parameter');
      return;
    }
    assert.ok(!place.startsWith('/') && !place.split('/').includes('..'), `${name} → ${place}`);
  }));
});

test('a hard link may only be to what is in the directory', () => {
  assert.equal(linkedPlace('/etc/passwd'), 'etc/passwd');
  assert.throws(() => linkedPlace('../../etc/passwd'), /hard link to .* outside/);
  assert.throws(() => linkedPlace('.'), /hard link/);
});

test('what goes wrong is told in words of Docker, with a code that the api knows', () => {
  const told = (error: unknown): [string, string] => {
    const { code, message } = copyFailure(error, { path: '/nope', container: 'web' }) as OperatingError;
    return [code, message];
  };
  assert.deepEqual(told(new FilesError('ENOENT', '/nope')), ['not-found', 'Could not find the file /nope in container web']);
  assert.deepEqual(told(new FilesError('EROFS', 'container rootfs is marked read-only')), ['denied', 'container rootfs is marked read-only']);
  assert.deepEqual(told(new FilesError('ENOTDIR', 'extraction point is not a directory')), ['bad-parameter', 'extraction point is not a directory']);
  assert.deepEqual(told(new FilesError('ENOTDIR', '/etc/hosts/')), ['bad-parameter', '/etc/hosts/: not a directory']);
  assert.deepEqual(told(new FilesError('EBUSY', 'etc/hosts could not be replaced')), ['conflict', 'etc/hosts could not be replaced: device or resource busy']);
  assert.deepEqual(told(new TarError('it is empty')), ['bad-parameter', 'the body: invalid tar: it is empty']);
  assert.deepEqual(told(new FilesError('ENOSPC', 'big could not be written')), ['internal', 'big could not be written: no space left on device']);
});

test('options of many layers are shortened by what their directories have in common', () => {
  const { data, directory } = overlayOptions(['index=off', 'rw', 'workdir=/s/9/work', 'upperdir=/s/9/fs', 'lowerdir=/s/12/fs:/s/11/fs:/s/1/fs']);
  assert.deepEqual({ data, directory }, { data: 'index=off,workdir=/s/9/work,upperdir=/s/9/fs,lowerdir=12/fs:11/fs:1/fs', directory: '/s/' });
  assert.deepEqual(overlayOptions(['lowerdir=/a:/b', 'upperdir=/u', 'workdir=/w']), { data: 'lowerdir=/a:/b,upperdir=/u,workdir=/w', directory: '/' });
  assert.deepEqual(overlayOptions(['lowerdir=/s/1/fs']), { data: 'lowerdir=/s/1/fs', directory: '/' }, 'of one there is nothing in common');
});
