// The seccomp filter: the default profile on different hosts, and profiles that a person brings.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseSeccompProfile, stringifySpec } from '@pouch/oci';
import { refusalOf, specOf } from './given.ts';

type Rules = NonNullable<ReturnType<typeof specOf>['spec']['linux']['seccomp']>;
const filter = (...args: Parameters<typeof specOf>): Rules => {
  const { seccomp } = specOf(...args).spec.linux;
  assert.ok(seccomp !== undefined);
  return seccomp;
};
const rulesOf = ({ syscalls }: Rules, name: string) => syscalls.filter(({ names }) => names.includes(name));
/** Allowed whatever its arguments are. */
const allows = (rules: Rules, name: string) => rulesOf(rules, name).some(({ action, args }) => action === 'SCMP_ACT_ALLOW' && args === undefined);

const namespaceFlags = 0x7e020000;

test('what is not named answers EPERM; the calls of an ordinary program are named', () => {
  const rules = filter({});
  assert.deepEqual([rules.defaultAction, rules.defaultErrnoRet], ['SCMP_ACT_ERRNO', 1]);
  for (const name of ['read', 'openat', 'execve', 'futex', 'rseq', 'statx', 'epoll_pwait2', 'faccessat2', 'clock_gettime64', 'getrandom', 'landlock_restrict_self']) assert.ok(allows(rules, name), name);
});

test('what reaches over the container\'s edge is not', () => {
  const rules = filter({});
  for (const name of ['mount', 'umount2', 'setns', 'unshare', 'bpf', 'kexec_load', 'add_key', 'keyctl', 'request_key', 'userfaultfd', 'io_uring_setup', 'init_module', 'reboot', 'swapon', 'pivot_root', 'open_by_handle_at', 'perf_event_open', 'clock_settime']) {
    assert.deepEqual(rulesOf(rules, name), [], name);
  }
});

test('clone may make processes but no namespaces; clone3 is as if the kernel had none', () => {
  const rules = filter({});
  assert.deepEqual(rulesOf(rules, 'clone'), [{ names: ['clone'], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, value: namespaceFlags, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }] }]);
  assert.deepEqual(rulesOf(rules, 'clone3'), [{ names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 }]);
  const withAdmin = filter({ capAdd: ['SYS_ADMIN'] });
  assert.ok(allows(withAdmin, 'clone') && allows(withAdmin, 'clone3') && allows(withAdmin, 'mount') && allows(withAdmin, 'unshare'));
});

test('a capability opens its calls, dropping it closes them', () => {
  const opened: [string, string][] = [
    ['SYS_TIME', 'clock_settime'], ['SYS_BOOT', 'reboot'], ['SYS_MODULE', 'finit_module'], ['SYS_PACCT', 'acct'], ['SYS_PTRACE', 'kcmp'], ['SYS_RAWIO', 'iopl'],
    ['SYS_TTY_CONFIG', 'vhangup'], ['SYS_NICE', 'mbind'], ['SYSLOG', 'syslog'], ['BPF', 'bpf'], ['PERFMON', 'perf_event_open'], ['DAC_READ_SEARCH', 'open_by_handle_at'],
  ];
  for (const [capability, call] of opened) {
    assert.ok(!allows(filter({}), call), `${call} without ${capability}`);
    assert.ok(allows(filter({ capAdd: [capability] }), call), `${call} with ${capability}`);
  }
  assert.ok(allows(filter({}), 'chroot') && !allows(filter({ capDrop: ['SYS_CHROOT'] }), 'chroot'));
});

test('ptrace from Linux 4.8 on; personality by its values; no vsock', () => {
  assert.ok(allows(filter({}, { kernelVersion: { major: 4, minor: 8 } }), 'ptrace'));
  assert.ok(!allows(filter({}, { kernelVersion: { major: 4, minor: 7 } }), 'ptrace'));
  assert.deepEqual(rulesOf(filter({}), 'personality').map(({ args }) => args?.[0]?.value), [0, 8, 0x20000, 0x20008, 0xffffffff]);
  assert.deepEqual(rulesOf(filter({}), 'socket').map(({ args }) => args), [[{ index: 0, value: 40, op: 'SCMP_CMP_NE' }]]);
});

