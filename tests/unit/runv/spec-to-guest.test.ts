// What config.json says, as records for the guest; and what a virtual machine cannot have, refused by name.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guestHooks } from '../../../packages/runv/src/hooks.ts';
import { chooseProfile, guestCpus, guestMemory } from '../../../packages/runv/src/machine-plan.ts';
import type { Kernel } from '../../../packages/runv/src/machine/types.ts';
import { configure, spawnTag } from '../../../packages/runv/src/protocol/ops.ts';
import { decodeRecords } from '../../../packages/runv/src/protocol/records.ts';
import type { LinuxSpec } from '../../../packages/runv/src/spec.ts';
import { capabilityMask, configureRecords, filesPayload, guestDevices, ownMount, refuseImpossible, spawnPayload } from '../../../packages/runv/src/spec-to-guest.ts';

const namespaces = ['pid', 'network', 'ipc', 'uts', 'mount'].map((type) => ({ type }));
const identity = { nowMs: 1_000, seed: Buffer.alloc(32), machineId: Buffer.alloc(16) };

test('the process: arguments, environment, user, limits', () => {
  const records = decodeRecords(spawnPayload({
    terminal: true, consoleSize: { height: 24, width: 80 }, args: ['sh', '-c', 'é'], env: ['A=b'], cwd: '/tmp', user: { uid: 5, gid: 6, additionalGids: [7] },
    capabilities: { bounding: ['CAP_CHOWN', 'CAP_CHECKPOINT_RESTORE'] }, rlimits: [{ type: 'RLIMIT_NOFILE', soft: 1024, hard: 18446744073709551615 }], noNewPrivileges: true, oomScoreAdj: -5,
  }));
  const of = (tag: number): string[] => records.filter((one) => one.tag === tag).map(({ bytes }) => bytes.toString('hex'));
  assert.deepEqual(of(spawnTag.arg).map((hex) => Buffer.from(hex, 'hex').toString()), ['sh', '-c', 'é']);
  assert.deepEqual(of(spawnTag.ids), ['0500000006000000ffffffff07000000']);
  assert.deepEqual(of(spawnTag.tty), ['18005000']);
  assert.equal(of(spawnTag.caps)[0]?.slice(0, 16), '0100000000010000');
  assert.deepEqual(of(spawnTag.rlimit), ['0700000000000000' + '0004000000000000' + 'ffffffffffffffff']);
  assert.deepEqual(of(spawnTag.oomScoreAdj), ['fbffffff']);
  assert.equal(of(spawnTag.noNewPrivs).length, 1);
});

test('a process that is no program: the guest reads or writes files itself, as root, with an input', () => {
  for (const [writing, bytes] of [[false, '00'], [true, '01']] as const) {
    const records = decodeRecords(filesPayload(writing)).map(({ tag, bytes: value }) => [tag, value.toString('hex')]);
    assert.deepEqual(records, [[spawnTag.cwd, '2f'], [spawnTag.ids, '0000000000000000ffffffff'], [spawnTag.stdin, ''], [spawnTag.files, bytes]]);
  }
});

test('hooks of the start: a record each, then what they are told; all of them end before a start has to be answered', () => {
  assert.equal(guestHooks({}, {}).length, 0);
  const hook = { path: '/bin/a', args: ['a', 'b'], env: ['X=1'] };
  const records = decodeRecords(guestHooks({ startContainer: [{ ...hook, timeout: 2 }, { path: '/bin/c' }] }, { id: 'one' }));
  assert.deepEqual(records.map(({ tag }) => tag), [spawnTag.hook, spawnTag.hook, spawnTag.hookState]);
  assert.equal(records[0]?.bytes.toString('latin1'), '\xd0\x07\0\0' + '\x06\0\0\0/bin/a' + '\x02\0\0\0' + '\x01\0\0\0a' + '\x01\0\0\0b' + '\x01\0\0\0' + '\x03\0\0\0X=1');
  assert.equal(records[1]?.bytes.readUInt32LE(0), 25_000, 'half of what there is');
  assert.equal(records[2]?.bytes.toString(), '{"id":"one"}');
  const refused = (one: object, words: RegExp): void => assert.throws(() => guestHooks({ startContainer: [one as typeof hook] }, {}), words);
  refused({ path: 'a' }, /path "a" is not an absolute path/);
  refused({ path: '/a', env: ['X=\0'] }, /holds a NUL/);
  refused({ path: '/a', timeout: 0 }, /timeout 0 is not greater than zero/);
  assert.throws(() => guestHooks({ startContainer: new Array(17).fill(hook) as (typeof hook)[] }, {}), /17 are more than 16/);
});

