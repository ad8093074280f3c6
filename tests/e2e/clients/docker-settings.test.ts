// The docker CLI on a cluster of its own: what is set for a container takes effect inside it, and what does not is refused by its name.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { startTestCluster, type TestCluster } from '../../fixtures/cluster.ts';
import { begin, Clients, eventually, unavailable } from './clients.ts';
import { machines, runtimes } from './runtimes.ts';

const skip = unavailable('docker');
let cluster: TestCluster;
let on: Clients;

before(async () => { if (skip === false) cluster = await startTestCluster({ machines }); });
after(async () => { await cluster?.stop(); });

const caps = async (...flags: string[]): Promise<bigint> => BigInt(`0x${(await sh(flags, 'grep CapEff /proc/self/status')).split(':')[1]?.trim() ?? ''}`);
const lines = (text: string): string[] => text.split('\n');
/** What `docker create` says where it refuses these flags. */
const refusal = async (...flags: string[]): Promise<string> => {
  const { code, stderr } = await on.tryDocker(['create', ...flags, 'busybox', 'true']);
  assert.notEqual(code, 0, flags.join(' '));
  return stderr;
};
const sh = async (flags: readonly string[], script: string): Promise<string> => await on.run(flags, 'sh', '-c', script);

/** What the host's control groups, of either version, hold a container or its virtual machine to. */
async function cgroupValue(name: string, v2: string, v1: string): Promise<string> {
  const below = [cluster.config.env['POUCH_CGROUP_PARENT'] ?? '', await on.inspect(name, '{{.Id}}')];
  const candidates = [join('/sys/fs/cgroup', ...below, v2), join('/sys/fs/cgroup', v1.split('/')[0] ?? '', ...below, v1.split('/')[1] ?? '')];
  const found = candidates.find((path) => existsSync(path));
  assert.ok(found !== undefined, `none of ${candidates.join(', ')}`);
  return readFileSync(found, 'utf8').trim();
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

for (const runtime of runtimes) describe(`by ${runtime.name}`, { skip: skip || runtime.skip, timeout: 300_000 }, () => {
  before(() => { on = new Clients(cluster, runtime.name); });
  after(async () => {
    await on.close();
    await on.removeAll();
  });

  describe('process and names', { skip, concurrency: runtime.atOnce }, () => {
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

    test('--runtime crun', { skip: !runtime.sharesKernel && 'it is not this runtime' }, async (context) => {
      const info = JSON.parse(await on.d('info', '--format', '{{json .}}')) as { Runtimes: Record<string, object>; Warnings: string[] | null };
      if (info.Runtimes['crun'] === undefined) return context.skip('crun is not installed');
      const refuses = (info.Warnings ?? []).find((warning) => warning.includes('crun'));
      if (refuses !== undefined) return context.skip(refuses);
      assert.equal(await on.run(['--runtime', 'crun'], 'echo', 'by crun'), 'by crun');
    });
  });

  describe('files', { skip, concurrency: runtime.atOnce }, () => {
    test('-v and --mount: read-write and read-only binds', async () => {
      const dir = join(on.cluster.directory, `bound-${runtime.name}`);
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

    test('--cap-drop, --cap-add, --security-opt', async () => {
      const usual = await caps();
      assert.equal(await caps('--cap-drop', 'ALL'), 0n);
      assert.equal(await caps('--cap-drop', 'ALL', '--cap-add', 'NET_BIND_SERVICE'), 1n << 10n);
      assert.equal(await caps('--cap-drop', 'CHOWN'), usual & ~1n);
      assert.match(await sh(['--security-opt', 'no-new-privileges'], 'grep NoNewPrivs /proc/self/status'), /1$/);
      // A profile keeps calls from the host's kernel, which those of a guest never reach.
      assert.match(await sh([], 'grep Seccomp: /proc/self/status'), runtime.sharesKernel ? /2$/ : /0$/);
      assert.match(await sh(['--security-opt', 'seccomp=unconfined'], 'grep Seccomp: /proc/self/status'), /0$/);
    });

    test('--device and --privileged: of the host\'s kernel', async () => {
      const device = ['--device', '/dev/null:/dev/nothing'];
      if (runtime.sharesKernel) {
        assert.equal(await sh(device, 'test -c /dev/nothing && echo x > /dev/nothing && echo there'), 'there');
        assert.match(await sh(['--privileged'], 'grep Seccomp: /proc/self/status'), /0$/);
        assert.ok(await caps('--privileged') > await caps());
      } else {
        assert.match(await refusal(...device), /HostConfig\.Devices: .*virtual machine/);
        assert.match(await refusal('--privileged'), /HostConfig\.Privileged: .*virtual machine/);
      }
    });

    test('what of mounts is the host\'s kernel\'s: propagation, sockets, no submounts', async () => {
      const dir = join(on.cluster.directory, `propagated-${runtime.name}`);
      await mkdir(dir);
      const shared = ['-v', `${dir}:/data:rslave`];
      const socket = ['-v', `${on.cluster.socket}:/run/api.sock`];
      const flat = ['--mount', `type=bind,source=${dir},target=/data,bind-nonrecursive`];
      if (runtime.sharesKernel) {
        assert.equal(await sh([...shared, ...socket], 'test -S /run/api.sock && ls -A /data'), '');
        assert.equal(await sh(flat, 'ls -A /data'), '');
      } else {
        assert.match(await refusal(...shared), /HostConfig\.Binds: .*rslave/);
        assert.match(await refusal(...flat), /HostConfig\.Mounts: .*recursive/);
        assert.match((await on.tryDocker(['run', '--rm', ...socket, 'busybox', 'true'])).stderr, /a socket is of the host's kernel/);
      }
    });
  });

  describe('limits', { skip, concurrency: runtime.atOnce }, () => {
    test('-m, --cpus, --cpu-shares, --cpuset-cpus', async () => {
      await on.d('run', '-d', '--name', 'limited', '--network', 'none', '-m', '128m', '--memory-swap', '128m', '--cpus', '0.5', '--cpu-shares', '512', '--cpuset-cpus', '0', 'busybox', 'sleep', '1000');
      assert.match(await cgroupValue('limited', 'cpu.max', 'cpu/cpu.cfs_quota_us'), /^50000( 100000)?$/);
      assert.doesNotMatch(await cgroupValue('limited', 'cpu.weight', 'cpu/cpu.shares'), /^(100|1024)$/); // how shares become a weight is the runtime's affair
      assert.equal(await cgroupValue('limited', 'cpuset.cpus', 'cpuset/cpuset.cpus'), '0');
      const held = Number(await cgroupValue('limited', 'memory.max', 'memory/memory.limit_in_bytes'));
      const insideKiB = Number((await on.d('exec', 'limited', 'sh', '-c', 'grep MemTotal: /proc/meminfo')).replace(/[^0-9]/g, ''));
      if (runtime.sharesKernel) assert.equal(held, 128 << 20);
      else assert.ok(insideKiB < 128 << 10 && insideKiB > 64 << 10 && held > 128 << 20, `the guest has ${insideKiB} KiB, its machine ${held} bytes`);
      await on.d('rm', '-f', 'limited');
    });

    test('--memory-swap beyond --memory', { skip: runtime.sharesKernel && 'whether the host has swap is its own affair' }, async () => {
      assert.match(await refusal('-m', '128m', '--memory-swap', '256m'), /HostConfig\.MemorySwap: .*no swap/);
      assert.match(await refusal('-m', '128m', '--memory-swap', '-1'), /HostConfig\.MemorySwap: .*no swap/);
      assert.match(await refusal('-m', '64m'), /HostConfig\.Memory: .*at least 96 MiB/);
    });

    test('--pids-limit', async () => {
      const forks = ['sh', '-c', 'n=0; while [ $n -lt 20 ]; do sleep 1000 & n=$((n + 1)); done; echo all'];
      const { code, stdout, stderr } = await on.tryDocker(['run', '--rm', '--network', 'none', '--pids-limit', '10', 'busybox', ...forks]);
      assert.notEqual(code, 0);
      assert.deepEqual([stdout, /can't fork/.test(stderr)], ['', true], stderr);
      assert.equal(await on.run(['--pids-limit', '100'], ...forks), 'all');
    });

    test('--ulimit, --sysctl, --oom-score-adj', async () => {
      assert.equal(await sh(['--ulimit', 'nofile=300:400'], 'ulimit -n; ulimit -Hn'), '300\n400');
      assert.equal(await sh(['--sysctl', 'net.ipv4.ip_unprivileged_port_start=99'], 'cat /proc/sys/net/ipv4/ip_unprivileged_port_start'), '99');
      assert.equal(await sh(['--oom-score-adj', '700'], 'cat /proc/self/oom_score_adj'), '700');
      assert.match((await on.tryDocker(['run', '--rm', '--sysctl', 'kernel.panic=1', 'busybox', 'true'])).stderr, /kernel\.panic/);
    });

    test('--log-opt max-size and max-file bound what logs keep', async () => {
      await on.d('run', '-d', '--name', 'chatty', '--network', 'none', '--log-opt', 'max-size=20k', '--log-opt', 'max-file=2', 'busybox', 'seq', '1', '30000');
      await on.untilStatus('chatty', 'exited'); // with nobody attached, for whom it would be kept longer
      const kept = await on.d('logs', 'chatty');
      assert.ok(kept.endsWith('\n29999\n30000') && kept.length < 60_000 && kept.length > 5_000, `${kept.length} bytes are kept`);
      assert.equal(await on.inspect('chatty', '{{.HostConfig.LogConfig.Type}}'), 'json-file');
      await on.d('rm', 'chatty');
    });
  });

  describe('networks', { skip, concurrency: runtime.atOnce }, () => {
    test('none, host, and that of another container, whatever its runtime', async () => {
      assert.equal(await sh([], 'ls /sys/class/net'), 'lo');
      const host = ['--network', 'host'];
      if (runtime.sharesKernel) {
        const outside = lines(readFileSync('/proc/net/dev', 'utf8')).slice(2).map((line) => line.split(':')[0]?.trim()).filter((name) => name !== '' && name !== undefined && !name.startsWith('veth'));
        const seen = lines(await on.d('run', '--rm', ...host, 'busybox', 'ls', '/sys/class/net'));
        assert.ok(outside.includes('lo') && seen.includes('lo') && seen.includes(on.cluster.config.bridge), seen.join(' '));
      } else {
        assert.match(await refusal(...host), /HostConfig\.NetworkMode: .*network stack of its own/);
      }
      await on.d('run', '-d', '--name', 'owner', '-h', 'the-owner', '--runtime', 'runc', 'busybox', 'sleep', '1000');
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
});

describe('settings that do not take effect', { skip, concurrency: 3 }, () => {
  before(() => { on = new Clients(cluster); });

  const refused: readonly (readonly [flags: readonly string[], field: RegExp])[] = [
    [['--blkio-weight', '300'], /BlkioWeight/],
    [['--cgroupns', 'host'], /CgroupnsMode/],
    [['--volume-driver', 'other', '-v', 'named:/data'], /VolumeDriver/],
    [['--mount', 'type=volume,dst=/data,volume-driver=other'], /DriverConfig\.Name/],
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
      assert.match(await refusal(...flags), field);
    });
  }
});
