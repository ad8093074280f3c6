// What the flags of create and run become in Docker's create body; mistakes are refused by the flag's name.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { UsageError } from '../../../packages/cli/src/errors.ts';
import { toAttachment, toCreateBody, type SettingFlags } from '../../../packages/cli/src/settings/create-body.ts';
import { shellWords } from '../../../packages/cli/src/settings/values.ts';

const around = { variables: { FROM_SHELL: 'yes' }, cwd: '/home/me' };
const body = (flags: SettingFlags, command: readonly string[] = []) => toCreateBody('busybox', command, flags, toAttachment(flags, true), around);
const hostConfig = (flags: SettingFlags) => (body(flags)['HostConfig'] ?? {}) as Record<string, unknown>;
const detached = { AttachStdin: false, AttachStdout: false, AttachStderr: false };

test('without flags only the image is said', () => {
  assert.deepEqual(body({}), { Image: 'busybox', ...detached });
  assert.deepEqual(body({}, ['uname', '-a'])['Cmd'], ['uname', '-a']);
});

const config: readonly (readonly [SettingFlags, Record<string, unknown>])[] = [
  [{ env: ['A=1', 'FROM_SHELL', 'ABSENT', 'EMPTY='] }, { Env: ['A=1', 'FROM_SHELL=yes', 'EMPTY='] }],
  [{ secret: ['db', 'tls.key,target=key,mode=0400'] }, { Labels: { 'io.pouch.secret.db': '', 'io.pouch.secret.tls.key': 'target=key,mode=0400' } }],
  [{ label: ['a=b=c', 'alone'] }, { Labels: { a: 'b=c', alone: '' } }],
  [{ hostname: 'h', domainname: 'd', user: '1:2', workdir: '/w' }, { Hostname: 'h', Domainname: 'd', User: '1:2', WorkingDir: '/w' }],
  [{ entrypoint: '' }, { Entrypoint: [''] }],
  [{ entrypoint: '/bin/sh' }, { Entrypoint: ['/bin/sh'] }],
  [{ stopSignal: 'SIGINT', stopTimeout: '-1' }, { StopSignal: 'SIGINT', StopTimeout: -1 }],
  [{ expose: ['80', '90-91/udp'] }, { ExposedPorts: { '80/tcp': {}, '90/udp': {}, '91/udp': {} } }],
  [{ healthCmd: 'ask || exit 1', healthInterval: '1m30s', healthTimeout: '500ms', healthRetries: '2', healthStartPeriod: '5s' }, { Healthcheck: { Test: ['CMD-SHELL', 'ask || exit 1'], Interval: 90_000_000_000, Timeout: 500_000_000, Retries: 2, StartPeriod: 5_000_000_000 } }],
  [{ healthcheck: false }, { Healthcheck: { Test: ['NONE'] } }],
  [{ healthcheck: true }, {}],
  [{ tty: true, interactive: true }, { Tty: true, OpenStdin: true }],
  [{ volumesFrom: ['web:ro'] }, { HostConfig: { VolumesFrom: ['web:ro'] } }],
  [{ volume: ['/data'] }, { Volumes: { '/data': {} } }],
];
for (const [flags, expected] of config) {
  test(`config: ${JSON.stringify(flags)}`, () => assert.deepEqual(body(flags), { Image: 'busybox', ...detached, ...expected }));
}