test('unknown capabilities and limits are refused, not dropped', () => {
  assert.throws(() => capabilityMask(['CAP_NONE']), /unknown capability "CAP_NONE"/);
  assert.throws(() => spawnPayload({ args: ['x'], rlimits: [{ type: 'RLIMIT_X', soft: 1, hard: 1 }] }), /unknown limit "RLIMIT_X"/);
});

test('what is another kernel\'s is refused by name', () => {
  const refused = (linux: LinuxSpec, words: RegExp): void => assert.throws(() => refuseImpossible({ linux }), words);
  refuseImpossible({ linux: { namespaces } });
  refused({ namespaces: namespaces.filter(({ type }) => type !== 'network') }, /the host's network/);
  refused({ namespaces: namespaces.filter(({ type }) => type !== 'pid') }, /the host's pid namespace/);
  refused({ namespaces: [...namespaces, { type: 'ipc', path: '/proc/1/ns/ipc' }] }, /joining the ipc namespace \/proc\/1\/ns\/ipc/);
  refused({ namespaces: [...namespaces, { type: 'user' }] }, /a user namespace/);
});

test('devices: those that any kernel has; the host\'s own are refused, or left out for a privileged container', () => {
  const fuse = { type: 'c', path: '/dev/fuse', major: 10, minor: 229 };
  const disk = { type: 'b', path: '/dev/sda', major: 8, minor: 0 };
  assert.throws(() => guestDevices({ linux: { devices: [fuse, disk] } }), /the device \/dev\/sda \(b 8:0\)/);
  assert.deepEqual(guestDevices({ linux: { devices: [fuse, disk], resources: { devices: [{ allow: true, access: 'rwm' }] } } }), [fuse]);
});

test('mounts of the guest\'s own kernel; others are the host\'s or refused', () => {
  assert.notEqual(ownMount({ destination: '/proc', type: 'proc' }), undefined);
  assert.equal(ownMount({ destination: '/data', type: 'bind', source: '/srv', options: ['rbind'] }), undefined);
  assert.match(ownMount({ destination: '/dev/shm', type: 'bind', source: '/x', options: ['bind'] })?.toString('latin1') ?? '', /tmpfs/);
  assert.throws(() => ownMount({ destination: '/n', type: 'nfs' }), /the mount of type nfs on \/n/);
});

test('names, sysctls and guarded paths', () => {
  const tags = configureRecords({ hostname: 'h', root: { path: 'r', readonly: true }, linux: { sysctl: { 'net.ipv4.ip_forward': '1' }, maskedPaths: ['/proc/kcore'] } }, identity, true)
    .flatMap((bytes) => decodeRecords(bytes)).map(({ tag }) => tag);
  assert.deepEqual(tags, [configure.clock, configure.machineId, configure.rootReadonly, configure.hostname, configure.sysctl, configure.maskedPath]);
});

test('the size of a machine: whole mebibytes and never less than boots; processors by the quota', () => {
  assert.equal(guestMemory(undefined, 256 << 20), 256 << 20);
  assert.equal(guestMemory(1 << 20, 256 << 20), 96 << 20);
  assert.equal(guestMemory((128 << 20) + 1, 256 << 20), 129 << 20);
  assert.equal(guestCpus(undefined, undefined, 1, 8), 1);
  assert.equal(guestCpus(150_000, 100_000, 1, 8), 2);
  assert.equal(guestCpus(1_600_000, 100_000, 1, 8), 8);
});

test('the profile: as asked, else the first that the kernel is known to work under', () => {
  const kernel = { format: 'vmlinux', profiles: {} } as unknown as Kernel;
  assert.equal(chooseProfile(kernel, 'auto'), 'modern');
  assert.equal(chooseProfile({ ...kernel, profiles: { modern: { ok: false, bootMs: null, lacks: [] }, classic: { ok: true, bootMs: 1, lacks: [] } } }, 'auto'), 'classic');
  assert.equal(chooseProfile(kernel, 'bare'), 'bare');
  assert.throws(() => chooseProfile(kernel, 'fast'), /no machine profile "fast"; there are modern, classic, bare/);
});
