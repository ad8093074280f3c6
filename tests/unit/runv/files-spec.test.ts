// What of a container's config.json its machine gets when only its files are looked at.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { filesSpec } from '../../../packages/runv/src/files-spec.ts';
import type { RuntimeSpec } from '../../../packages/runv/src/spec.ts';

const whole: RuntimeSpec = {
  ociVersion: '1.0.2', root: { path: 'rootfs', readonly: true }, hostname: 'web', process: { args: ['httpd'], user: { uid: 33 }, terminal: true },
  annotations: { 'io.pouch.kernel': 'old' },
  hooks: { createRuntime: [{ path: '/bin/false' }] },
  mounts: [
    { destination: '/proc', type: 'proc', source: 'proc' }, { destination: '/dev', type: 'tmpfs' }, { destination: '/dev/shm', type: 'bind', source: '/shm', options: ['rbind'] },
    { destination: '/data', type: 'bind', source: '/srv/data', options: ['rbind', 'ro'] }, { destination: '/cache', type: 'tmpfs' },
    { destination: '/run/secrets', type: 'tmpfs' }, { destination: '/run/secrets/key', type: 'bind', source: '/run/open/key', options: ['bind', 'ro'] },
    { destination: '/etc/hosts', type: 'bind', source: '/made/hosts', options: ['rbind'] }, { destination: '/etc/resolv.conf', type: 'bind', source: '/not/made', options: ['rbind'] },
  ],
  linux: {
    cgroupsPath: '/pouch/web', sysctl: { 'kernel.x': '1' }, maskedPaths: ['/proc/kcore'], devices: [{ type: 'c', path: '/dev/fuse', major: 10, minor: 229 }],
    namespaces: [{ type: 'network', path: '/proc/7/ns/net' }], resources: { memory: { limit: 1 << 28 }, cpu: { quota: 50_000 }, pids: { limit: 5 } },
  },
};

test('its root, its binds and its size stay; what lives only while the container does is not there', () => {
  const spec = filesSpec(whole, (path) => path !== '/not/made');
  assert.deepEqual([spec.root, spec.annotations, spec.hooks, spec.hostname], [whole.root, whole.annotations, undefined, undefined]);
  assert.deepEqual(spec.mounts?.map(({ destination, type }) => `${destination} ${type}`), ['/dev tmpfs', '/data bind', '/etc/hosts bind']);
  assert.deepEqual(spec.linux, {
    namespaces: ['network', 'pid', 'ipc', 'mount'].map((type) => ({ type })), cgroupsPath: '/pouch/web', resources: { memory: { limit: 1 << 28 }, cpu: { quota: 50_000 } },
  });
});

test('a bind whose source is missing is told at the boot, unless an engine generates it at a start', () => {
  assert.deepEqual(filesSpec(whole, () => false).mounts?.map(({ destination }) => destination), ['/dev', '/data']);
});
