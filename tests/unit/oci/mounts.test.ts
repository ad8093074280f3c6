// Mounts, devices and kernel parameters: what is laid over what, and what is refused.
import assert from 'node:assert/strict';
import { posix } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import type { MountInput, SpecInput } from '@pouch/oci';
import { refusalOf, specOf } from './given.ts';

const mounts = (different: Partial<SpecInput>) => specOf(different).spec.mounts;
const at = (different: Partial<SpecInput>, target: string) => {
  const found = mounts(different).filter(({ destination }) => destination === target);
  assert.ok(found.length === 1, `${found.length} mounts at ${target}`);
  return found[0] as (typeof found)[number];
};
const bind = (source: string, target: string, more: object = {}): MountInput => ({ type: 'bind', source, target, readonly: false, ...more });

test('Docker\'s own mounts', () => {
  assert.deepEqual(mounts({}).map(({ destination }) => destination), ['/proc', '/dev', '/dev/pts', '/sys', '/sys/fs/cgroup', '/dev/mqueue', '/dev/shm']);
  assert.ok(at({}, '/sys').options.includes('ro') && at({}, '/sys/fs/cgroup').options.includes('ro'));
  assert.ok(at({ privileged: true }, '/sys').options.includes('rw') && at({ privileged: true }, '/sys/fs/cgroup').options.includes('rw'));
  assert.ok(at({}, '/dev/shm').options.includes(`size=${64 * 2 ** 20}`));
});

test('binds: recursive, private and writable unless said otherwise', () => {
  assert.deepEqual(at({ mounts: [bind('/a', '/b/')] }, '/b'), { destination: '/b', type: 'bind', source: '/a', options: ['rbind', 'rw', 'rprivate'] });
  assert.deepEqual(at({ mounts: [bind('/a', '/b', { recursive: false, readonly: true, propagation: 'slave' })] }, '/b').options, ['bind', 'ro', 'slave']);
});

test('the root passes on what a mount is to pass on', () => {
  const propagation = (value: string) => specOf({ mounts: [bind('/a', '/b', { propagation: value })] }).spec.linux.rootfsPropagation;
  assert.deepEqual(['rprivate', 'rslave', 'shared'].map(propagation), [undefined, 'rslave', 'rshared']);
});

test('the generated files lie over a directory of the person\'s, unless the person mounts that very file', () => {
  const generatedFiles = { resolvConfPath: '/run/r', hostsPath: '/run/h', hostnamePath: '/run/n' };
  const order = mounts({ generatedFiles, mounts: [bind('/my/etc', '/etc'), bind('/my/hosts', '/etc/hosts')] }).map(({ destination, source }) => `${destination}<${source}`);
  assert.ok(order.indexOf('/etc</my/etc') < order.indexOf('/etc/resolv.conf</run/r'));
  assert.ok(order.includes('/etc/hosts</my/hosts') && !order.some((one) => one.endsWith('</run/h')));
  assert.ok(at({ generatedFiles, readonlyRootfs: true }, '/etc/hosts').options.includes('ro'));
  assert.ok(at({ generatedFiles }, '/etc/hosts').options.includes('rw'));
});

test('a /dev of the person\'s stands for all of it', () => {
  assert.deepEqual(mounts({ mounts: [bind('/dev', '/dev')] }).filter(({ destination }) => destination.startsWith('/dev')).map(({ source }) => source), ['/dev']);
});

test('shared memory goes with the IPC namespace', () => {
  assert.equal(at({ namespaces: { ipc: { kind: 'host' } } }, '/dev/shm').source, '/dev/shm');
  assert.equal(at({ namespaces: { ipc: { kind: 'container', path: '/proc/1/ns/ipc', shmPath: '/run/shm1' } } }, '/dev/shm').source, '/run/shm1');
});

test('parents are mounted before children, whatever the order asked for', () => {
  const target = fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 4 }).map((parts) => `/${parts.join('/')}`);
  fc.assert(fc.property(fc.uniqueArray(target, { maxLength: 12 }), (targets) => {
    const order = mounts({ mounts: targets.map((path) => bind('/s', path)) }).map(({ destination }) => destination);
    for (const [index, path] of order.entries()) assert.ok(!order.slice(index + 1).some((later) => path.startsWith(`${later}/`)), order.join(' '));
  }));
});

test('a target that climbs ends within the root', () => {
  fc.assert(fc.property(fc.array(fc.constantFrom('..', '.', '', 'a', 'b'), { maxLength: 8 }), (parts) => {
    const path = `/${parts.join('/')}`;
    const expected = posix.resolve(path);
    fc.pre(expected !== '/');
    assert.equal(at({ mounts: [bind('/s', path)] }, expected).source, '/s');
  }));
});

