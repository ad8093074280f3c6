// Docker's JSON to a spec and back: what is said is what inspect shows, image defaults merge as Docker merges them, and every member of the
// schema has its row in the tables.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DockerCreateBody, DockerHostConfig } from '@pouch/contracts';
import { containerId, explainJoin, imageId, type ContainerSpec, type ImageDefaults, type Mount } from '@pouch/domain';
import { readSettings, settings, showConfig, showHostConfig } from '../../../services/api/src/containers/settings.ts';
import { parseBody } from '../../../services/api/src/http/body.ts';
import { aContainerId } from '../../fixtures/domain.ts';

const noDefaults: ImageDefaults = { entrypoint: [], cmd: ['sh'], env: ['PATH=/bin'], workingDir: '', user: '', labels: {}, exposedPorts: [], volumes: [], stopSignal: '' };

const ofOther = ['/taken', '/b'].map((target): Mount => ({ type: 'volume', declaredAs: 'binds', name: 'data', target, readonly: false, noCopy: false, labels: {} }));

function read(body: DockerCreateBody, defaults: Partial<ImageDefaults> = {}): { spec: ContainerSpec; warnings: string[] } {
  return readSettings(body, {
    id: containerId('c'.repeat(64)), defaultRuntime: 'runc', runtimes: ['crun', 'runc', 'runv'], kernels: ['debian-6.1', 'old-2.6.32'],
    image: { pin: { reference: 'busybox', name: 'docker.io/library/busybox:latest', id: imageId(`sha256:${'b'.repeat(64)}`), manifestDigest: `sha256:${'d'.repeat(64)}` }, defaults: { ...noDefaults, ...defaults } },
    findContainer: (name) => (name === 'other' || name === aContainerId ? ({ id: aContainerId, name, spec: { ...read({}).spec, mounts: ofOther } } as never) : null),
  });
}

test('every member of the schemas has a row, and every row is in the schemas', () => {
  const rows = (inHost: boolean): string[] => settings.filter((row) => row.inHostConfig === inHost).map((row) => row.member).sort();
  assert.deepEqual(rows(true), Object.keys(DockerHostConfig.properties).sort());
  assert.deepEqual(rows(false), Object.keys(DockerCreateBody.properties).filter((name) => !['Image', 'HostConfig', 'NetworkingConfig'].includes(name)).sort());
});

