// What a spec says, and what is refused by name, without running anything.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildSpec, hostsFile, resolvConf, stringifySpec, type HostFacts, type SpecInput } from '@pouch/oci';

const host: HostFacts = {
  architecture: 'amd64', cgroupVersion: 2, cgroupControllers: ['cpu', 'cpuset', 'memory', 'pids'], limitsSwap: true, hasCapSysResource: false, oomScoreAdjMin: 0,
  maxRlimits: { nofile: 1024n }, kernelVersion: { major: 6, minor: 1 }, cpuCount: 2, memoryBytes: 8 * 2 ** 30,
  capabilities: ['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FSETID', 'CAP_FOWNER', 'CAP_MKNOD', 'CAP_NET_RAW', 'CAP_SETGID', 'CAP_SETUID', 'CAP_SETFCAP', 'CAP_SETPCAP', 'CAP_NET_BIND_SERVICE', 'CAP_SYS_CHROOT', 'CAP_KILL', 'CAP_AUDIT_WRITE'],
};
const input: SpecInput = { args: ['true'], env: [], cwd: '', user: { uid: 0, gid: 0, additionalGids: [], home: '/root' }, hostname: 'h', tty: false, rootfsPath: 'rootfs' };

function built(different: Partial<SpecInput>, facts: Partial<HostFacts> = {}) {
  const outcome = buildSpec({ ...input, ...different }, { ...host, ...facts });
  assert.ok(outcome.ok, outcome.ok ? '' : outcome.refusal.message);
  return outcome;
}
function refused(different: Partial<SpecInput>, field: string, message: RegExp) {
  const outcome = buildSpec({ ...input, ...different }, host);
  assert.ok(!outcome.ok, 'it was accepted');
  assert.equal(outcome.refusal.field, field);
  assert.match(outcome.refusal.message, message);
}