const host: readonly (readonly [SettingFlags, Record<string, unknown>])[] = [
  [{ publish: ['8080:80'] }, { PortBindings: { '80/tcp': [{ HostIp: '', HostPort: '8080' }] } }],
  [{ publish: ['80', '127.0.0.1::53/udp', '[::1]:1:2'] }, { PortBindings: { '80/tcp': [{ HostIp: '', HostPort: '' }], '53/udp': [{ HostIp: '127.0.0.1', HostPort: '' }], '2/tcp': [{ HostIp: '::1', HostPort: '1' }] } }],
  [{ publish: ['8000-8001:80-81'] }, { PortBindings: { '80/tcp': [{ HostIp: '', HostPort: '8000' }], '81/tcp': [{ HostIp: '', HostPort: '8001' }] } }],
  [{ publish: ['8000-8010:80'] }, { PortBindings: { '80/tcp': [{ HostIp: '', HostPort: '8000-8010' }] } }],
  [{ publishAll: true }, { PublishAllPorts: true }],
  [{ volume: ['/a:/b:ro', './x:/x', 'name:/n'] }, { Binds: ['/a:/b:ro', '/home/me/x:/x', 'name:/n'] }],
  [{ mount: ['type=bind,src=/a,dst=/b,readonly,bind-propagation=rshared'] }, { Mounts: [{ Type: 'bind', Source: '/a', Target: '/b', ReadOnly: true, BindOptions: { Propagation: 'rshared' } }] }],
  [{ mount: ['type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=1777'] }, { Mounts: [{ Type: 'tmpfs', Target: '/t', TmpfsOptions: { SizeBytes: 67_108_864, Mode: 0o1777 } }] }],
  [{ mount: ['type=bind,"source=/with,comma",target=/b'] }, { Mounts: [{ Type: 'bind', Source: '/with,comma', Target: '/b' }] }],
  [{ tmpfs: ['/run', '/tmp:rw,size=1m'] }, { Tmpfs: { '/run': '', '/tmp': 'rw,size=1m' } }],
  [{ memory: '512m', memorySwap: '-1' }, { Memory: 536_870_912, MemorySwap: -1 }],
  [{ memory: '1.5g', memorySwap: '2GiB', shmSize: '64k' }, { Memory: 1_610_612_736, MemorySwap: 2_147_483_648, ShmSize: 65_536 }],
  [{ cpus: '1.5', cpuShares: '512', cpusetCpus: '0-3', pidsLimit: '-1' }, { NanoCpus: 1_500_000_000, CpuShares: 512, CpusetCpus: '0-3', PidsLimit: -1 }],
  [{ ulimit: ['nofile=1024:2048', 'nproc=5', 'core=-1'] }, { Ulimits: [{ Name: 'nofile', Soft: 1024, Hard: 2048 }, { Name: 'nproc', Soft: 5, Hard: 5 }, { Name: 'core', Soft: -1, Hard: -1 }] }],
  [{ capAdd: ['NET_ADMIN'], capDrop: ['ALL'], privileged: true, readOnly: true, init: true, oomScoreAdj: '-500' }, { CapAdd: ['NET_ADMIN'], CapDrop: ['ALL'], Privileged: true, ReadonlyRootfs: true, Init: true, OomScoreAdj: -500 }],
  [{ securityOpt: ['no-new-privileges', 'seccomp=unconfined', 'seccomp:unconfined'] }, { SecurityOpt: ['no-new-privileges', 'seccomp=unconfined', 'seccomp:unconfined'] }],
  [{ device: ['/dev/fuse', '/dev/a:/dev/b:r', '/dev/a:rw'] }, { Devices: [{ PathOnHost: '/dev/fuse', PathInContainer: '/dev/fuse', CgroupPermissions: 'rwm' }, { PathOnHost: '/dev/a', PathInContainer: '/dev/b', CgroupPermissions: 'r' }, { PathOnHost: '/dev/a', PathInContainer: '/dev/a', CgroupPermissions: 'rw' }] }],
  [{ sysctl: ['net.core.somaxconn=1024'] }, { Sysctls: { 'net.core.somaxconn': '1024' } }],
  [{ restart: 'on-failure:3' }, { RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 3 } }],
  [{ restart: 'always' }, { RestartPolicy: { Name: 'always', MaximumRetryCount: 0 } }],
  [{ rm: true, restart: 'no' }, { AutoRemove: true, RestartPolicy: { Name: 'no', MaximumRetryCount: 0 } }],
  [{ addHost: ['db:10.0.0.1', 'six:[::1]', 'eq=10.0.0.2'] }, { ExtraHosts: ['db:10.0.0.1', 'six:::1', 'eq:10.0.0.2'] }],
  [{ dns: ['1.1.1.1'], dnsOption: ['ndots:1'], dnsSearch: ['example.org'] }, { Dns: ['1.1.1.1'], DnsOptions: ['ndots:1'], DnsSearch: ['example.org'] }],
  [{ logDriver: 'local', logOpt: ['max-size=10m'] }, { LogConfig: { Type: 'local', Config: { 'max-size': '10m' } } }],
  [{ annotation: ['a=b'], runtime: 'runv', network: 'container:web', groupAdd: ['video'] }, { Annotations: { a: 'b' }, Runtime: 'runv', NetworkMode: 'container:web', GroupAdd: ['video'] }],
];
for (const [flags, expected] of host) {
  test(`host config: ${JSON.stringify(flags)}`, () => assert.deepEqual(hostConfig(flags), expected));
}