test('what is said is what inspect shows', () => {
  const config = {
    Cmd: ['a', 'b'], Entrypoint: ['e'], Env: ['PATH=/x', 'A=b'], WorkingDir: '/w', User: '1:2', Hostname: 'h', Domainname: 'd.example', Labels: { l: 'm' }, Tty: true, OpenStdin: true, StdinOnce: true,
    AttachStdin: true, AttachStdout: true, AttachStderr: false, StopSignal: 'SIGUSR1', StopTimeout: 3, ExposedPorts: { '80/tcp': {}, '53/udp': {} },
    Volumes: { '/own': {} },
    Healthcheck: { Test: ['CMD-SHELL', 'ask'], Interval: 1_500_000, Timeout: 2_000_000_000, StartPeriod: 3_000_000_000, Retries: 4 },
  };
  const host = {
    Runtime: 'crun', NetworkMode: 'bridge', PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: '8080' }, { HostIp: '', HostPort: '' }] }, PublishAllPorts: true, Binds: ['/a:/b', '/c:/d:ro,rshared', 'data:/data', 'more.data:/more:ro,nocopy', '/alone'],
    Mounts: [{ Type: 'bind', Source: '/s', Target: '/t', ReadOnly: true, BindOptions: { Propagation: 'slave', NonRecursive: true } }, { Type: 'tmpfs', Target: '/u', TmpfsOptions: { SizeBytes: 4096, Mode: 448 } },
      { Type: 'volume', Source: 'data', Target: '/v', ReadOnly: true, VolumeOptions: { NoCopy: true, Labels: { a: 'b' } } }, { Type: 'volume', Target: '/w' }],
    Tmpfs: { '/run': 'rw,noexec,size=65536,mode=1777' }, VolumesFrom: ['other:ro'], Memory: 100_000_000, MemorySwap: 200_000_000, NanoCpus: 1_500_000_000, CpuShares: 512, CpusetCpus: '0-2,4', PidsLimit: 100,
    Ulimits: [{ Name: 'nofile', Soft: 1, Hard: 2 }], CapAdd: ['CAP_NET_ADMIN'], CapDrop: ['ALL'], GroupAdd: ['audio'], Privileged: false, ReadonlyRootfs: true, SecurityOpt: ['no-new-privileges', 'seccomp=unconfined'],
    Devices: [{ PathOnHost: '/dev/null', PathInContainer: '/dev/n', CgroupPermissions: 'rw' }], Sysctls: { 'net.ipv4.ip_forward': '1' }, ShmSize: 1_048_576, Init: true, OomScoreAdj: -5,
    RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 4 }, AutoRemove: false, ExtraHosts: ['x:1.2.3.4', 'gw:host-gateway'], Dns: ['1.1.1.1'], DnsSearch: ['example.org'], DnsOptions: ['ndots:2'],
    LogConfig: { Type: 'local', Config: { 'max-size': '1048576', 'max-file': '3' } }, Annotations: { k: 'v' },
  };
  const { spec, warnings } = read({ ...config, HostConfig: host });
  assert.deepEqual(warnings, []);
  for (const [member, value] of Object.entries(config)) assert.deepEqual(showConfig(spec)[member], value, member);
  for (const [member, value] of Object.entries(host)) assert.deepEqual(showHostConfig(spec)[member], value, member);
  // And what inspect shows makes the same container.
  const again = parseBody(Buffer.from(JSON.stringify({ ...showConfig(spec), HostConfig: showHostConfig(spec) }))) as DockerCreateBody;
  assert.deepEqual(read(again).spec, spec);
});

test('what clients send by default changes nothing', () => {
  const cli = {
    Hostname: '', Domainname: '', User: '', AttachStdin: false, AttachStdout: true, AttachStderr: true, Tty: false, OpenStdin: false, StdinOnce: false, Env: null, Cmd: ['x'], Image: 'busybox', Volumes: {}, WorkingDir: '', Entrypoint: null, OnBuild: null, Labels: {},
    HostConfig: {
      Binds: null, ContainerIDFile: '', LogConfig: { Type: '', Config: {} }, NetworkMode: 'default', PortBindings: {}, RestartPolicy: { Name: 'no', MaximumRetryCount: 0 }, AutoRemove: false, VolumeDriver: '', VolumesFrom: null, ConsoleSize: [50, 200],
      CapAdd: null, CapDrop: null, CgroupnsMode: '', Dns: [], DnsOptions: [], DnsSearch: [], ExtraHosts: null, GroupAdd: null, IpcMode: '', Cgroup: '', Links: null, OomScoreAdj: 0, PidMode: '', Privileged: false, PublishAllPorts: false,
      ReadonlyRootfs: false, SecurityOpt: null, UTSMode: '', UsernsMode: '', ShmSize: 0, Isolation: '', CpuShares: 0, Memory: 0, NanoCpus: 0, CgroupParent: '', BlkioWeight: 0, BlkioWeightDevice: [], BlkioDeviceReadBps: [], CpuPeriod: 0, CpuQuota: 0,
      CpuRealtimePeriod: 0, CpuRealtimeRuntime: 0, CpusetCpus: '', CpusetMems: '', Devices: [], DeviceCgroupRules: null, DeviceRequests: null, MemoryReservation: 0, MemorySwap: 0, MemorySwappiness: -1, OomKillDisable: false, PidsLimit: 0, Ulimits: [],
      CpuCount: 0, CpuPercent: 0, IOMaximumIOps: 0, IOMaximumBandwidth: 0, MaskedPaths: null, ReadonlyPaths: null, KernelMemory: 0, Unheard: 'of',
    },
    NetworkingConfig: { EndpointsConfig: { default: { IPAMConfig: null, Links: null, Aliases: null, MacAddress: '', DriverOpts: null, NetworkID: '' } } },
  };
  const { spec } = read(parseBody(Buffer.from(JSON.stringify(cli))) as DockerCreateBody);
  assert.deepEqual(spec, { ...read({ Cmd: ['x'] }).spec, attach: { stdin: false, stdout: true, stderr: true } });
});

