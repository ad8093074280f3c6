// Specs that runc itself judges: each setting is seen to take effect inside a real container made of busybox.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { buildProcess, buildSpec, parseSeccompProfile, readHostDevices, readHostFacts, resolveDevices, resolveUser, stringifySpec, type SpecInput } from '@pouch/oci';

const run = promisify(execFile);
const missing = process.getuid?.() !== 0 ? 'not root' : !existsSync('/bin/busybox') ? 'no /bin/busybox (busybox-static)' : !['/usr/sbin/runc', '/usr/bin/runc'].some(existsSync) ? 'no runc' : false;
const root = { uid: 0, gid: 0, additionalGids: [], home: '/root' };
let dir = '';
let rootfs = '';
let stateDir = '';

before(async () => {
  if (missing !== false) return;
  dir = await mkdtemp(join(tmpdir(), 'pouch-test-oci-'));
  rootfs = join(dir, 'rootfs');
  stateDir = join(dir, 'state');
  for (const name of ['bin', 'etc', 'proc', 'sys', 'dev', 'tmp', 'root']) await mkdir(join(rootfs, name), { recursive: true });
  await copyFile('/bin/busybox', join(rootfs, 'bin/busybox'));
  for (const name of ['sh', 'cat', 'id', 'hostname', 'grep', 'touch', 'ulimit', 'sleep', 'mount', 'unshare', 'ls', 'stat', 'env', 'chroot']) await symlink('busybox', join(rootfs, 'bin', name));
  await writeFile(join(rootfs, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/var/www:/bin/sh\n');
  await writeFile(join(rootfs, 'etc/group'), 'root:x:0:\nweb:x:33:\nextra:x:44:web\n');
});
after(async () => { if (dir !== '') await rm(dir, { recursive: true, force: true }); });

/** Makes a bundle; its cgroup has no parent of ours, which nobody would remove. */
async function bundleOf(id: string, different: Partial<SpecInput>): Promise<string> {
  const built = buildSpec({ args: ['sh'], env: [], cwd: '/', user: root, hostname: 'box', tty: false, rootfsPath: rootfs, cgroupsPath: `/${id}`, ...different }, readHostFacts());
  assert.ok(built.ok, built.ok ? '' : built.refusal.message);
  const bundle = join(dir, id);
  await mkdir(bundle);
  await writeFile(join(bundle, 'config.json'), stringifySpec(built.spec));
  return bundle;
}

const newId = () => `pouch-test-${randomBytes(6).toString('hex')}`;

async function inContainer(script: string, different: Partial<SpecInput> = {}): Promise<{ code: number; output: string }> {
  const id = newId();
  const bundle = await bundleOf(id, { args: ['sh', '-c', script], ...different });
  try {
    const { stdout, stderr } = await run('runc', ['--root', stateDir, 'run', '--bundle', bundle, id], { timeout: 60_000 });
    return { code: 0, output: stdout + stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, output: stdout + stderr };
  } finally {
    await run('runc', ['--root', stateDir, 'delete', '--force', id]).catch(() => undefined); // gone already after an ordinary end
  }
}

async function says(script: string, expected: RegExp, different: Partial<SpecInput> = {}): Promise<void> {
  const { output } = await inContainer(script, different);
  assert.match(output, expected);
}

const settings: [string, string, RegExp, Partial<SpecInput>][] = [
  ['the default profile lets a shell work', 'echo fine; grep Seccomp: /proc/self/status', /fine\nSeccomp:\t2/, {}],
  ['unconfined has no filter', 'grep Seccomp: /proc/self/status', /Seccomp:\t0/, { seccomp: 'unconfined' }],
  ['the default profile refuses new namespaces', 'unshare -U true', /not permitted/, {}],
  ['hostname', 'hostname', /^box\n/, {}],
  ['no capabilities after dropping all', 'grep CapEff /proc/self/status', /CapEff:\t0{16}/, { capDrop: ['ALL'] }],
  ['one capability added to none', 'grep CapEff /proc/self/status', /CapEff:\t0000000000000001/, { capDrop: ['ALL'], capAdd: ['chown'] }],
  ['read-only root', 'touch /x && echo written', /Read-only/, { readonlyRootfs: true }],
  ['no new privileges', 'grep NoNewPrivs /proc/self/status', /NoNewPrivs:\t1/, { noNewPrivileges: true }],
  ['ulimits', 'ulimit -n', /^512\n/, { resources: { ulimits: [{ name: 'nofile', soft: 512, hard: 512 }] } }],
  ['sysctls of the network', 'cat /proc/sys/net/ipv4/ip_forward', /^1\n/, { sysctls: { 'net.ipv4.ip_forward': '1' } }],
  ['low ports are open to users by default', 'cat /proc/sys/net/ipv4/ip_unprivileged_port_start', /^0\n/, {}],
  ['domain name', 'cat /proc/sys/kernel/domainname', /^example\.org\n/, { domainname: 'example.org' }],
  ['tmpfs with its size', 'mount | grep " /scratch "', /size=1024k/, { mounts: [{ type: 'tmpfs', target: '/scratch', sizeBytes: 1 << 20 }] }],
  ['shared memory with its size', 'mount | grep " /dev/shm "', /size=8192k/, { resources: { shmSizeBytes: 8 << 20 } }],
  ['a user and its home', 'id -u; echo $HOME', /^33\n\/var\/www\n/, { user: { uid: 33, gid: 33, additionalGids: [44], home: '/var/www' } }],
  ['a user without root has no capabilities', 'grep CapEff /proc/self/status', /CapEff:\t0{16}/, { user: { uid: 33, gid: 33, additionalGids: [], home: '/' } }],
  ['privileged sees /sys writable', 'mount | grep "on /sys type"', /rw/, { privileged: true }],
  ['masked paths hide', 'ls /sys/firmware | grep -c .', /^0\n/, {}],
  ['environment', 'env', /A=b\n/, { env: ['A=b'] }],
];
for (const [name, script, expected, different] of settings) test(`takes effect: ${name}`, { skip: missing }, async () => await says(script, expected, different));

test('takes effect: memory and number of processes', { skip: missing }, async () => {
  const facts = readHostFacts();
  const file = (v1: string, v2: string) => (facts.cgroupVersion === 2 ? `/sys/fs/cgroup/${v2}` : `/sys/fs/cgroup/${v1}`);
  await says(`cat ${file('memory/memory.limit_in_bytes', 'memory.max')}`, /^33554432\n/, { resources: { memoryBytes: 32 << 20 } });
  await says(`cat ${file('pids/pids.max', 'pids.max')}`, /^17\n/, { resources: { pidsLimit: 17 } });
});

test('takes effect: a device, with what may be done with it', { skip: missing }, async () => {
  const resolved = await resolveDevices([{ pathOnHost: '/dev/zero', pathInContainer: '/dev/nothing', permissions: 'r' }]);
  assert.ok(resolved.ok);
  await says('stat -c %t:%T /dev/nothing', /^1:5\n/, { devices: resolved.devices });
  const none = await resolveDevices([{ pathOnHost: '/dev/no-such-thing', pathInContainer: '', permissions: 'rwm' }]);
  assert.match(none.ok ? '' : none.refusal.message, /no-such-thing.*no such file/);
});

test('takes effect: a custom seccomp profile', { skip: missing }, async () => {
  const parsed = parseSeccompProfile(JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['chroot'], action: 'SCMP_ACT_ERRNO' }] }));
  assert.ok(parsed.ok);
  await says('chroot / /bin/true', /not permitted/, { seccomp: parsed.profile });
});

