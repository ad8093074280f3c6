// The docker CLI on a cluster of its own: what is set for a container takes effect inside it, and what does not is refused by its name.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { startTestCluster } from '../../fixtures/cluster.ts';
import { begin, Clients, eventually, unavailable } from './clients.ts';

const skip = unavailable('docker');
let on: Clients;

before(async () => { if (skip === false) on = new Clients(await startTestCluster()); });
after(async () => {
  await on?.close();
  await on?.cluster.stop();
});

const lines = (text: string): string[] => text.split('\n');
const sh = async (flags: readonly string[], script: string): Promise<string> => await on.run(flags, 'sh', '-c', script);

/** What the kernel holds a container with limits to, by control groups of either version. */
async function cgroupValue(v2: string, v1: string): Promise<string> {
  return await sh(['-m', '96m', '--memory-swap', '96m', '--cpus', '0.5', '--pids-limit', '77', '--cpu-shares', '512'], `cat /sys/fs/cgroup/${v2} 2>/dev/null || cat /sys/fs/cgroup/${v1}`);
}

/** The body that a loopback address of this host answers with. */
async function fetched(port: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port: Number(port), path: '/', agent: false, timeout: 5_000 }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => { text += piece; });
      response.once('end', () => resolve(text));
    });
    request.once('timeout', () => request.destroy(new Error('no answer'))).once('error', reject);
  });
}

describe('process and names', { skip, concurrency: 3 }, () => {
  test('-e, -w, -u, -h, --domainname, -l, --entrypoint, --group-add', async () => {
    const flags = ['-e', 'A=b c', '-e', 'EMPTY=', '-w', '/made/here', '-u', 'nobody', '-h', 'inside', '--domainname', 'example.test', '-l', 'a=b', '--group-add', 'users'];
    assert.deepEqual(lines(await sh(flags, 'echo "$A"; echo "${EMPTY-unset}"; pwd; id -un; hostname; cat /proc/sys/kernel/domainname; id -G | tr " " "\\n" | grep -c "^100$"')), ['b c', '', '/made/here', 'nobody', 'inside', 'example.test', '1']);
    assert.equal(await on.run(['-u', '1234:567'], 'id', '-u'), '1234');
    assert.equal(await on.run(['-u', '1234:567'], 'id', '-g'), '567');
    assert.equal(await on.run(['--entrypoint', 'echo'], 'one', 'two'), 'one two');
    assert.match((await on.tryDocker(['run', '--rm', '-u', 'stranger', 'busybox', 'true'])).stderr, /unable to find user stranger: no matching entries in passwd file/);
  });

  test('--init reaps, and passes signals on', async () => {
    assert.equal(await sh(['--init'], 'echo $$ | grep -vx 1 > /dev/null && echo behind an init'), 'behind an init');
    await on.d('run', '-d', '--init', '--name', 'with-init', '--network', 'none', 'busybox', 'sleep', '1000');
    await on.d('stop', '-t', '30', 'with-init');
    assert.equal(await on.inspect('with-init', '{{.State.ExitCode}}'), '143');
  });

  test('--annotation is kept, and --runtime is looked up', async () => {
    // Older docker CLIs have no flag for it.
    await on.p('create', '--name', 'noted', '--annotation', 'a.key=a value', 'busybox', 'true');
    assert.equal(await on.p('inspect', '-f', '{{index .HostConfig.Annotations "a.key"}}', 'noted'), 'a value');
    const unknown = await on.tryDocker(['run', '--rm', '--runtime', 'nope', 'busybox', 'true']);
    assert.notEqual(unknown.code, 0);
    assert.match(unknown.stderr, /nope.*runc/s);
    assert.equal(await on.run(['--runtime', 'runc'], 'echo', 'runs'), 'runs');
  });

  test('--runtime crun', async (context) => {
    const info = JSON.parse(await on.d('info', '--format', '{{json .}}')) as { Runtimes: Record<string, object>; Warnings: string[] | null };
    if (info.Runtimes['crun'] === undefined) return context.skip('crun is not installed');
    const refuses = (info.Warnings ?? []).find((warning) => warning.includes('crun'));
    if (refuses !== undefined) return context.skip(refuses);
    assert.equal(await on.run(['--runtime', 'crun'], 'echo', 'by crun'), 'by crun');
  });
});