test('image defaults merge as Docker merges them', () => {
  const image = { entrypoint: ['ep'], cmd: ['c'], env: ['PATH=/bin', 'A=1', 'B=2'], workingDir: '/iw', user: 'iu', labels: { a: '1', b: '2' }, exposedPorts: ['80/tcp'], stopSignal: 'SIGQUIT' };
  const plain = read({}, image).spec;
  assert.deepEqual([plain.entrypoint, plain.cmd, plain.workingDir, plain.user, plain.stopSignal], [['ep'], ['c'], '/iw', 'iu', 'SIGQUIT']);
  assert.deepEqual([read({ Cmd: ['x'] }, image).spec.entrypoint, read({ Cmd: ['x'] }, image).spec.cmd], [['ep'], ['x']]);
  assert.deepEqual([read({ Entrypoint: ['y'] }, image).spec.entrypoint, read({ Entrypoint: ['y'] }, image).spec.cmd], [['y'], []]);
  assert.deepEqual([read({ Entrypoint: [] }, image).spec.entrypoint, read({ Entrypoint: [] }, image).spec.cmd], [[], ['c']]);
  assert.deepEqual([read({ Entrypoint: [''], Cmd: ['z'] }, image).spec.entrypoint, read({ Entrypoint: [''], Cmd: ['z'] }, image).spec.cmd], [[], ['z']]);
  assert.throws(() => read({ Entrypoint: [''] }, image), /no command specified/);
  assert.deepEqual(read({ Env: ['A=9', 'C=3', 'B'] }, image).spec.env, ['PATH=/bin', 'A=9', 'C=3']);
  assert.deepEqual(read({ Labels: { b: 'x', c: '3' } }, image).spec.labels, { a: '1', b: 'x', c: '3' });
  assert.deepEqual(read({ ExposedPorts: { '81': {} } }, image).spec.exposedPorts, ['80/tcp', '81/tcp']);
});

test('network modes: names, host names and what goes with them', () => {
  assert.equal(read({}).spec.hostname, 'c'.repeat(12));
  assert.equal(read({ HostConfig: { NetworkMode: 'host' } }).spec.hostname, '');
  const joined = read({ HostConfig: { NetworkMode: 'container:other' } }).spec;
  assert.deepEqual(joined.network, { mode: 'container', containerId: aContainerId });
  assert.throws(() => read({ Hostname: 'x', HostConfig: { NetworkMode: 'container:other' } }), /Hostname: conflicting options/);
  const host = read({ HostConfig: { NetworkMode: 'host', PortBindings: { '80': [{ HostPort: '80' }] } } });
  assert.deepEqual([host.spec.ports, host.warnings.length], [[], 1]);
});

test('what is mounted by itself comes before what is taken from others, and that before volumes of its own; of several the last one is first', () => {
  const { spec } = read({ Volumes: { '/taken': {}, '/c': {} }, HostConfig: { Binds: ['/a:/b'], VolumesFrom: ['other:ro', `${aContainerId}:rw`] } }, { volumes: ['/taken'] });
  assert.deepEqual(spec.mounts.map(({ declaredAs, target }) => `${target} ${declaredAs}`), ['/b binds', '/taken volumes-from', '/c volumes']);
  assert.equal(spec.mounts[1]?.type === 'volume' && spec.mounts[1].readonly, false);
  assert.deepEqual(spec.volumesFrom?.map(({ containerId: of }) => of), [aContainerId, aContainerId]);
});