test('what cannot be is refused by its field', () => {
  refused({ args: [] }, 'Cmd', /no command/);
  refused({ cwd: 'relative' }, 'WorkingDir', /absolute/);
  refused({ capAdd: ['FLY'] }, 'HostConfig.CapAdd', /unknown capability: "FLY"/);
  refused({ capAdd: ['SYS_ADMIN'] }, 'HostConfig.CapAdd', /does not have it/);
  refused({ sysctls: { 'kernel.panic': '1' } }, 'HostConfig.Sysctls', /kernel\.panic/);
  refused({ sysctls: { 'net.ipv4.ip_forward': '1' }, namespaces: { network: { kind: 'host' } } }, 'HostConfig.Sysctls', /network namespace/);
  refused({ resources: { memoryBytes: 1024 } }, 'HostConfig.Memory', /6 MiB/);
  refused({ resources: { memorySwapBytes: 1 << 30 } }, 'HostConfig.MemorySwap', /needs a memory limit/);
  refused({ resources: { nanoCpus: 3e9 } }, 'HostConfig.NanoCpus', /0\.01 to 2\.00/);
  refused({ resources: { cpusetCpus: '0-7' } }, 'HostConfig.CpusetCpus', /CPUs 0 to 1/);
  refused({ resources: { cpusetCpus: 'x' } }, 'HostConfig.CpusetCpus', /0-2,4/);
  refused({ resources: { ulimits: [{ name: 'wings', soft: 1, hard: 1 }] } }, 'HostConfig.Ulimits', /wings/);
  refused({ resources: { oomScoreAdj: 4000 } }, 'HostConfig.OomScoreAdj', /-1000 to 1000/);
  refused({ mounts: [{ type: 'tmpfs', target: '/' }] }, 'HostConfig.Mounts', /must not be \//);
  refused({ mounts: [{ type: 'tmpfs', target: '/a' }, { type: 'tmpfs', target: '/a/' }] }, 'HostConfig.Mounts', /duplicate/);
});

test('what the host cannot give is clamped, and said', () => {
  const { spec, warnings } = built({ resources: { ulimits: [{ name: 'nofile', soft: 4096, hard: 4096 }], oomScoreAdj: -500 } });
  assert.deepEqual(spec.process.rlimits, [{ type: 'RLIMIT_NOFILE', soft: 1024n, hard: 1024n }]);
  assert.equal(spec.process.oomScoreAdj, 0);
  assert.equal(warnings.length, 2);
});

test('unlimited limits survive JSON exactly', () => {
  const { spec } = built({ resources: { ulimits: [{ name: 'core', soft: -1, hard: -1 }] } });
  assert.match(stringifySpec(spec), /"hard":18446744073709551615/);
});

test('memory brings twice as much swap along, as Docker has it, where swap can be limited', () => {
  assert.deepEqual(built({ resources: { memoryBytes: 64 << 20 } }).spec.linux.resources.memory, { limit: 64 << 20, swap: 128 << 20 });
  assert.deepEqual(built({ resources: { memoryBytes: 64 << 20 } }, { limitsSwap: false }).spec.linux.resources.memory, { limit: 64 << 20 });
});

test('the person\'s mounts come last, parents first, and take the place of default ones', () => {
  const { spec } = built({ mounts: [{ type: 'bind', source: '/b', target: '/data/sub', readonly: true }, { type: 'bind', source: '/a', target: '/data', readonly: false }, { type: 'tmpfs', target: '/dev/shm' }] });
  assert.deepEqual(spec.mounts.slice(-3).map((mount) => mount.destination), ['/data', '/data/sub', '/dev/shm']);
  assert.equal(spec.mounts.filter((mount) => mount.destination === '/dev/shm').length, 1);
});

test('options of a tmpfs win over the defaults that they contradict', () => {
  const { spec } = built({ mounts: [{ type: 'tmpfs', target: '/t', sizeBytes: 4096, options: ['exec', 'size=8192', 'rw'] }] });
  const options = spec.mounts.at(-1)?.options ?? [];
  assert.ok(options.includes('exec') && !options.includes('noexec'));
  assert.ok(options.includes('size=8192') && !options.includes('size=4096'));
});

test('an init runs in front of the command', () => {
  const { spec } = built({ initPath: '/opt/init' });
  assert.deepEqual(spec.process.args, ['/sbin/docker-init', '--', 'true']);
  assert.ok(spec.mounts.some((mount) => mount.destination === '/sbin/docker-init' && mount.source === '/opt/init'));
});

test('namespaces: own ones, shared ones, prepared ones', () => {
  const { spec } = built({ namespaces: { network: { kind: 'prepared', path: '/run/netns/x' }, pid: { kind: 'host' } } });
  assert.ok(spec.linux.namespaces.some(({ type, path }) => type === 'network' && path === '/run/netns/x'));
  assert.ok(!spec.linux.namespaces.some(({ type }) => type === 'pid'));
});

test('hosts: the container\'s own names, extra ones, and the gateway', () => {
  const text = hostsFile({ hostname: 'web', domainname: 'example.org', addresses: ['10.0.0.2'], extraHosts: ['db:10.0.0.9', 'host:host-gateway'], hostGateway: '10.0.0.1' });
  for (const line of ['127.0.0.1\tlocalhost', '10.0.0.9\tdb', '10.0.0.1\thost', '10.0.0.2\tweb.example.org web']) assert.ok(text.includes(`${line}\n`), line);
});

test('resolv.conf: what was asked, else the host\'s without its loopback, else public resolvers', () => {
  const asked = { dns: [], dnsSearch: [], dnsOptions: [], sharesHostNetwork: false };
  assert.equal(resolvConf({ ...asked, hostText: 'nameserver 127.0.0.53\nnameserver 10.0.0.53\nsearch a b\n' }), 'nameserver 10.0.0.53\nsearch a b\n');
  assert.equal(resolvConf({ ...asked, hostText: 'nameserver 127.0.0.53\n' }), 'nameserver 8.8.8.8\nnameserver 8.8.4.4\n');
  assert.equal(resolvConf({ ...asked, hostText: 'nameserver 127.0.0.53\n', sharesHostNetwork: true }), 'nameserver 127.0.0.53\n');
  assert.equal(resolvConf({ ...asked, hostText: '', dns: ['1.1.1.1'], dnsSearch: ['.'], dnsOptions: ['ndots:2'] }), 'nameserver 1.1.1.1\noptions ndots:2\n');
});
