// X-Docker-Container-Path-Stat: modes as Go's os.FileMode has them, times as Go writes them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodePathStat, goFileMode } from '../../../services/api/src/containers/path-stat.ts';

test('types and flags have the bits of os.FileMode', () => {
  assert.equal(goFileMode(0o100644), 0o644);
  assert.equal(goFileMode(0o040755), 2 ** 31 + 0o755);
  assert.equal(goFileMode(0o120777), 2 ** 27 + 0o777);
  assert.equal(goFileMode(0o104755), 2 ** 23 + 0o755);
  assert.equal(goFileMode(0o041777), 2 ** 31 + 2 ** 20 + 0o777);
  assert.equal(goFileMode(0o020666), 2 ** 26 + 2 ** 21 + 0o666);
});

test('the header is JSON in base64', () => {
  const text = Buffer.from(encodePathStat({ name: 'hosts', sizeBytes: 7, mode: 0o100644, mtimeSeconds: 1_700_000_000, mtimeNanoseconds: 120_000_000, linkTarget: '' }), 'base64').toString();
  assert.deepEqual(JSON.parse(text), { name: 'hosts', size: 7, mode: 0o644, mtime: '2023-11-14T22:13:20.12Z', linkTarget: '' });
});

test('a time that no date can be is told as 1970 instead of failing', () => {
  const text = Buffer.from(encodePathStat({ name: 'x', sizeBytes: 0, mode: 0o100644, mtimeSeconds: 2 ** 50, mtimeNanoseconds: 0, linkTarget: '' }), 'base64').toString();
  assert.match(text, /"mtime":"1970-01-01T00:00:00Z"/);
});
