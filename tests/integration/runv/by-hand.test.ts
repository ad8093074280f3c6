// bin/runv as its callers use it: a bundle made by hand, every verb, and podman on top of it.
import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import { access, chmod, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test, type TestContext } from 'node:test';
import { encodeFileEntry, FilesHelper, FilesOp, guestInitPath } from '@pouch/native';
import { cgroupPath, possibleCgroups } from '../../../packages/runv/src/cgroups.ts';
import { template } from '../../../packages/runv/src/verbs/spec.ts';
import { addKernel } from '../../../packages/runv/src/machine/kernel-store.ts';
import { GuestKit, guestMissing, kernelSource } from '../../fixtures/guest-boot.ts';
import { until } from '../../fixtures/native.ts';

const runv = resolve(import.meta.dirname, '../../../packages/runv/bin/runv');
const skip = process.getuid?.() === 0 ? await guestMissing() : 'needs root: cgroups, network namespaces';
const hasPodman = spawnSync('podman', ['--version']).status === 0;

interface Done { readonly code: number; readonly out: string; readonly err: string }

describe('runv by hand', { skip }, () => {
  let kit: GuestKit;
  let root: string;
  let count = 0;

  before(async () => {
    kit = await GuestKit.make();
    root = join(kit.directory, 'run');
    for (const directory of [kit.directory, join(kit.directory, 'kernels')]) await chmod(directory, 0o755);
    await mkdir(root);
    await writeFile(join(root, 'runv.json'), JSON.stringify({ kernelDir: join(kit.directory, 'kernels'), layerDir: join(kit.directory, 'layers'), templateDir: join(kit.directory, 'templates', 'all'), defaultKernel: kit.kernel.name, acceleration: 'tcg', consoleDir: join(kit.directory, 'consoles'), templates: false, memoryBytes: 192 << 20 }));
  });
  after(async () => { await kit?.remove(); });

  const verb = (args: readonly string[], input = ''): Promise<Done> => new Promise((settle) => {
    const child = execFile(runv, ['--root', root, ...args], { env: {} }, (error, out, err) => settle({ code: error === null ? 0 : Number(error.code), out, err }));
    child.stdin?.on('error', () => undefined); // a verb that reads none may have ended already
    child.stdin?.end(input);
  });

  async function bundle(args: readonly string[], more: Readonly<Record<string, unknown>> = {}): Promise<string> {
    const directory = join(kit.directory, `bundle${count++}`);
    await mkdir(directory);
    const spec = structuredClone(template) as { process: Record<string, unknown> };
    spec.process = { ...spec.process, terminal: false, args };
    await writeFile(join(directory, 'config.json'), JSON.stringify({ ...spec, root: { path: await kit.tree(), readonly: false }, ...more }));
    return directory;
  }

  /** As containerd's shim does it: the standard streams are files that the container keeps. */
  async function create(t: TestContext, id: string, directory: string): Promise<string> {
    t.after(() => verb(['delete', '--force', id]));
    const [output, errors] = ['out', 'err'].map((name) => openSync(join(directory, name), 'w'));
    const child = spawn(runv, ['--root', root, 'create', '--bundle', directory, '--pid-file', join(directory, 'pid'), id], { stdio: ['ignore', output, errors], env: {} });
    const [code] = (await once(child, 'exit')) as [number];
    for (const fd of [output, errors]) if (fd !== undefined) closeSync(fd);
    assert.equal(code, 0, await readFile(join(directory, 'err'), 'utf8'));
    return directory;
  }

  const status = async (id: string): Promise<string> => (JSON.parse((await verb(['state', id])).out) as { status: string }).status;

  test('create, start, state, delete; the guest has a kernel of its own', async (t) => {
    const directory = await create(t, 'one', await bundle(['sh', '-c', 'uname -r']));
    assert.equal(await status('one'), 'created');
    assert.match(await readFile(join(directory, 'pid'), 'utf8'), /^\d+$/);
    assert.deepEqual(await verb(['start', 'one']), { code: 0, out: '', err: '' });
    await until('its end', async () => ((await status('one')) === 'stopped' ? true : undefined));
    assert.equal((await readFile(join(directory, 'out'), 'utf8')).trim(), kit.kernel.release);
    assert.deepEqual(await verb(['kill', 'one', 'TERM']), { code: 1, out: '', err: 'container not running\n' });
    assert.equal((await verb(['delete', 'one'])).code, 0);
    assert.match((await verb(['state', 'one'])).err, /container "one" does not exist/);
    await assert.rejects(access(join(root, 'one')));
  });

  test('exec, ps, stats, pause, resume, update, kill', async (t) => {
    await create(t, 'two', await bundle(['sleep', '1000']));
    await verb(['start', 'two']);
    assert.deepEqual(await verb(['exec', 'two', 'sh', '-c', 'cat; exit 5'], 'hello'), { code: 5, out: 'hello', err: '' });
    assert.match((await verb(['exec', 'two', 'no-such'])).err, /executable file not found/);
    const log = join(kit.directory, 'log.json');
    assert.notEqual((await verb(['--log', log, '--log-format', 'json', 'exec', '-d', 'two', 'no "such"'])).code, 0);
    assert.match((JSON.parse(await readFile(log, 'utf8')) as { msg: string }).msg, /^exec: "no \\"such\\"": executable file not found in \$PATH: /);
    const pidFile = join(kit.directory, 'exec.pid');
    assert.deepEqual(await verb(['exec', '-d', '--pid-file', pidFile, 'two', 'sh', '-c', 'echo went on > /went-on']), { code: 0, out: '', err: '' });
    assert.match(await readFile(pidFile, 'utf8'), /^\d+$/);
    await until('the detached process has run', async () => ((await verb(['exec', 'two', 'cat', '/went-on'])).out === 'went on\n' ? true : undefined));
    assert.deepEqual((await readdir(join(root, 'two'))).filter((name) => name.startsWith('exec-')), [], 'what was written for an exec is taken away');
    assert.equal((JSON.parse((await verb(['ps', '--format', 'json', 'two'])).out) as number[]).length, 1);
    assert.equal((JSON.parse((await verb(['events', '--stats', 'two'])).out) as { type: string }).type, 'stats');
    const events = spawn(runv, ['--root', root, 'events', '--interval', '200ms', 'two'], { stdio: ['ignore', 'pipe', 'inherit'], env: {} });
    t.after(() => events.kill('SIGKILL'));
    const eventsEnd = once(events, 'exit') as Promise<[number]>;
    const readings = createInterface({ input: events.stdout })[Symbol.asyncIterator]();
    for (let count = 0; count < 3; count++) assert.equal((JSON.parse((await readings.next()).value as string) as { type: string }).type, 'stats');
    events.stdout.resume();
    assert.match((await verb(['events', '--interval', 'soon', 'two'])).err, /"soon" is no duration/);
    assert.match((await verb(['create', '--bundle', await bundle(['true']), 'two'])).err, /already exists/);
    assert.match((await verb(['delete', 'two'])).err, /not stopped/);
    assert.equal((await verb(['pause', 'two'])).code, 0);
    assert.equal(await status('two'), 'paused');
    assert.equal((await verb(['resume', 'two'])).code, 0);
    assert.equal(await status('two'), 'running');
    assert.equal((await verb(['update', '--resources', '-', 'two'], '{"cpu":{"shares":512}}')).code, 0);
    assert.match((await verb(['update', '--memory', String(2 ** 40), 'two'])).err, /cannot get more than/);
    assert.match((await verb(['update', '--resources', '-', 'two'], '{"hugepageLimits":[{"pageSize":"2MB","limit":4096}]}')).err, /hugepageLimits: a running virtual machine cannot change this/);
    assert.equal((await verb(['kill', 'two', 'KILL'])).code, 0);
    await until('its end', async () => ((await status('two')) === 'stopped' ? true : undefined));
    assert.deepEqual((await eventsEnd)[0], 0, 'events end with the container');
  });

  test('hooks after the start and the deletion: all run, and one that fails is a warning', async (t) => {
    const told = join(kit.directory, 'hooks');
    const hook = (script: string): Record<string, unknown> => ({ path: '/bin/sh', args: ['sh', '-c', script] });
    const late = (kind: string): Record<string, unknown>[] => [hook('echo no >&2; exit 3'), hook(`(echo ${kind}; cat; echo) >> ${told}`)];
    await create(t, 'seven', await bundle(['sleep', '1000'], { hooks: { poststart: late('poststart'), poststop: late('poststop') } }));
    const start = await verb(['start', 'seven']);
    assert.deepEqual([start.code, start.out], [0, '']);
    assert.match(start.err, /warning: error running poststart hook .*exit status 3: no/);
    assert.equal((await verb(['delete', '--force', 'seven'])).code, 0);
    const lines = (await readFile(told, 'utf8')).trim().split('\n');
    assert.deepEqual([lines[0], (JSON.parse(lines[1] ?? '') as { status: string }).status, lines[2], (JSON.parse(lines[3] ?? '') as { status: string }).status], ['poststart', 'running', 'poststop', 'stopped']);
  });

  test('hooks of the start run in the guest, as the container, before its program; one that fails is why there is no start', async (t) => {
    const shell = (script: string, more: Record<string, unknown> = {}): Record<string, unknown> => ({ path: '/bin/sh', args: ['sh', '-c', script], env: ['WHO=hook', 'PATH=/bin'], ...more });
    const hooks = { startContainer: [shell('cat > /state; echo "$WHO $(uname -r)" > /told; exit 0'), { path: '/bin/touch', args: ['touch', '/second'] }] };
    const done = await verb(['run', '--bundle', await bundle(['sh', '-c', 'cat /told /state; ls /second'], { hooks }), 'hooked']);
    assert.equal(done.code, 0, done.err);
    const [told, state, second] = done.out.replace('}/second', '}\n/second').split('\n');
    assert.equal(told, `hook ${kit.kernel.release}`);
    const { id, status, pid } = JSON.parse(state ?? '') as { id: string; status: string; pid: number };
    assert.deepEqual([id, status, pid, second], ['hooked', 'created', 1, '/second']);
    for (const [hook, reason] of [
      [shell('echo "not today" >&2; exit 3'), /error running startContainer hook \/bin\/sh: exit status 3: not today/],
      [shell('kill -9 $$'), /startContainer hook \/bin\/sh: ended by signal 9/],
      [shell('yes >&2', { timeout: 1 }), /startContainer hook \/bin\/sh: it has not ended within 1000 ms: y/],
      [shell('sleep 100', { timeout: 1 }), /startContainer hook \/bin\/sh: it has not ended within 1000 ms/],
      [{ path: '/no/such' }, /startContainer hook \/no\/such: exit status 126: No such file/],
    ] as const) {
      const directory = await create(t, 'refused', await bundle(['sh', '-c', 'echo ran'], { hooks: { startContainer: [hook] } }));
      const start = await verb(['start', 'refused']);
      assert.equal(start.code, 1);
      assert.match(start.err, reason);
      assert.equal(await readFile(join(directory, 'out'), 'utf8'), '');
      await verb(['delete', '--force', 'refused']);
    }
    assert.match((await verb(['create', '--bundle', await bundle(['true'], { hooks: { startContainer: [{ path: 'sh' }] } }), 'bad'])).err, /hooks\.startContainer: path "sh" is not an absolute path/);
  });

  test('hooks of the creation run in their order, those of the container in its network, which the guest then has', async () => {
    const told = join(kit.directory, 'made-by-hooks');
    const links = (kind: string): Record<string, unknown> => ({ path: '/bin/sh', args: ['sh', '-c', `(echo ${kind}; ip -o link show | wc -l) >> ${told}`], env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'] });
    const make = { path: '/bin/sh', args: ['sh', '-c', 'ip link add eth0 type bridge && ip addr add 10.7.7.7/24 dev eth0 && ip link set eth0 up'], env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'] };
    const done = await verb(['run', '--bundle', await bundle(['ip', '-4', 'addr', 'show', 'eth0'], { hooks: { createContainer: [links('createContainer'), make], createRuntime: [links('createRuntime')] } }), 'nine']);
    assert.equal(done.code, 0, done.err);
    assert.match(done.out, /inet 10\.7\.7\.7\/24/);
    const [first, outside, second, inside] = (await readFile(told, 'utf8')).trim().split('\n');
    assert.deepEqual([first, second, inside], ['createRuntime', 'createContainer', '1']);
    assert.ok(Number(outside) > 1, 'the runtime’s own network is the host’s');
  });

  test('the files of a container that does not run: its machine is held for them, and goes with whoever holds it', async () => {
    const volume = join(kit.directory, 'files-volume');
    await mkdir(volume);
    const mounts = [...(template.mounts as unknown[]), { destination: '/data', type: 'bind', source: volume, options: ['rbind', 'rw'] }, { destination: '/gone', type: 'tmpfs' }, { destination: '/etc/hosts', type: 'bind', source: '/nowhere/hosts', options: ['rbind', 'rw'] }];
    const directory = await bundle(['true'], { mounts, hooks: { createRuntime: [{ path: '/bin/false' }] } });
    const program = (...words: readonly string[]): FilesHelper => new FilesHelper({ kind: 'program', path: runv, args: () => ['--root', root, ...words], searchPath: process.env.PATH ?? '' }, { writing: true });
    const holder = program('hold-files', '--bundle', directory, 'held');
    await holder.expect(FilesOp.opened);
    assert.match((await verb(['create', '--bundle', directory, 'held'])).err, /already exists/, 'nothing else starts it meanwhile');
    const writer = program('files', 'write', 'held');
    await writer.expect(FilesOp.opened);
    await writer.send(FilesOp.go);
    await writer.send(FilesOp.extract, Buffer.concat([Buffer.alloc(12), Buffer.from('/data')]));
    await writer.expect(FilesOp.ready);
    await writer.send(FilesOp.entry, encodeFileEntry({ mode: 0o100644, uid: 0, gid: 0, major: 0, minor: 0, mtimeSeconds: 0, mtimeNanoseconds: 0, sizeBytes: 2, path: Buffer.from('made'), link: Buffer.alloc(0), capability: Buffer.alloc(0) }));
    await writer.send(FilesOp.data, Buffer.from('hi'));
    await writer.send(FilesOp.end);
    await writer.expect(FilesOp.end);
    await writer.end();
    assert.equal(await readFile(join(volume, 'made'), 'utf8'), 'hi');
    const reader = program('files', 'read', 'held');
    await reader.expect(FilesOp.opened);
    await reader.send(FilesOp.go);
    await reader.send(FilesOp.stat, Buffer.from('/proc/self'));
    await assert.rejects(reader.next(), { code: 'ENOENT' }, 'what lives only while the container does is not there');
    await reader.end();
    await holder.end({ patienceMs: 60_000 });
    await assert.rejects(access(join(root, 'held')), 'its record went with it');

    const killed = program('hold-files', '--bundle', directory, 'held');
    await killed.expect(FilesOp.opened);
    const { qemuPid } = JSON.parse(await readFile(join(root, 'held', 'status.json'), 'utf8')) as { qemuPid: number };
    await killed.end({ abort: true });
    await until('QEMU has ended', () => (existsSync(`/proc/${qemuPid}`) ? undefined : true));
    assert.equal((await verb(['delete', '--force', 'held'])).code, 0);
  });

  test('run: exit status, volumes, files', async () => {
    const volume = join(kit.directory, 'volume');
    await mkdir(volume, { recursive: true });
    await writeFile(join(volume, 'given'), 'from the host');
    const mounts = [...(template.mounts as unknown[]), { destination: '/data', type: 'bind', source: volume, options: ['rbind', 'rw'] }, { destination: '/one', type: 'bind', source: join(volume, 'given'), options: ['bind', 'ro'] }];
    const directory = await bundle(['sh', '-c', 'cat /data/given /one; echo back > /data/made; echo no > /one; exit 9'], { mounts });
    const done = await verb(['run', '--bundle', directory, 'three']);
    assert.equal(done.out, 'from the hostfrom the host');
    assert.equal(done.code, 9, done.err);
    assert.equal(await readFile(join(volume, 'made'), 'utf8'), 'back\n');
    assert.equal(await readFile(join(volume, 'given'), 'utf8'), 'from the host');
  });

  test('what cannot be is refused by name, leaves nothing, and goes to --log as JSON', async () => {
    const directory = await bundle(['true'], { linux: { namespaces: [{ type: 'pid' }, { type: 'ipc' }, { type: 'mount' }] } });
    const log = join(directory, 'log.json');
    const done = await verb(['--log', log, '--log-format', 'json', 'create', '--bundle', directory, 'four']);
    assert.equal(done.code, 1);
    const told = JSON.parse(await readFile(log, 'utf8')) as { level: string; msg: string };
    assert.equal(told.level, 'error');
    assert.match(told.msg, /the host's network/);
    assert.equal((await verb(['delete', '--force', 'four'])).code, 0);
    const unknown = await bundle(['true'], { annotations: { 'io.pouch.kernel': 'none-such' } });
    assert.match((await verb(['create', '--bundle', unknown, 'five'])).err, /there is no guest kernel "none-such"; there are /);
    await assert.rejects(access(join(root, 'five')));
  });

  test('a create that was killed when its machine had begun is taken away whole by delete --force', async (t) => {
    t.after(() => verb(['delete', '--force', 'cut']));
    const monitors = async (): Promise<string[]> => {
      const found: string[] = [];
      for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
        const args = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''); // gone while we looked
        if (args.includes(join(root, 'cut', 'monitor.conf'))) found.push(pid);
      }
      return found;
    };
    const child = spawn(runv, ['--root', root, 'create', '--bundle', await bundle(['sleep', '1000']), 'cut'], { stdio: 'ignore', env: {} });
    const exited = once(child, 'exit');
    await until('its monitor', async () => ((await monitors()).length > 0 ? true : undefined));
    child.kill('SIGKILL');
    await exited;
    assert.ok((await monitors()).length > 0);
    assert.deepEqual(await verb(['delete', '--force', 'cut']), { code: 0, out: '', err: '' });
    assert.deepEqual(await monitors(), []);
    await assert.rejects(access(join(root, 'cut')));
    for (const directory of possibleCgroups(cgroupPath(undefined, 'cut'))) await assert.rejects(access(directory));
  });

  test('a paused machine takes a signal for when it goes on', async (t) => {
    const directory = await create(t, 'still', await bundle(['sh', '-c', 'trap "exit 7" TERM; echo ready; while :; do sleep 0.05; done']));
    await verb(['start', 'still']);
    await until('its trap', async () => ((await readFile(join(directory, 'out'), 'utf8')).includes('ready') ? true : undefined));
    await verb(['pause', 'still']);
    assert.deepEqual(await verb(['kill', 'still', 'TERM']), { code: 0, out: '', err: '' });
    assert.equal(await status('still'), 'paused');
    assert.equal((await verb(['resume', 'still'])).code, 0);
    await until('its end', async () => ((await status('still')) === 'stopped' ? true : undefined));
    assert.equal((JSON.parse(await readFile(join(root, 'still', 'status.json'), 'utf8')) as { exitCode: number }).exitCode, 7);
  });

  test('a kernel that panics: its line is in the error, its console is kept, nothing else is left', async () => {
    const broken = await addKernel({ directory: join(kit.directory, 'kernels'), initPath: guestInitPath }, { ...kernelSource(), name: 'broken' });
    await writeFile(broken.initrdPath, 'no initramfs');
    const done = await verb(['create', '--bundle', await bundle(['true'], { annotations: { 'io.pouch.kernel': 'broken' } }), 'six']);
    assert.equal(done.code, 1);
    assert.match(done.err, /Kernel panic - not syncing/);
    const console = await readFile(join(kit.directory, 'consoles', 'six.log'), 'latin1');
    assert.match(console, /Kernel panic[^]*Call Trace/);
    await assert.rejects(access(join(root, 'six')));
  });

  test('podman runs it', { skip: hasPodman ? false : 'podman is not installed' }, async () => {
    const wrapper = join(kit.directory, 'runv-here');
    await writeFile(wrapper, `#!/bin/sh\nexec ${runv} --root ${root} "$@"\n`, { mode: 0o755 });
    const at = (name: string): string => join(kit.directory, `podman-${name}`);
    const tree = await kit.tree();
    const done = await new Promise<Done>((settle) => {
      execFile('podman', ['--root', at('root'), '--runroot', at('runroot'), '--tmpdir', at('tmp'), '--runtime', wrapper, '--cgroup-manager', 'cgroupfs', '--events-backend', 'file', 'run', '--rm', '--network', 'none', '--rootfs', tree, 'sh', '-c', 'uname -r; exit 3'],
        (error, out, err) => settle({ code: error === null ? 0 : Number(error.code), out, err }));
    });
    assert.equal(done.out.trim(), kit.kernel.release, done.err);
    assert.equal(done.code, 3);
  });
});
