// Image references are read as Docker reads them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { familiarName, ImageError, parseReference } from '@pouch/containerd';

const DIGEST = `sha256:${'ab'.repeat(32)}`;

test('short forms are completed as Docker completes them', () => {
  const table: [string, string][] = [
    ['busybox', 'docker.io/library/busybox:latest'],
    ['busybox:1.36', 'docker.io/library/busybox:1.36'],
    ['user/app', 'docker.io/user/app:latest'],
    ['docker.io/busybox', 'docker.io/library/busybox:latest'],
    ['index.docker.io/library/busybox', 'docker.io/library/busybox:latest'],
    ['localhost/app', 'localhost/app:latest'],
    ['localhost:5000/a/b/c:v1', 'localhost:5000/a/b/c:v1'],
    ['example.org/app', 'example.org/app:latest'],
    ['[::1]:5000/app', '[::1]:5000/app:latest'],
    [`busybox@${DIGEST}`, `docker.io/library/busybox@${DIGEST}`],
    [`busybox:1.36@${DIGEST}`, `docker.io/library/busybox@${DIGEST}`],
    ['a__b/c--d.e', 'docker.io/a__b/c--d.e:latest'],
  ];
  for (const [text, canonical] of table) assert.equal(parseReference(text).canonical, canonical, text);
});

test('a canonical name parses to itself', () => {
  for (const text of ['docker.io/library/busybox:latest', 'localhost:5000/a/b:v1', `example.org/app@${DIGEST}`]) assert.equal(parseReference(text).canonical, text);
});

test('what is no reference is refused with a reason', () => {
  const table: [string, RegExp][] = [
    ['', /empty/], ['Busybox', /lowercase/], ['busybox:', /tag/], ['busybox:-x', /tag/], [`busybox:${'a'.repeat(129)}`, /tag/],
    ['busybox@sha256:12', /digest/], ['../etc/passwd', /invalid reference format/], ['a//b', /invalid reference format/], ['-a', /invalid reference format/],
    ['a b', /invalid reference format/], ['ab'.repeat(32), /image id/], ['a/'.repeat(200) + 'b', /more than 255/], ['x'.repeat(2000), /too long/], ['ex ample.org/a', /invalid reference format/], ['busybox\n', /invalid reference format/],
  ];
  for (const [text, why] of table) {
    assert.throws(() => parseReference(text), (error) => error instanceof ImageError && error.code === 'invalid-reference' && why.test(error.message), JSON.stringify(text.slice(0, 40)));
  }
});

test('people see the short form', () => {
  assert.equal(familiarName('docker.io/library/busybox:latest'), 'busybox:latest');
  assert.equal(familiarName('docker.io/user/app:1'), 'user/app:1');
  assert.equal(familiarName('example.org/app:1'), 'example.org/app:1');
  assert.equal(familiarName(parseReference('busybox')), 'busybox:latest');
  assert.equal(parseReference(familiarName('docker.io/library/busybox:1')).canonical, 'docker.io/library/busybox:1');
});