describe('files', { skip, concurrency: 3 }, () => {
  test('-v and --mount: read-write and read-only binds', async () => {
    const dir = join(on.cluster.directory, 'bound');
    await mkdir(dir);
    await writeFile(join(dir, 'file'), 'from the host\n');
    assert.equal(await sh(['-v', `${dir}:/data`], 'cat /data/file; echo back > /data/reply'), 'from the host');
    assert.equal(await readFile(join(dir, 'reply'), 'utf8'), 'back\n');
    const script = 'cat /data/file; touch /data/x 2>&1 || true';
    assert.match(await sh(['-v', `${dir}:/data:ro`], script), /^from the host\ntouch: .*Read-only file system$/);
    assert.match(await sh(['--mount', `type=bind,source=${dir},target=/data,readonly`], script), /Read-only file system$/);
    assert.equal(await sh(['--mount', `type=bind,source=${join(dir, 'file')},target=/one`], 'cat /one'), 'from the host');
    assert.match((await on.tryDocker(['run', '--rm', '--mount', `type=bind,source=${dir}/missing,target=/data`, 'busybox', 'true'])).stderr, /bind source path does not exist/);
    assert.equal(await sh(['-v', `${dir}/made:/data`], 'ls -A /data'), '');
    assert.ok((await stat(join(dir, 'made'))).isDirectory(), 'the source of -v is made where it is missing');
  });

  test('--tmpfs, --shm-size, --read-only', async () => {
    assert.match(await sh(['--tmpfs', '/scratch:size=3m,mode=1700'], 'grep " /scratch " /proc/mounts; stat -c %a /scratch'), /tmpfs.*size=3072k[^]*1700$/);
    assert.match(await sh(['--mount', 'type=tmpfs,target=/scratch,tmpfs-size=2m'], 'grep " /scratch " /proc/mounts'), /size=2048k/);
    assert.match(await sh(['--shm-size', '5m'], 'grep " /dev/shm " /proc/mounts'), /size=5120k/);
    assert.match(await sh(['--read-only', '--tmpfs', '/tmp'], 'touch /tmp/x && ! touch /x 2>&1'), /Read-only file system/);
  });

  test('--device, --privileged, --cap-drop, --cap-add, --security-opt', async () => {
    const caps = async (...flags: string[]): Promise<bigint> => BigInt(`0x${(await sh(flags, 'grep CapEff /proc/self/status')).split(':')[1]?.trim() ?? ''}`);
    const usual = await caps();
    assert.equal(await caps('--cap-drop', 'ALL'), 0n);
    assert.equal(await caps('--cap-drop', 'ALL', '--cap-add', 'NET_BIND_SERVICE'), 1n << 10n);
    assert.equal(await caps('--cap-drop', 'CHOWN'), usual & ~1n);
    assert.ok((await caps('--privileged')) > usual);
    assert.match(await sh([], 'grep Seccomp: /proc/self/status'), /2$/);
    assert.match(await sh(['--security-opt', 'seccomp=unconfined'], 'grep Seccomp: /proc/self/status'), /0$/);
    assert.match(await sh(['--privileged'], 'grep Seccomp: /proc/self/status'), /0$/);
    assert.match(await sh(['--security-opt', 'no-new-privileges'], 'grep NoNewPrivs /proc/self/status'), /1$/);
    assert.equal(await sh(['--device', '/dev/null:/dev/nothing'], 'test -c /dev/nothing && echo x > /dev/nothing && echo there'), 'there');
  });
});

describe('limits', { skip, concurrency: 3 }, () => {
  test('-m, --cpus, --cpu-shares, --pids-limit', async () => {
    assert.equal(await cgroupValue('memory.max', 'memory/memory.limit_in_bytes'), String(96 << 20));
    assert.match(await cgroupValue('cpu.max', 'cpu/cpu.cfs_quota_us'), /^50000( 100000)?$/);
    assert.equal(await cgroupValue('pids.max', 'pids/pids.max'), '77');
    assert.doesNotMatch(await cgroupValue('cpu.weight', 'cpu/cpu.shares'), /^(100|1024)$/); // how shares become a weight is the runtime's affair
    assert.equal(await sh(['--cpuset-cpus', '0'], 'grep Cpus_allowed_list /proc/self/status | cut -f2'), '0');
  });

  test('--ulimit, --sysctl, --oom-score-adj', async () => {
    assert.equal(await sh(['--ulimit', 'nofile=300:400'], 'ulimit -n; ulimit -Hn'), '300\n400');
    assert.equal(await sh(['--sysctl', 'net.ipv4.ip_unprivileged_port_start=99'], 'cat /proc/sys/net/ipv4/ip_unprivileged_port_start'), '99');
    assert.equal(await sh(['--oom-score-adj', '700'], 'cat /proc/self/oom_score_adj'), '700');
    assert.match((await on.tryDocker(['run', '--rm', '--sysctl', 'kernel.panic=1', 'busybox', 'true'])).stderr, /kernel\.panic/);
  });

  test('--log-opt max-size and max-file bound what logs keep', async () => {
    await on.d('run', '--name', 'chatty', '--network', 'none', '--log-opt', 'max-size=20k', '--log-opt', 'max-file=2', 'busybox', 'seq', '1', '30000');
    const kept = await on.d('logs', 'chatty');
    assert.ok(kept.endsWith('\n29999\n30000') && kept.length < 60_000 && kept.length > 5_000, `${kept.length} bytes are kept`);
    assert.equal(await on.inspect('chatty', '{{.HostConfig.LogConfig.Type}}'), 'json-file');
    await on.d('rm', 'chatty');
  });
});

