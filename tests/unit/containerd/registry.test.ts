// Where a registry's images are asked for, and how a registry's demand for credentials is read.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseReference } from '@pouch/containerd';
import { parseChallenges } from '../../../packages/containerd/src/registry/challenge.ts';
import { endpointsFor } from '../../../packages/containerd/src/registry/endpoints.ts';

const urls = (reference: string, config: Parameters<typeof endpointsFor>[1]): string[] => endpointsFor(parseReference(reference), config, undefined).map(({ url }) => url);

test('mirrors come first, then the registry; loopback hosts are tried by https and http', () => {
  assert.deepEqual(urls('busybox', { mirrors: { 'docker.io': ['http://mirror.example:5000/', 'https://other.example/v2/'] } }), ['http://mirror.example:5000', 'https://other.example', 'https://registry-1.docker.io']);
  assert.deepEqual(urls('example.org/a', { mirrors: { 'docker.io': ['http://mirror.example:5000'] } }), ['https://example.org']);
  assert.deepEqual(urls('example.org:80/a', { plainHttp: ['example.org:80'] }), ['http://example.org:80']);
  assert.deepEqual(urls('127.0.0.1:5000/a', {}), ['https://127.0.0.1:5000', 'http://127.0.0.1:5000']);
});

test('the credentials of a request never go to a mirror', () => {
  const auth = { username: 'me', password: 'secret' };
  const [mirror, own] = endpointsFor(parseReference('busybox'), { mirrors: { 'docker.io': ['http://mirror.example'] }, credentials: { 'mirror.example': { username: 'other' } } }, auth);
  assert.deepEqual([mirror?.credentials, own?.credentials], [{ username: 'other' }, auth]);
});

test('WWW-Authenticate headers are read', () => {
  assert.deepEqual(parseChallenges('Bearer realm="https://auth.example/token",service="a, b",scope="repository:x:pull,push"'),
    [{ scheme: 'bearer', parameters: { realm: 'https://auth.example/token', service: 'a, b', scope: 'repository:x:pull,push' } }]);
  assert.deepEqual(parseChallenges('Basic realm="x", Bearer realm=y'), [{ scheme: 'basic', parameters: { realm: 'x' } }, { scheme: 'bearer', parameters: { realm: 'y' } }]);
  assert.deepEqual(parseChallenges('Basic realm="say \\"hi\\""'), [{ scheme: 'basic', parameters: { realm: 'say "hi"' } }]);
  assert.deepEqual(parseChallenges(''), []);
  assert.deepEqual(parseChallenges('=,=;;'), []);
});