test('users are looked up in the image', async () => {
  const files: Record<string, string> = { '/etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/var/www:/bin/sh\n', '/etc/group': 'web:x:33:\nextra:x:44:web\n' };
  const resolve = async (asked: string, add: string[] = []) => await resolveUser((path) => Promise.resolve(files[path] ?? null), asked, add);
  assert.deepEqual(await resolve(''), { ok: true, user: { uid: 0, gid: 0, additionalGids: [], home: '/root' } });
  assert.deepEqual(await resolve('web'), { ok: true, user: { uid: 33, gid: 33, additionalGids: [44], home: '/var/www' } });
  assert.deepEqual(await resolve('web:extra'), { ok: true, user: { uid: 33, gid: 44, additionalGids: [], home: '/var/www' } });
  assert.deepEqual(await resolve('1000:2000', ['extra']), { ok: true, user: { uid: 1000, gid: 2000, additionalGids: [44], home: '/' } });
  const unknown = await resolve('nobody-here');
  assert.match(unknown.ok ? '' : unknown.refusal.message, /unable to find user nobody-here/);
  const group = await resolve('web:nope');
  assert.match(group.ok ? '' : group.refusal.message, /unable to find group nope/);
});

test('takes effect: privileged has the devices of the host, and may mount', { skip: missing }, async () => {
  await says('mount -t tmpfs none /tmp && echo mounted; grep Seccomp: /proc/self/status; ls /dev/fuse /dev/kvm /dev/loop-control 2>/dev/null | wc -l', /^mounted\nSeccomp:\t0\n\d/, { privileged: true, hostDevices: await readHostDevices() });
});