const refused: readonly (readonly [SettingFlags, RegExp])[] = [
  [{ publish: ['x:80'] }, /-p x:80/],
  [{ publish: ['70000:80'] }, /65535/],
  [{ publish: ['1-2:1-3'] }, /length/],
  [{ publish: ['::1:80:80'] }, /brackets/],
  [{ publish: ['80/icmp'] }, /-p/],
  [{ expose: ['0'] }, /--expose/],
  [{ memory: 'lots' }, /--memory/],
  [{ memory: '-1' }, /--memory/],
  [{ cpus: '1,5' }, /--cpus/],
  [{ pidsLimit: '-2' }, /--pids-limit/],
  [{ ulimit: ['nofile=9:1'] }, /above/],
  [{ ulimit: ['nofile'] }, /--ulimit/],
  [{ device: ['fuse'] }, /--device/],
  [{ restart: 'sometimes' }, /--restart/],
  [{ restart: 'always:3' }, /--restart/],
  [{ rm: true, restart: 'always' }, /exclude/],
  [{ volume: ['/a:b'] }, /-v/],
  [{ tmpfs: ['run'] }, /--tmpfs/],
  [{ mount: ['type=bind,target=/b'] }, /source is missing/],
  [{ mount: ['type=bind,source=/a'] }, /target is missing/],
  [{ mount: ['type=bind,source=/a,target=/b,tmpfs-size=1'] }, /do not go with/],
  [{ mount: ['type=bind,source=/a,target=/b,colour=red'] }, /unknown field colour/],
  [{ sysctl: ['alone'] }, /--sysctl/],
  [{ addHost: ['db'] }, /--add-host/],
  [{ env: ['=x'] }, /-e/],
  [{ envFile: ['/nonexistent/file'] }, /--env-file/],
  [{ securityOpt: ['nonsense'] }, /--security-opt/],
  [{ healthInterval: '10' }, /--health-interval/],
  [{ healthRetries: '-1' }, /--health-retries/],
  [{ healthcheck: false, healthCmd: 'x' }, /--no-healthcheck and --health-\* exclude/],
  [{ oomScoreAdj: '2000' }, /between -1000 and 1000/],
];
for (const [flags, expected] of refused) {
  test(`refused: ${JSON.stringify(flags)}`, () => {
    assert.throws(() => body(flags), (error) => error instanceof UsageError && error.exitCode === 125 && expected.test(error.message));
  });
}

test('streams: output by default, stdin with -i, those that -a names, none detached', () => {
  assert.deepEqual(toAttachment({}, false), { stdin: false, stdout: true, stderr: true });
  assert.deepEqual(toAttachment({ interactive: true }, false), { stdin: true, stdout: true, stderr: true });
  assert.deepEqual(toAttachment({ attach: ['STDERR'] }, false), { stdin: false, stdout: false, stderr: true });
  assert.deepEqual(toAttachment({ interactive: true }, true), { stdin: false, stdout: false, stderr: false });
  assert.throws(() => toAttachment({ attach: ['stdout'] }, true), UsageError);
  assert.throws(() => toAttachment({ attach: ['stdfoo'] }, false), UsageError);
  assert.equal(toCreateBody('b', [], { interactive: true }, toAttachment({ interactive: true }, false), around)['StdinOnce'], true);
  assert.equal(body({ interactive: true })['StdinOnce'], undefined);
});

test('files: variables, labels and a seccomp profile come from them, comments do not', () => {
  const folder = mkdtempSync(join(tmpdir(), 'pouch-test-cli-'));
  try {
    writeFileSync(join(folder, 'env'), '# comment\nA=from file\n\nFROM_SHELL\r\nB=2\n');
    writeFileSync(join(folder, 'labels'), 'team=a\n');
    writeFileSync(join(folder, 'profile.json'), '{ "defaultAction": "SCMP_ACT_ALLOW" }');
    const flags: SettingFlags = { envFile: [join(folder, 'env')], env: ['A=flag'], labelFile: [join(folder, 'labels')], label: ['x=y'], securityOpt: [`seccomp=${join(folder, 'profile.json')}`] };
    assert.deepEqual(body(flags)['Env'], ['A=from file', 'FROM_SHELL=yes', 'B=2', 'A=flag']);
    assert.deepEqual(body(flags)['Labels'], { team: 'a', x: 'y' });
    assert.deepEqual(hostConfig(flags)['SecurityOpt'], ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}']);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('a guest kernel is an annotation, and asks for a machine where no runtime is named', () => {
  const host = (flags: SettingFlags) => (toCreateBody('busybox', [], flags, { stdin: false, stdout: true, stderr: true }, { variables: {}, cwd: '/' })['HostConfig'] as Record<string, unknown>);
  assert.deepEqual(host({ kernel: 'old', annotation: ['a=b'] }), { Runtime: 'runv', Annotations: { a: 'b', 'io.pouch.kernel': 'old' } });
  assert.equal(host({ kernel: 'old', runtime: 'runv2' })['Runtime'], 'runv2');
});

test('words are read as a shell reads them, without its expansions', () => {
  const words = (text: string): string[] => shellWords('--args', text);
  assert.deepEqual(words('  sleep  1d '), ['sleep', '1d']);
  assert.deepEqual(words(`sh -c "echo \\"$A\\" 'b'; exit 3" '' it\\'s a\\ b x'y z'`), ['sh', '-c', 'echo "$A" \'b\'; exit 3', '', "it's", 'a b', 'xy z']);
  assert.deepEqual(words(''), []);
  for (const text of ["sh -c 'echo", 'a "b', 'a\\']) assert.throws(() => words(text), /--args .*has no end/);
});