test("the image's volumes are the container's own, but where something else is mounted", () => {
  const own = (body: DockerCreateBody, volumes: readonly string[]): (string | undefined)[] => read(body, { volumes }).spec.mounts.filter((mount) => mount.type === 'volume' && mount.declaredAs === 'volumes').map(({ target }) => target);
  assert.deepEqual(own({}, ['/data', '/data/', 'relative', '/']), ['/data', '/relative']);
  assert.deepEqual(own({ Volumes: { '/data': {}, '/mine': {} } }, ['/data']), ['/data', '/mine']);
  assert.deepEqual(own({ HostConfig: { Binds: ['named:/a', '/host:/b'], Tmpfs: { '/c': '' }, Mounts: [{ Type: 'volume', Target: '/d' }] } }, ['/a', '/b', '/c', '/d', '/e']), ['/e']);
  assert.deepEqual(showConfig(read({}, { volumes: ['/data'] }).spec)['Volumes'], { '/data': {} });
  assert.equal(showConfig(read({}).spec)['Volumes'], null);
});

test('paths are cleaned, signals are spelled in one way', () => {
  const { spec } = read({ WorkingDir: '/a/../b/', StopSignal: '15', HostConfig: { Binds: ['/x/../../y/:/z/./w/'] } });
  assert.deepEqual([spec.workingDir, spec.stopSignal, spec.mounts[0]], ['/b/', 'SIGTERM', { type: 'bind', declaredAs: 'binds', source: '/y', target: '/z/w', readonly: false, propagation: 'rprivate', recursive: true, createSource: true }]);
  for (const [text, name] of [['kill', 'SIGKILL'], ['SIGRTMIN+3', 'SIGRTMIN+3'], ['37', 'SIGRTMIN+3'], ['RTMAX', 'SIGRTMAX']] as const) assert.equal(read({ StopSignal: text }).spec.stopSignal, name);
});

test('whatever a spec is read from, showing and reading it again gives the same', () => {
  const path = fc.stringMatching(/^\/[a-z]{1,8}$/);
  const body = fc.record({
    Cmd: fc.array(fc.string().filter((text) => text.isWellFormed() && !text.includes('\0')), { minLength: 1, maxLength: 4 }), Tty: fc.boolean(),
    HostConfig: fc.record({
      Memory: fc.integer({ min: 6_291_456, max: 2 ** 40 }), CpuShares: fc.integer({ min: 0, max: 262_144 }), PidsLimit: fc.integer({ min: -1, max: 1_000 }), Tmpfs: fc.dictionary(path, fc.constantFrom('', 'ro', 'size=1m', 'mode=700,nosuid')),
      RestartPolicy: fc.constantFrom({ Name: '' }, { Name: 'always' }, { Name: 'on-failure', MaximumRetryCount: 2 }), OomScoreAdj: fc.integer({ min: -1_000, max: 1_000 }), ReadonlyRootfs: fc.boolean(),
    }, { requiredKeys: [] }),
  }, { requiredKeys: ['Cmd'] });
  fc.assert(fc.property(body, (given) => {
    const { spec } = read(given as DockerCreateBody);
    const again = parseBody(Buffer.from(JSON.stringify({ ...showConfig(spec), HostConfig: showHostConfig(spec) }))) as DockerCreateBody;
    assert.deepEqual(read(again).spec, spec);
  }), { numRuns: 200 });
});

