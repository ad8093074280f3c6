// The pool: a container of an image that was used before gets a machine that was ready, whole and alone; nothing of it outlives anybody's end.
import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { access, chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { claimMember, readyMembers } from '../../../packages/runv/src/pool/members.ts';
import { poolPlaces } from '../../../packages/runv/src/pool/places.ts';
import { template } from '../../../packages/runv/src/verbs/spec.ts';
import { GuestKit, guestMissing } from '../../fixtures/guest-boot.ts';
import { until } from '../../fixtures/native.ts';

const runv = resolve(import.meta.dirname, '../../../packages/runv/bin/runv');
const skip = process.getuid?.() === 0 ? await guestMissing() : 'needs root: overlay mounts, cgroups, network namespaces';

type Done = { readonly code: number; readonly out: string; readonly err: string };
const isThere = (path: string): Promise<boolean> => access(path).then(() => true, () => false);
const runs = (pid: number): Promise<boolean> => readFile(`/proc/${pid}/stat`, 'utf8').then((stat) => !/\) [ZX] /.test(stat), () => false);

describe('the pool', { skip }, () => {
  let kit: GuestKit;
  let root: string;
  let layerDir: string;
  let tree: string;
  const mounted: string[] = [];

  before(async () => {
    kit = await GuestKit.make();
    root = join(kit.directory, 'run');
    layerDir = join(kit.directory, 'layers');
    for (const directory of [kit.directory, join(kit.directory, 'kernels')]) await chmod(directory, 0o755);
    await mkdir(root);
    await configure({});
    tree = await kit.tree({ 'etc/layer': 'the image' });
  });
  after(async () => {
    await verb(['pool', 'sweep', '--all']);
    for (const path of mounted) spawnSync('umount', ['-l', path]);
    await kit?.remove();
  });

  async function configure(more: Readonly<Record<string, unknown>>): Promise<void> {
    await writeFile(join(root, 'runv.json'), JSON.stringify({ kernelDir: join(kit.directory, 'kernels'), layerDir, templateDir: join(kit.directory, 'templates', 'all'), defaultKernel: kit.kernel.name, acceleration: 'tcg', memoryBytes: 192 << 20, pool: 1, ...more }));
  }

  const verb = (args: readonly string[]): Promise<Done> => new Promise((settle) => {
    const child = execFile(runv, ['--root', root, ...args], { env: {} }, (error, out, err) => settle({ code: error === null ? 0 : Number(error.code), out, err }));
    child.stdin?.end();
  });

  /** As a snapshotter gives it: a layer, and an upper directory of the container's own. */
  async function bundle(id: string, args: readonly string[], more: Readonly<Record<string, unknown>> = {}): Promise<string> {
    const directory = join(kit.directory, id);
    const at = (name: string): string => join(directory, name);
    if (!mounted.includes(at('rootfs'))) {
      for (const name of ['fs', 'work', 'rootfs']) await mkdir(at(name), { recursive: true });
      assert.equal(spawnSync('mount', ['-t', 'overlay', 'overlay', '-o', `lowerdir=${tree},upperdir=${at('fs')},workdir=${at('work')}`, at('rootfs')]).status, 0);
      mounted.push(at('rootfs'));
    }
    const spec = structuredClone(template) as { process: Record<string, unknown> };
    spec.process = { ...spec.process, terminal: false, args };
    await writeFile(at('config.json'), JSON.stringify({ ...spec, root: { path: 'rootfs', readonly: false }, ...more }));
    return directory;
  }

  const runOnce = async (id: string, script: string): Promise<Done> => await verb(['run', '--bundle', await bundle(id, ['sh', '-c', script]), id]);
  const ready = (): ReturnType<typeof readyMembers> => readyMembers(layerDir);
  const filled = async (): Promise<void> => { await until('a machine that is ready', async () => ((await ready()).length > 0 ? true : undefined)); };

  /** A container that sleeps in a machine of the pool, with its three processes. */
  async function claimed(id: string): Promise<{ monitor: number; keeper: number; qemu: number; ended: Promise<number | null> }> {
    await runOnce(`${id}-before`, 'true');
    await filled();
    const child = spawn(runv, ['--root', root, 'run', '--keep', '--bundle', await bundle(id, ['sleep', '1000']), id], { stdio: 'ignore', env: {} });
    const ended = once(child, 'exit').then(([code]) => code as number | null);
    const status = await until('a running container', async () => {
      const told = JSON.parse(await readFile(join(root, id, 'status.json'), 'utf8').catch(() => '{}')) as { state?: string; qemuPid?: number };
      return told.state === 'running' ? told : undefined;
    });
    assert.match(await readFile(join(root, id, 'monitor.conf'), 'utf8'), /^keeper /m);
    const { pid } = JSON.parse(await readFile(join(root, id, 'state.json'), 'utf8')) as { pid: number };
    const qemu = status.qemuPid ?? 0;
    const keeper = Number((await readFile(`/proc/${qemu}/stat`, 'utf8')).replace(/^.*\) . /, '').split(' ')[0]);
    return { monitor: pid, keeper, qemu, ended };
  }

  const gone = async (...pids: readonly number[]): Promise<void> => {
    for (const pid of pids) await until(`the end of ${pid}`, async () => ((await runs(pid)) ? undefined : true));
  };

  test('the second container of an image gets a machine that was ready, and starts again with what it wrote', async () => {
    const script = 'cat /etc/layer; echo -n $(cat /root/kept 2>/dev/null); echo -n written > /root/kept; hostname; cat /etc/machine-id';
    const first = await runOnce('one', script);
    assert.match(first.out, /^the image/);
    assert.equal(await isThere(join(root, 'one')), false);
    await filled();
    const second = await verb(['run', '--keep', '--bundle', await bundle('two', ['sh', '-c', script], { hostname: 'named' }), 'two']);
    assert.match(second.out, /^the imagenamed\n[0-9a-f]{32}\n$/, second.err);
    assert.match(await readFile(join(root, 'two', 'monitor.conf'), 'utf8'), /^keeper /m);
    assert.equal((await verb(['delete', 'two'])).code, 0);
    const again = await runOnce('two', script);
    assert.match(again.out, /^the imagewritten/);
    const ids = [first, second, again].map(({ out }) => out.trim().split('\n').at(-1));
    assert.equal(new Set(ids).size, 3, 'no two machines have the same id');
  });

  test('two members of one image, claimed at once, share no secrets', async () => {
    await configure({ pool: 2 });
    await Promise.all(['twin-a', 'twin-b'].map((id) => runOnce(id, 'true')));
    await until('two machines that are ready', async () => ((await ready()).length >= 2 ? true : undefined));
    const script = 'head -c 16 /dev/urandom | od -An -tx1; cat /etc/machine-id /proc/sys/kernel/random/uuid /proc/sys/kernel/random/boot_id; hostname; date +%s';
    const seen = await Promise.all(['one', 'two'].map(async (name) => {
      const id = `member-${name}`;
      const done = await verb(['run', '--keep', '--bundle', await bundle(id, ['sh', '-c', script], { hostname: name }), id]);
      assert.match(await readFile(join(root, id, 'monitor.conf'), 'utf8'), /^keeper /m);
      assert.equal((await verb(['delete', id])).code, 0);
      const [random, machineId, uuid, bootId, hostname, date] = done.out.trim().split('\n');
      assert.ok(Math.abs(Number(date) - Date.now() / 1000) < 60, `the clock: ${date}`);
      return { random, machineId, uuid, bootId, hostname };
    }));
    const [first, second] = seen;
    for (const secret of ['random', 'machineId', 'uuid', 'hostname'] as const) assert.notEqual(first?.[secret], second?.[secret], secret);
    await configure({});
  });

  test('of two claims at once one gets the member, and the other is told that there is none', async () => {
    await runOnce('three', 'true');
    await filled();
    const [member] = await ready();
    const claims = await Promise.all(['a', 'b'].map((name) => claimMember(layerDir, member?.key ?? '', join(kit.directory, `claim-${name}`), join(kit.directory, `claim-${name}.img`))));
    assert.deepEqual(claims.toSorted(), [false, true]);
    const winner = claims[0] === true ? 'a' : 'b';
    assert.equal(await isThere(join(kit.directory, `claim-${winner}.img`)), true);
    assert.equal(await isThere(join(kit.directory, `claim-${winner}`, 'keeper.sock')), true);
    assert.deepEqual(await ready(), []);
    // Whoever claims it and goes ends it.
    connect(join(kit.directory, `claim-${winner}`, 'keeper.sock')).destroy();
    await until('the end of its keeper', async () => await new Promise<true | undefined>((settle) => {
      const socket = connect(join(kit.directory, `claim-${winner}`, 'keeper.sock'), () => { socket.destroy(); settle(undefined); });
      socket.once('error', () => { settle(true); });
    }));
  });

  test('kill -9 of QEMU: the container ends with its reason', async () => {
    const { monitor, keeper, qemu, ended } = await claimed('four');
    process.kill(qemu, 'SIGKILL');
    assert.equal(await ended, 137);
    assert.match(await readFile(join(root, 'four', 'status.json'), 'utf8'), /QEMU was killed by signal 9/);
    await gone(monitor, keeper, qemu);
    assert.equal((await verb(['delete', 'four'])).code, 0);
  });

  test('kill -9 of the keeper: the same', async () => {
    const { monitor, keeper, qemu, ended } = await claimed('five');
    process.kill(keeper, 'SIGKILL');
    assert.equal(await ended, 137);
    assert.match(await readFile(join(root, 'five', 'status.json'), 'utf8'), /QEMU was killed by signal 9/);
    await gone(monitor, keeper, qemu);
    assert.equal((await verb(['delete', 'five'])).code, 0);
  });

  test('kill -9 of the monitor: QEMU and its keeper end', async () => {
    const { monitor, keeper, qemu } = await claimed('six');
    process.kill(monitor, 'SIGKILL');
    await gone(monitor, keeper, qemu);
    assert.equal((await verb(['delete', '--force', 'six'])).code, 0);
    assert.equal(await isThere(join(root, 'six')), false);
  });

  test('turned off, nothing is made ready; what waits ends with its image, and with the sweep of all', async () => {
    await runOnce('seven', 'true');
    await filled();
    const [member] = await ready();
    for (const layer of member?.layers ?? []) await rm(layer);
    await verb(['pool', 'sweep']);
    assert.deepEqual(await ready(), []);
    await runOnce('eight', 'true');
    await filled();
    await configure({ pool: 0 });
    assert.equal((await verb(['run', '--keep', '--bundle', await bundle('nine', ['true']), 'nine'])).code, 0);
    assert.doesNotMatch(await readFile(join(root, 'nine', 'monitor.conf'), 'utf8'), /^keeper /m);
    await verb(['delete', 'nine']);
    await verb(['pool', 'sweep', '--all']);
    const { directory, scratchDir } = poolPlaces(layerDir);
    assert.equal(await isThere(directory), false);
    assert.deepEqual(await readdir(scratchDir).catch(() => []), []);
    await configure({});
  });
});
