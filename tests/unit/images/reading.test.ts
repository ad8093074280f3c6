// What users write about images, read: patterns, credentials, the host's registries; and progress, written as Docker writes it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRegistries } from '../../../services/agent/src/images/registries.ts';
import { globOf } from '../../../services/api/src/images/glob.ts';
import { bar, progressLine, progressOf } from '../../../services/api/src/images/progress.ts';
import { readRegistryAuth } from '../../../services/api/src/images/registry-auth.ts';

const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64');

test('patterns: stars stay within a segment, sets and escapes', () => {
  const cases: [pattern: string, text: string, matches: boolean][] = [
    ['busybox', 'busybox', true], ['busy*', 'busybox', true], ['*', 'busybox', true], ['*', 'team/app', false], ['*/app', 'team/app', true], ['*:1', 'a:1', true], ['**b', 'aab', true], ['a*b*c', 'aXbYc', true],
    ['a*b*c', 'aXbYd', false], ['?', 'a', true], ['?', '/', false], ['[a-c]x', 'bx', true], ['[^a-c]x', 'bx', false], ['[^a-c]x', 'dx', true], ['[\\]]', ']', true], ['a\\*', 'a*', true], ['a\\*', 'ab', false],
    ['a.c', 'abc', false], ['', '', false], ['*a', 'b/a', false], ['t*/*', 'team/app', true],
  ];
  for (const [pattern, text, expected] of cases) if (pattern !== '') assert.equal(globOf('f', pattern)(text), expected, `${pattern} on ${text}`);
  for (const bad of ['', '[', '[]', '[z-a]', '[a-]', 'x\\', 'a'.repeat(600)]) assert.throws(() => globOf('f', bad), { status: 400, message: /^f: / }, bad);
});

test('a pattern of many stars comes to an end', () => {
  assert.equal(globOf('f', `${'a*'.repeat(200)}b`)('a'.repeat(50_000)), false);
});

test('credentials: both alphabets, user and password in one, nothing at all', () => {
  const none = { username: '', password: '', identityToken: '' };
  assert.deepEqual(readRegistryAuth(encoded({ username: 'a', password: 'b?>~' })), { ...none, username: 'a', password: 'b?>~' });
  assert.deepEqual(readRegistryAuth(Buffer.from(JSON.stringify({ identitytoken: '~~~???' })).toString('base64url')), { ...none, identityToken: '~~~???' });
  assert.deepEqual(readRegistryAuth(encoded({ auth: Buffer.from('u:p:q').toString('base64') })), { ...none, username: 'u', password: 'p:q' });
  for (const nothing of [undefined, '', encoded({}), encoded(null), encoded({ username: '', password: '', serveraddress: 'x' })]) assert.equal(readRegistryAuth(nothing), null);
  for (const bad of ['%', encoded([]), encoded(7), Buffer.from('{"a').toString('base64'), Buffer.from([0xff, 0xfe]).toString('base64'), encoded({ username: {} }), encoded({ registrytoken: 'x' }), 'A'.repeat(20_000)]) {
    assert.throws(() => readRegistryAuth(bad), { status: 400, message: /^X-Registry-Auth/ });
  }
});

test('registries of a host: what is wrong is named', () => {
  const whole = { mirrors: { 'docker.io': ['http://mirror.example:5000'] }, plainHttp: ['registry.example:5000'], credentials: { 'mirror.example:5000': { username: 'a', password: 'b' } } };
  assert.deepEqual(parseRegistries(whole), whole);
  assert.deepEqual(parseRegistries({}), { mirrors: {}, plainHttp: [], credentials: {} });
  const wrong: [value: Record<string, unknown>, names: RegExp][] = [
    [{ mirror: {} }, /: mirror: /], [{ mirrors: [] }, /: mirrors: /], [{ mirrors: { 'docker.io': 'http://x' } }, /mirrors\["docker.io"\]/], [{ mirrors: { 'docker.io': ['ftp://x'] } }, /mirrors\["docker.io"\]/],
    [{ mirrors: { 'docker.io': ['http://user:pw@x'] } }, /mirrors/], [{ plainHttp: 'x' }, /plainHttp/], [{ plainHttp: ['http://x'] }, /plainHttp/], [{ credentials: { x: { user: 'a' } } }, /no member user/], [{ credentials: { x: { username: 1 } } }, /username/],
  ];
  for (const [value, names] of wrong) assert.throws(() => parseRegistries(value), names, JSON.stringify(value));
});

test('progress in Docker\'s words', async () => {
  assert.equal(progressLine({ id: 'latest', status: 'Pulling from library/busybox', current: null, total: null }), '{"status":"Pulling from library/busybox","id":"latest"}\n');
  assert.equal(progressLine({ id: null, status: 'Digest: sha256:0', current: null, total: null }), '{"status":"Digest: sha256:0"}\n');
  assert.deepEqual(JSON.parse(progressLine({ id: 'a', status: 'Downloading', current: 1_000_000, total: 2_000_000 })), { status: 'Downloading', progressDetail: { current: 1_000_000, total: 2_000_000 }, progress: `[${'='.repeat(25)}>${' '.repeat(25)}]      1MB/2MB`, id: 'a' });
  assert.deepEqual(JSON.parse(progressLine({ id: 'a', status: 'Pull complete', current: 5, total: 5 })), { status: 'Pull complete', progressDetail: {}, id: 'a' });
  assert.match(bar(5_000, 2_000), /^\[={50}>\]/);
  async function* pieces(): AsyncGenerator<Buffer> {
    yield Buffer.from('{"id":null,"status":"ä');
    yield Buffer.from('"}\n\n{"id":"x","status":"b"}\n');
  }
  const read = [];
  for await (const line of progressOf(pieces())) read.push(line.status);
  assert.deepEqual(read, ['ä', 'b']);
});