describe('networks', { skip, concurrency: 2 }, () => {
  test('none, host, and that of another container', async () => {
    assert.equal(await sh([], 'ls /sys/class/net'), 'lo');
    const outside = lines(readFileSync('/proc/net/dev', 'utf8')).slice(2).map((line) => line.split(':')[0]?.trim()).filter((name) => name !== '' && name !== undefined && !name.startsWith('veth'));
    const seen = lines(await on.d('run', '--rm', '--network', 'host', 'busybox', 'ls', '/sys/class/net'));
    assert.ok(outside.includes('lo') && seen.includes('lo') && seen.includes(on.cluster.config.bridge), seen.join(' '));
    await on.d('run', '-d', '--name', 'owner', '-h', 'the-owner', 'busybox', 'sleep', '1000');
    const address = await on.inspect('owner', '{{.NetworkSettings.IPAddress}}');
    assert.ok(address.startsWith(on.cluster.config.subnet.split('.').slice(0, 3).join('.')), address);
    assert.match(await on.d('run', '--rm', '--network', 'container:owner', 'busybox', 'ip', '-4', 'addr', 'show', 'eth0'), new RegExp(`inet ${address.replaceAll('.', '\\.')}/`));
    await on.d('rm', '-f', 'owner');
  });

  test('-p and -P: published ports answer on a loopback address of this host, and only while the container runs', async () => {
    const serve = ['sh', '-c', 'echo published > /index.html; exec httpd -f -p 8080 -h /'];
    await on.d('run', '-d', '--name', 'web', '-p', '127.0.0.1::8080', 'busybox', ...serve);
    const at = async (name: string): Promise<string> => (await on.d('port', name, '8080/tcp')).split('\n')[0] ?? '';
    const published = await at('web');
    assert.match(published, /^127\.0\.0\.1:\d+$/);
    const port = published.split(':')[1] ?? '';
    await eventually('it answers', async () => (await fetched(port).catch(() => '')).includes('published'));
    const curl = await begin('curl', ['-sS', '--max-time', '20', `http://127.0.0.1:${port}/`]).ended.catch(() => null);
    if (curl !== null) assert.equal(curl.stdout, 'published\n', curl.stderr);
    assert.match(await on.d('ps', '-f', `publish=${port}`, '--format', '{{.Names}} {{.Ports}}'), new RegExp(`web 127\\.0\\.0\\.1:${port}->8080/tcp`));
    const taken = await on.tryDocker(['run', '--rm', '-p', `127.0.0.1:${port}:8080`, 'busybox', 'true']);
    assert.match(taken.stderr, /already/);
    await on.d('stop', '-t', '0', 'web');
    await assert.rejects(fetched(port));

    await on.d('run', '-d', '--name', 'all', '-P', '--expose', '8080', 'busybox', ...serve);
    const open = (await at('all')).split(':').at(-1) ?? '';
    await eventually('it answers too', async () => (await fetched(open).catch(() => '')).includes('published'));
    await on.d('rm', '-f', 'all', 'web');
  });

  test('--add-host, --dns, the own name, and the world by the bridge', async () => {
    const flags = ['--network', 'bridge', '--add-host', 'friend:10.1.2.3', '--dns', '10.9.8.7', '--dns-search', 'corp.test', '--dns-option', 'ndots:3', '-h', 'me'];
    const text = await on.d('run', '--rm', ...flags, 'busybox', 'sh', '-c', 'cat /etc/hosts /etc/resolv.conf /etc/hostname; ip route');
    assert.match(text, /10\.1\.2\.3\tfriend/);
    assert.match(text, new RegExp(`${on.cluster.config.subnet.split('.').slice(0, 3).join('\\.')}\\.\\d+\\tme`));
    assert.match(text, /nameserver 10\.9\.8\.7/);
    assert.match(text, /search corp\.test/);
    assert.match(text, /options ndots:3/);
    assert.match(text, /^default via /m);
  });
});

describe('settings that do not take effect', { skip, concurrency: 3 }, () => {
  const refused: readonly (readonly [flags: readonly string[], field: RegExp])[] = [
    [['--volumes-from', 'other'], /VolumesFrom/],
    [['--blkio-weight', '300'], /BlkioWeight/],
    [['--cgroupns', 'host'], /CgroupnsMode/],
    [['--health-cmd', 'true'], /Healthcheck/],
    [['--volume-driver', 'other', '-v', 'named:/data'], /Volume|Binds/],
    [['--link', 'other'], /Links/],
    [['--gpus', 'all'], /DeviceRequests/],
    [['--pid', 'host'], /PidMode/],
    [['--uts', 'host'], /UTSMode/],
    [['--cgroup-parent', '/other'], /CgroupParent/],
    [['--log-driver', 'syslog'], /LogConfig/],
    [['--network', 'my-net'], /my-net/],
  ];
  for (const [flags, field] of refused) {
    test(`docker create ${flags.join(' ')} names what is refused`, async () => {
      const { code, stderr } = await on.tryDocker(['create', ...flags, 'busybox', 'true']);
      assert.notEqual(code, 0);
      assert.match(stderr, field);
    });
  }
});