test('a virtual machine is refused what it cannot have, by name and with a reason, and gets memory where none is asked for', () => {
  const machine = (host: object): string => {
    try {
      read({ HostConfig: { Runtime: 'runv', ...host } });
      return 'taken';
    } catch (error) {
      return (error as Error).message;
    }
  };
  assert.match(machine({ NetworkMode: 'host' }), /^HostConfig\.NetworkMode: .*network stack of its own/);
  assert.equal(machine({ NetworkMode: 'container:other' }), 'taken');
  assert.equal(explainJoin({ runtime: 'runc' }, { name: 'vm', spec: { ...read({}).spec, runtime: 'runv' } }), null);
  assert.match(explainJoin({ runtime: 'runv' }, { name: 'vm', spec: { ...read({}).spec, runtime: 'runv' } }) ?? '', /so is vm: of two/);
  assert.match(explainJoin({ runtime: 'runv' }, { name: 'hosted', spec: { ...read({}).spec, network: { mode: 'host' } } }) ?? '', /which hosted has/);
  assert.match(machine({ Privileged: true }), /^HostConfig\.Privileged: .*kernel of its own/);
  assert.match(machine({ Devices: [{ PathOnHost: '/dev/null' }] }), /^HostConfig\.Devices: /);
  assert.match(machine({ PidMode: 'host' }), /^HostConfig\.PidMode: /);
  assert.match(machine({ SecurityOpt: ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}'] }), /^HostConfig\.SecurityOpt: /);
  assert.match(machine({ Memory: 32 * 2 ** 20 }), /^HostConfig\.Memory: .*at least 96 MiB/);
  assert.match(machine({ Annotations: { 'io.pouch.kernel': 'nosuch' } }), /there is no guest kernel "nosuch"; there are debian-6\.1, old-2\.6\.32/);
  assert.equal(machine({ Annotations: { 'io.pouch.kernel': 'old-2.6.32' }, NetworkMode: 'none', SecurityOpt: ['seccomp=unconfined'], CapAdd: ['NET_ADMIN'] }), 'taken');
  assert.equal(read({ HostConfig: { Runtime: 'runv' } }).spec.resources.memoryBytes, 256 * 2 ** 20);
  assert.equal(read({ HostConfig: { Runtime: 'runv', Memory: 2 ** 30 } }).spec.resources.memoryBytes, 2 ** 30);
  assert.throws(() => read({ HostConfig: { Annotations: { 'io.pouch.kernel': 'debian-6.1' } } }), /the runtime runc shares the kernel of its host/);
});

test('a health check is merged with the image’s, member by member, as Docker does', () => {
  const image = { healthCheck: { test: ['CMD', 'ask'], intervalMs: 10_000, timeoutMs: 2_000, startPeriodMs: 0, retries: 5 } };
  const shown = (asked: object | undefined, defaults: Partial<ImageDefaults> = image) => showConfig(read(asked === undefined ? {} : { Healthcheck: asked }, defaults).spec)['Healthcheck'];
  const ofImage = { Test: ['CMD', 'ask'], Interval: 10_000_000_000, Timeout: 2_000_000_000, Retries: 5 };
  assert.deepEqual(shown(undefined), ofImage);
  assert.deepEqual(shown({}), ofImage);
  assert.deepEqual(shown({ Test: [], Interval: 1_000_000, Retries: 0 }), { ...ofImage, Interval: 1_000_000 });
  assert.deepEqual(shown({ Test: ['NONE'] }), { ...ofImage, Test: ['NONE'] });
  assert.deepEqual(shown({ Test: ['CMD-SHELL', 'x'] }, {}), { Test: ['CMD-SHELL', 'x'] });
  const { spec, warnings } = read({ Healthcheck: { Interval: 1_000_000 } });
  assert.deepEqual([spec.healthCheck, warnings.length], [undefined, 1], 'there is nothing to run');
});

test('a health check that cannot be is refused by its member', () => {
  const refused = (asked: object): string => {
    try {
      read({ Healthcheck: asked });
    } catch (error) {
      return (error as Error).message;
    }
    return 'accepted';
  };
  for (const member of ['Interval', 'Timeout', 'StartPeriod']) assert.match(refused({ Test: ['CMD', 'x'], [member]: 999_999 }), new RegExp(`^Healthcheck\\.${member}: it cannot be less than 1ms`));
  assert.match(refused({ Test: ['ASK', 'x'] }), /^Healthcheck\.Test\[0\]: "ASK" must be NONE, CMD or CMD-SHELL/);
  assert.match(refused({ Test: ['CMD'] }), /^Healthcheck\.Test: CMD must be followed by what is to be run/);
  assert.equal(refused({ Test: ['CMD', 'x'], Interval: 1_000_000 }), 'accepted');
});
