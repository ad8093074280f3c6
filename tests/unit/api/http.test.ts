// The small readers of HTTP: versions, queries, filters, bodies, times of logs, configuration.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DockerStopQuery, parseReference, canonicalReference, familiarReference } from '@pouch/contracts';
import { readConfig } from '../../../services/api/src/config.ts';
import { elapsedText, statusText } from '../../../services/api/src/containers/status.ts';
import { logTime, tailLines } from '../../../services/api/src/containers/log-query.ts';
import { failed, refused, toHttpError } from '../../../services/api/src/errors.ts';
import { labelsMatch, parseFilters } from '../../../services/api/src/http/filters.ts';
import { parseBody } from '../../../services/api/src/http/body.ts';
import { queryReader } from '../../../services/api/src/http/query.ts';
import { minorVersion, versionProblem, withoutVersion } from '../../../services/api/src/http/version.ts';

test('versions are taken off paths where they are served', () => {
  assert.deepEqual(['/v1.24/x', '/v1.43/x?y', '/v1.44/x', '/v1.23/x', '/v1.41', '/version', '/v1.4x/y', '/x'].map(withoutVersion), ['/x', '/x?y', '/v1.44/x', '/v1.23/x', '/', '/version', '/v1.4x/y', '/x']);
  assert.equal(minorVersion('/v1.41/x'), 41);
  assert.equal(minorVersion('/x'), 43);
  assert.equal(versionProblem('/v1.43/x'), null);
  assert.match(versionProblem('/v2.0/x') ?? '', /too new/);
});

test('queries: numbers within bounds, booleans as Docker reads them, the first of several', () => {
  const read = queryReader(DockerStopQuery);
  assert.deepEqual(read({ t: ['5', '6'], other: 'x', signal: 'HUP' }), { t: 5, signal: 'HUP' });
  for (const t of ['-2', '1.5', '1e9', '', ' 1', '0x10', 'NaN', 'Infinity']) assert.throws(() => read({ t }), /^HttpError: t: /, t);
});

test('filters in both spellings', () => {
  assert.deepEqual([...parseFilters('{"a":["1","2"]}', ['a'])], [['a', ['1', '2']]]);
  assert.deepEqual([...parseFilters('{"a":{"1":true,"2":false}}', ['a'])], [['a', ['1']]]);
  assert.equal(parseFilters('', ['a']).size, 0);
  assert.ok(labelsMatch({ a: 'b=c' }, ['a', 'a=b=c']));
  assert.ok(!labelsMatch({ a: 'b' }, ['toString']));
});

test('bodies: nulls are gone, nothing of the text is in the complaint', () => {
  assert.deepEqual(parseBody(Buffer.from('{"a":null,"b":{"c":null,"d":[null,1]}}')), { b: { d: [null, 1] } });
  assert.equal(parseBody(Buffer.from('  ')), null);
  assert.throws(() => parseBody(Buffer.from('{"password":"hunter2"')), (error: unknown) => error instanceof Error && !error.message.includes('hunter2'));
});

test('references as people write them', () => {
  const canonical = (text: string): string | null => { const parsed = parseReference(text); return parsed === null ? null : canonicalReference(parsed); };
  const digest = `sha256:${'a'.repeat(64)}`;
  assert.deepEqual(['busybox', 'a/b:c', 'localhost/x', 'reg:5000/x:y', 'docker.io/busybox', `x@${digest}`, `x:y@${digest}`].map(canonical), [
    'docker.io/library/busybox:latest', 'docker.io/a/b:c', 'localhost/x:latest', 'reg:5000/x:y', 'docker.io/library/busybox:latest', `docker.io/library/x@${digest}`, `docker.io/library/x:y@${digest}`]);
  for (const text of ['', 'A', 'a/', '/a', 'a//b', 'a:', 'a b', '../x', 'x@sha256:1', 'f'.repeat(64)]) assert.equal(canonical(text), null, text);
  assert.equal(familiarReference('docker.io/library/busybox:latest'), 'busybox:latest');
});

