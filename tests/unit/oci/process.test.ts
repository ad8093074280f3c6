// The process of a container and of an exec: user, environment, directory, terminal, name.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { buildProcess, resolveUser, type ProcessInput } from '@pouch/oci';
import { ampleHost, refusalOf, specOf } from './given.ts';

const exec: ProcessInput = { args: ['sh'], env: [], cwd: '/w', user: { uid: 5, gid: 6, additionalGids: [7], home: '/h' }, hostname: 'h', tty: true, consoleSize: { height: 24, width: 80 } };

function processOf(different: Partial<ProcessInput>) {
  const outcome = buildProcess({ ...exec, ...different }, ampleHost);
  assert.ok(outcome.ok, outcome.ok ? '' : outcome.refusal.message);
  return outcome.process;
}

test('environment: Docker\'s defaults beneath what was asked', () => {
  const env = (asked: string[], tty = false) => specOf({ env: asked, tty }).spec.process.env;
  assert.deepEqual(env([]), ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOSTNAME=h', 'HOME=/root']);
  assert.ok(env([], true).includes('TERM=xterm'));
  assert.ok(env(['TERM=vt100'], true).includes('TERM=vt100') && !env(['TERM=vt100'], true).includes('TERM=xterm'));
  assert.deepEqual(env(['PATH=/x', 'A=1', 'A=2=3', 'HOSTNAME', 'E=']), ['PATH=/x', 'HOME=/root', 'A=2=3', 'E=']);
});

test('an exec: its own user, directory and terminal, the container\'s limits on its privileges', () => {
  const process = processOf({ noNewPrivileges: true, capDrop: ['ALL'], resources: { ulimits: [{ name: 'nofile', soft: 9, hard: 9 }], oomScoreAdj: 3 } });
  assert.deepEqual([process.terminal, process.consoleSize, process.cwd, process.noNewPrivileges, process.oomScoreAdj], [true, { height: 24, width: 80 }, '/w', true, 3]);
  assert.deepEqual(process.rlimits, [{ type: 'RLIMIT_NOFILE', soft: 9n, hard: 9n }]);
  assert.deepEqual(process.capabilities.bounding, []);
  assert.deepEqual(processOf({ privileged: true }).capabilities.bounding, [...ampleHost.capabilities]);
});

test('the primary group is among the supplementary ones, once', () => {
  assert.deepEqual(processOf({}).user, { uid: 5, gid: 6, additionalGids: [6, 7] });
  assert.deepEqual(processOf({ user: { uid: 5, gid: 6, additionalGids: [7, 6], home: '/' } }).user.additionalGids, [6, 7]);
});

test('a window size only with a terminal, and only a real one', () => {
  assert.equal(processOf({ tty: false }).consoleSize, undefined);
  assert.equal(processOf({ consoleSize: { height: 0, width: 0 } }).consoleSize, undefined);
});

test('what no kernel takes is refused before the start', () => {
  assert.match(refusalOf({ args: ['a\0b'] }).message, /zero byte/);
  assert.match(refusalOf({ env: ['A=\0'] }).message, /zero byte/);
  assert.equal(refusalOf({ env: ['=x'] }).field, 'Env');
  assert.equal(refusalOf({ hostname: 'x'.repeat(65) }).field, 'Hostname');
  assert.equal(refusalOf({ domainname: 'ä'.repeat(33) }).field, 'Domainname');
  assert.equal(refusalOf({ cwd: 'x' }).field, 'WorkingDir');
});

test('the name of the host is not changed where it is shared', () => {
  assert.equal(specOf({}).spec.hostname, 'h');
  assert.equal(specOf({ namespaces: { uts: { kind: 'host' } } }).spec.hostname, undefined);
  assert.equal(specOf({ namespaces: { uts: { kind: 'container', path: '/p' } } }).spec.hostname, undefined);
});

test('a cgroup namespace of its own with version 2, the host\'s with version 1', () => {
  const has = (cgroupVersion: 1 | 2) => specOf({}, { cgroupVersion }).spec.linux.namespaces.some(({ type }) => type === 'cgroup');
  assert.deepEqual([has(1), has(2)], [false, true]);
});

test('looking up a user answers or refuses, whatever the image\'s files hold', async () => {
  const line = fc.array(fc.constantFrom('root', 'web', '0', '33', '-1', '4294967295', '99999999999', '', 'x', '/home'), { maxLength: 8 }).map((parts) => parts.join(':'));
  const file = fc.oneof(fc.constant(null), fc.string(), fc.array(line, { maxLength: 6 }).map((lines) => lines.join('\n')));
  const spec = fc.oneof(fc.string(), fc.constantFrom('', 'web', 'web:web', '33:', ':', ':33', '4294967295', '0:99999999999'));
  await fc.assert(fc.asyncProperty(file, file, spec, fc.array(spec, { maxLength: 2 }), async (passwd, group, asked, add) => {
    const outcome = await resolveUser((path) => Promise.resolve(path === '/etc/passwd' ? passwd : group), asked, add);
    if (!outcome.ok) return assert.match(outcome.refusal.message, /^(?:unable to find (?:user|group)|uid \d+ is too large)/);
    for (const id of [outcome.user.uid, outcome.user.gid, ...outcome.user.additionalGids]) assert.ok(Number.isInteger(id) && id >= 0 && id < 2 ** 31, String(id));
    return undefined;
  }));
});

test('a group of its own leaves no other group; nothing after the colon is as no colon', async () => {
  const files: Record<string, string> = { '/etc/passwd': 'web:x:33:33::/var/www:', '/etc/group': 'extra:x:44:web\n' };
  const resolve = async (asked: string) => await resolveUser((path) => Promise.resolve(files[path] ?? null), asked);
  assert.deepEqual(await resolve('33'), { ok: true, user: { uid: 33, gid: 33, additionalGids: [44], home: '/var/www' } });
  assert.deepEqual(await resolve('33:'), await resolve('33'));
  assert.deepEqual(await resolve('web:0'), { ok: true, user: { uid: 33, gid: 0, additionalGids: [], home: '/var/www' } });
});