test('each architecture with those that it also runs', () => {
  assert.deepEqual(filter({}).architectures, ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86']);
  assert.deepEqual(filter({}, { architecture: 'arm64' }).architectures, ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM']);
  assert.ok(allows(filter({}), 'arch_prctl') && !allows(filter({}, { architecture: 'arm64' }), 'arch_prctl'));
  assert.ok(!allows(filter({}), 'sync_file_range2') && allows(filter({}, { architecture: 'arm64' }), 'sync_file_range2'));
});

test('privileged has no filter unless it brings one', () => {
  assert.equal(specOf({ privileged: true }).spec.linux.seccomp, undefined);
  assert.equal(specOf({ seccomp: 'unconfined' }).spec.linux.seccomp, undefined);
  assert.equal(filter({ privileged: true, seccomp: { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [] } }).defaultAction, 'SCMP_ACT_ALLOW');
});

function parsed(profile: unknown) {
  const outcome = parseSeccompProfile(typeof profile === 'string' ? profile : JSON.stringify(profile));
  assert.ok(outcome.ok, outcome.ok ? '' : outcome.refusal.message);
  return outcome.profile;
}

test('a person\'s profile: conditions are resolved for this container and host', () => {
  const rule = (name: string, more: object) => ({ names: [name], action: 'SCMP_ACT_ALLOW', ...more });
  const profile = parsed({
    defaultAction: 'SCMP_ACT_KILL_PROCESS', archMap: [{ architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] }], flags: ['SECCOMP_FILTER_FLAG_LOG'],
    syscalls: [
      rule('a', { includes: { caps: ['CAP_CHOWN', 'CAP_SYS_TIME'] } }), rule('b', { includes: { caps: ['CAP_CHOWN'] } }), rule('c', { excludes: { caps: ['CAP_CHOWN'] } }),
      rule('d', { includes: { arches: ['arm64', 'amd64'] } }), rule('e', { excludes: { arches: ['amd64'] } }), rule('f', { includes: { minKernel: '6.2' } }),
      rule('g', { includes: { minKernel: '5.19' } }), rule('h', { excludes: { minKernel: '6.1' } }), { name: 'i', action: 'SCMP_ACT_ERRNO', errnoRet: 5 }, rule('j', { includes: null, args: null }),
    ],
  });
  const rules = filter({ seccomp: profile });
  assert.deepEqual(rules.syscalls.flatMap(({ names }) => names), ['b', 'd', 'g', 'i', 'j']);
  assert.deepEqual([rules.defaultAction, rules.architectures, rules.flags], ['SCMP_ACT_KILL_PROCESS', ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'], ['SECCOMP_FILTER_FLAG_LOG']]);
});

test('64-bit values stay exact on their way from JSON to JSON', () => {
  const value = '18446744069414584319';
  const profile = parsed(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["x"],"action":"SCMP_ACT_ERRNO","args":[{"index":1,"value":${value},"op":"SCMP_CMP_EQ"}]}]}`);
  assert.ok(stringifySpec(specOf({ seccomp: profile }).spec).includes(`"value":${value}`));
});

test('a profile that no runtime would take is refused, saying where', () => {
  const rule = { names: ['x'], action: 'SCMP_ACT_ALLOW' };
  const wrong: [unknown, RegExp][] = [
    ['{', /not JSON/], ['[]', /not a JSON object/], [{}, /defaultAction/], [{ defaultAction: 'ALLOW' }, /defaultAction "ALLOW"/],
    [{ defaultAction: 'SCMP_ACT_ALLOW', syscalls: {} }, /syscalls is not a list/],
    [{ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ ...rule, name: 'y' }] }, /'name' or 'names'/],
    [{ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ action: 'SCMP_ACT_ALLOW' }] }, /without names/],
    [{ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ ...rule, args: [{ index: 9, op: 'SCMP_CMP_EQ' }] }] }, /index 9/],
    [{ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ ...rule, args: [{ index: 0, value: -1, op: 'SCMP_CMP_EQ' }] }] }, /value is not/],
    [{ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ ...rule, args: [{ index: 0, value: 1, op: '==' }] }] }, /op "=="/],
    [{ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ ...rule, includes: { minKernel: 'new' } }] }, /minKernel "new"/],
    [{ defaultAction: 'SCMP_ACT_ALLOW', flags: ['FAST'] }, /flags "FAST"/],
    [{ defaultAction: 'SCMP_ACT_ALLOW', architectures: ['SCMP_ARCH_X86'], archMap: [{ architecture: 'SCMP_ARCH_X86' }] }, /not both/],
    [`{"defaultAction":"SCMP_ACT_ALLOW","x":"${'y'.repeat(1 << 20)}"}`, /larger than/],
  ];
  for (const [profile, message] of wrong) {
    const outcome = parseSeccompProfile(typeof profile === 'string' ? profile : JSON.stringify(profile));
    assert.ok(!outcome.ok, `accepted: ${JSON.stringify(profile).slice(0, 100)}`);
    assert.equal(outcome.refusal.field, 'HostConfig.SecurityOpt');
    assert.match(outcome.refusal.message, message);
  }
});

test('no JSON makes reading a profile throw', () => {
  fc.assert(fc.property(fc.oneof(fc.json(), fc.string(), fc.record({ defaultAction: fc.jsonValue(), syscalls: fc.jsonValue(), archMap: fc.jsonValue() }).map((value) => JSON.stringify(value))), (text) => {
    const outcome = parseSeccompProfile(text);
    assert.ok(outcome.ok || outcome.refusal.message.startsWith('seccomp profile: '));
  }));
});

test('no_new_privs and seccomp do not depend on each other', () => {
  assert.equal(specOf({ noNewPrivileges: true, seccomp: 'unconfined' }).spec.process.noNewPrivileges, true);
  assert.equal(refusalOf({ args: [] }).field, 'Cmd');
});