test('the status text in Docker’s words', () => {
  const row = { status: 'exited', startedAtMs: 0, finishedAtMs: 10_000, exitCode: 3, health: null, createdAtMs: 0 } as const;
  assert.equal(statusText(row, 12_000), 'Exited (3) 2 seconds ago');
  assert.equal(statusText({ ...row, status: 'paused' }, 190_000), 'Up 3 minutes (Paused)');
  assert.equal(statusText({ ...row, status: 'restarting' }, 9_000), 'Restarting (3) Less than a second ago');
  const up = { ...row, status: 'running' } as const;
  assert.deepEqual((['starting', 'healthy', 'unhealthy', null] as const).map((health) => statusText({ ...up, health }, 3_000)), ['Up 3 seconds (health: starting)', 'Up 3 seconds (healthy)', 'Up 3 seconds (unhealthy)', 'Up 3 seconds']);
  assert.equal(statusText({ ...up, status: 'paused', health: 'healthy' }, 3_000), 'Up 3 seconds (Paused)');
  const seconds = [0, 1, 59, 60, 119, 120, 3_599, 3_600, 5_400, 47 * 3_600, 48 * 3_600, 14 * 86_400, 59 * 86_400, 60 * 86_400, 364 * 86_400, 730 * 86_400];
  assert.deepEqual(seconds.map((s) => elapsedText(s * 1_000)), ['Less than a second', '1 second', '59 seconds', 'About a minute', 'About a minute', '2 minutes', '59 minutes', 'About an hour', '2 hours', '47 hours', '2 days', '2 weeks', '8 weeks', '2 months', '12 months', '2 years']);
});

test('times and tails of logs', () => {
  assert.deepEqual(['', '0', '1.5', '1700000000.123456789', '2023-11-14T22:13:20.5Z'].map((text) => logTime('since', text, 0)), [null, null, '1500000000', '1700000000123456789', '1700000000500000000']);
  assert.deepEqual(['all', '', '0', '12'].map(tailLines), [null, null, 0, 12]);
  assert.throws(() => tailLines('-3'), /tail/);
});

test('errors: refusals, hosts and the unforeseen', () => {
  assert.equal(refused({ code: 'already-running', message: '' }).status, 304);
  assert.equal(failed('bad-parameter', 'x').status, 400);
  assert.deepEqual([failed('unavailable', 'x').status, failed('unavailable', 'x').headers['retry-after']], [503, '2']);
  assert.equal(failed('of-the-future', 'x').status, 500);
  const unforeseen = toHttpError(new TypeError('secret of the inside'));
  assert.deepEqual([unforeseen.status, unforeseen.message], [500, 'internal error']);
});

test('configuration: TCP off this machine needs client certificates', () => {
  assert.deepEqual(readConfig({ POUCH_TCP: '127.0.0.1:2375' }).tcp, { host: '127.0.0.1', port: 2375, tls: null });
  assert.deepEqual(readConfig({ POUCH_TCP: '[::1]:0' }).tcp, { host: '::1', port: 0, tls: null });
  assert.throws(() => readConfig({ POUCH_TCP: '0.0.0.0:2375' }), /needs TLS with client verification/);
  assert.throws(() => readConfig({ POUCH_TCP: '127.0.0.1.example.org:2375' }), /needs TLS/);
  assert.throws(() => readConfig({ POUCH_TCP: '0.0.0.0:2376', POUCH_TLS_CA: '/x' }), /missing: POUCH_TLS_CERT, POUCH_TLS_KEY/);
  assert.throws(() => readConfig({ POUCH_TCP: 'here' }), /address:port/);
  assert.throws(() => readConfig({ POUCH_SOCKET: 'relative.sock' }), /POUCH_SOCKET must be an absolute path/);
});