test('takes effect: generated files over a directory of the person\'s', { skip: missing }, async () => {
  const etc = join(dir, 'my-etc');
  await mkdir(etc);
  await writeFile(join(etc, 'motd'), 'mine\n');
  await writeFile(join(dir, 'hosts'), '10.9.8.7\tme\n');
  const mounts = [{ type: 'bind' as const, source: etc, target: '/etc', readonly: false }];
  await says('cat /etc/motd /etc/hosts; touch /etc/hosts || echo fixed', /^mine\n10\.9\.8\.7\tme\n(?:.|\n)*fixed/, { mounts, generatedFiles: { hostsPath: join(dir, 'hosts') }, readonlyRootfs: true });
});

test('starts where more is asked for than the host may give', { skip: missing }, async () => {
  await says('echo started', /^started\n/, { resources: { oomScoreAdj: -500, ulimits: [{ name: 'nofile', soft: 1 << 20, hard: 1 << 20 }, { name: 'core', soft: -1, hard: -1 }] } });
});

test('takes effect: swap, CPUs and a bound on processes that cannot be passed', { skip: missing }, async () => {
  const { cgroupVersion, limitsSwap } = readHostFacts();
  const cpu = cgroupVersion === 2 ? 'cat /sys/fs/cgroup/cpu.max' : 'cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us';
  await says(cpu, /^50000\b/, { resources: { nanoCpus: 5e8 } });
  if (limitsSwap) await says(cgroupVersion === 2 ? 'cat /sys/fs/cgroup/memory.swap.max' : 'cat /sys/fs/cgroup/memory/memory.memsw.limit_in_bytes', cgroupVersion === 2 ? /^33554432\n/ : /^67108864\n/, { resources: { memoryBytes: 32 << 20 } });
  await says('for i in 1 2 3 4 5 6 7 8 9; do sleep 9 & done', /can't fork|Resource temporarily unavailable/, { resources: { pidsLimit: 5 } });
});

test('an exec runs with its own user and directory under the container\'s rules', { skip: missing }, async () => {
  const id = newId();
  const bundle = await bundleOf(id, { args: ['sleep', '300'], capDrop: ['ALL'], noNewPrivileges: true });
  try {
    // The container keeps its standard streams, so they must not be pipes that we wait for.
    const [code] = (await once(spawn('runc', ['--root', stateDir, 'run', '--detach', '--bundle', bundle, id], { stdio: 'ignore' }), 'exit')) as [number | null];
    assert.equal(code, 0);
    const user = { uid: 33, gid: 33, additionalGids: [44], home: '/var/www' };
    const script = 'id -u; id -G; pwd; echo $HOME $A; grep -E "NoNewPrivs|CapBnd|Seccomp:" /proc/self/status';
    const built = buildProcess({ args: ['sh', '-c', script], env: ['A=b'], cwd: '/tmp', user, hostname: 'box', tty: false, capDrop: ['ALL'], noNewPrivileges: true }, readHostFacts());
    assert.ok(built.ok);
    const file = join(bundle, 'process.json');
    await writeFile(file, stringifySpec(built.process));
    const { stdout } = await run('runc', ['--root', stateDir, 'exec', '--process', file, id], { timeout: 60_000 });
    assert.match(stdout, /^33\n33 44\n\/tmp\n\/var\/www b\nCapBnd:\t0{16}\nNoNewPrivs:\t1\nSeccomp:\t2\n$/);
  } finally {
    await run('runc', ['--root', stateDir, 'delete', '--force', id]);
  }
});