test('tmpfs: options of the person win, wrong ones are refused by name', () => {
  const options = (...asked: string[]) => at({ mounts: [{ type: 'tmpfs', target: '/t', sizeBytes: 4096, mode: 0o700, options: asked }] }, '/t').options;
  assert.deepEqual(options(), ['nosuid', 'nodev', 'noexec', 'rprivate', 'size=4096', 'mode=700']);
  assert.deepEqual(options('defaults', 'exec', 'suid', 'size=50%', 'uid=5', 'ro', 'rw'), ['suid', 'nodev', 'exec', 'rprivate', 'size=50%', 'mode=700', 'uid=5', 'rw']);
  for (const option of ['bind', 'remount', 'size=big', 'size', 'mode=9', 'loop=/etc', 'upperdir=/x', 'uid=5,exec']) {
    const refusal = refusalOf({ mounts: [{ type: 'tmpfs', target: '/t', options: [option] }] });
    assert.equal(refusal.field, 'HostConfig.Tmpfs');
    assert.ok(refusal.message.includes(option));
  }
});

test('mounts that cannot be are refused', () => {
  assert.match(refusalOf({ mounts: [bind('a', '/b')] }).message, /source "a" must be an absolute/);
  assert.match(refusalOf({ mounts: [bind('/a', 'b')] }).message, /target "b" must be an absolute/);
  assert.match(refusalOf({ mounts: [bind('/a', '/x/..')] }).message, /must not be \//);
  assert.match(refusalOf({ mounts: [bind('/a\0', '/x')] }).message, /zero byte/);
});

test('devices: only what was asked for may be opened; privileged has them all, each once', () => {
  const device = (path: string) => ({ type: 'c' as const, path, major: 10, minor: 200, fileMode: 0o600, uid: 0, gid: 0 });
  const { devices, resources } = specOf({ devices: [{ device: device('/dev/net/tun'), permissions: 'rw' }], hostDevices: [device('/dev/kvm')] }).spec.linux;
  assert.deepEqual(devices, [device('/dev/net/tun')]);
  assert.deepEqual(resources.devices, [{ allow: false, access: 'rwm' }, { allow: true, type: 'c', major: 10, minor: 200, access: 'rw' }]);
  const privileged = specOf({ privileged: true, devices: [{ device: device('/dev/kvm'), permissions: 'r' }], hostDevices: [device('/dev/kvm'), device('/dev/fuse')] }).spec.linux;
  assert.deepEqual(privileged.devices?.map(({ path }) => path), ['/dev/kvm', '/dev/fuse']);
  assert.deepEqual(privileged.resources.devices, [{ allow: true, access: 'rwm' }]);
});

test('masked and read-only paths: Docker\'s, none when privileged, or those that were given', () => {
  assert.ok(specOf({}).spec.linux.maskedPaths?.includes('/proc/kcore') && specOf({}).spec.linux.readonlyPaths?.includes('/proc/sys'));
  const { maskedPaths, readonlyPaths } = specOf({ privileged: true }).spec.linux;
  assert.deepEqual([maskedPaths, readonlyPaths], [[], []]);
  assert.deepEqual(specOf({ maskedPaths: ['/x'], readonlyPaths: [] }).spec.linux.maskedPaths, ['/x']);
});

test('kernel parameters: those of a namespace of the container\'s own', () => {
  const sysctl = (different: Partial<SpecInput>) => specOf(different).spec.linux.sysctl ?? {};
  assert.deepEqual(sysctl({}), { 'net.ipv4.ip_unprivileged_port_start': '0', 'net.ipv4.ping_group_range': '0 2147483647' });
  assert.deepEqual(sysctl({ namespaces: { network: { kind: 'host' } } }), {});
  assert.deepEqual(sysctl({ namespaces: { network: { kind: 'container', path: '/p' } } }), {});
  assert.equal(sysctl({ sysctls: { 'net.ipv4.ip_unprivileged_port_start': '1024' } })['net.ipv4.ip_unprivileged_port_start'], '1024');
  assert.equal(sysctl({ sysctls: { 'kernel.shmmax': '1', 'fs.mqueue.msg_max': '5', 'kernel.domainname': 'd' } })['kernel.domainname'], 'd');
  for (const name of ['kernel.panic', 'vm.swappiness', 'kernel.hostname', 'fs.file-max', 'net.', 'net/ipv4/ip_forward', 'net..x', 'net.ipv4/../../kernel/panic', 'fs.mqueue.\n']) {
    const refusal = refusalOf({ sysctls: { [name]: '1' } });
    assert.equal(refusal.field, 'HostConfig.Sysctls');
    assert.ok(refusal.message.includes(JSON.stringify(name)), name);
  }
  assert.match(refusalOf({ sysctls: { 'kernel.sem': '1' }, namespaces: { ipc: { kind: 'host' } } }).message, /IPC namespace/);
  assert.match(refusalOf({ sysctls: { 'net.a': '1\n2' } }).message, /line end/);
});
