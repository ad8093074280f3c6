// A container's root file system as a guest sees it, from what an engine has mounted: overlays, plain directories, copies.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, chown, link, mkdir, mkdtemp, readFile, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import type { Machine } from '../../../packages/runv/src/machine/index.ts';
import { planRootfs, sweepLayers, virtiofsdCommand, type RootfsPlan, type RootfsRequest, type SideProcess } from '../../../packages/runv/src/rootfs/index.ts';
import { GuestKit, guestMissing } from '../../fixtures/guest-boot.ts';
import { op, program, record, text, u32, type Guest } from '../../fixtures/guest.ts';
import { busyboxLayer } from '../../fixtures/images.ts';
import { until } from '../../fixtures/native.ts';

const run = promisify(execFile);
const skip = process.getuid?.() === 0 ? await guestMissing() : 'mounting an overlay needs root';

describe('root file systems', { skip }, () => {
  let kit: GuestKit;
  let base: string;
  let layerDir: string;

  before(async () => {
    kit = await GuestKit.make();
    base = join(kit.directory, 'base');
    layerDir = join(kit.directory, 'layers');
    await mkdir(base);
    await writeFile(`${base}.tar`, (await busyboxLayer()).tar);
    await run('tar', ['-C', base, '-xf', `${base}.tar`]);
    await mkdir(join(base, 'replaced'));
    for (const name of ['removed', 'kept', 'replaced/old']) await writeFile(join(base, name), name);
  });
  after(async () => { await kit?.remove(); });

  /** Directories of a container; the overlay, if one is mounted, goes with the test. */
  async function place(t: TestContext): Promise<{ dir: string; mount: (lower: readonly string[], cwd?: string) => Promise<void>; request: RootfsRequest }> {
    const dir = await mkdtemp(join(kit.directory, 'c-'));
    for (const name of ['rootfs', 'state', 'snapshot/fs', 'snapshot/work']) await mkdir(join(dir, name), { recursive: true });
    const rootfs = join(dir, 'rootfs');
    let mounted = false;
    t.after(async () => { if (mounted) await run('umount', [rootfs]); });
    return {
      dir,
      mount: async (lower, cwd = dir) => {
        await run('mount', ['-t', 'overlay', 'overlay', '-o', `lowerdir=${lower.join(':')},upperdir=${join(dir, 'snapshot/fs')},workdir=${join(dir, 'snapshot/work')}`, rootfs], { cwd });
        mounted = true;
      },
      request: { bundle: dir, rootfsPath: rootfs, stateDir: join(dir, 'state'), config: { layerDir, uid: 0 } },
    };
  }

  /** Boots a guest of the plan; its side processes end with the test. */
  async function boot(t: TestContext, plan: RootfsPlan, shares: readonly { tag: string; directory: string; socketPath: string; side: SideProcess }[] = [], more: Buffer[] = [], settings: Partial<Machine> = {}): Promise<Guest> {
    const all = [...plan.virtiofs, ...shares];
    for (const { side, socketPath } of all) {
      const child = spawn(side.program, side.args, { stdio: ['ignore', 'ignore', 'inherit'] });
      const ended = once(child, 'exit');
      t.after(async () => { child.kill('SIGKILL'); await ended; });
      await until('the socket of virtiofsd', async () => await access(socketPath).then(() => true, () => undefined));
    }
    const guest = await kit.boot(plan.disks, { shares: all, ...settings });
    t.after(() => guest.close());
    const proc = record(7, text('/proc'), text('proc'), text(''), text(''), text(''));
    await guest.configure(...plan.guest.map(({ tag, payload }) => record(tag, payload)), proc, ...more);
    await guest.start(1, program(['/bin/sleep', '1000']));
    return guest;
  }

  async function powerOff(guest: Guest): Promise<void> {
    guest.send(op.poweroff, 0, u32(2000));
    assert.ok(await guest.gone());
  }

  /** A layer over `base` that removes a file and replaces a directory, made by the kernel's own overlay. */
  async function changedLayer(t: TestContext): Promise<string> {
    const { dir, mount } = await place(t);
    await mount([base]);
    const at = (name: string): string => join(dir, 'rootfs', name);
    await rm(at('removed'));
    await rm(at('replaced'), { recursive: true });
    await mkdir(at('replaced'));
    await writeFile(at('replaced/new'), 'new');
    return join(dir, 'snapshot/fs');
  }

  test('layers with whiteouts and opaque directories; what a guest writes is there after the next start', async (t) => {
    const changed = await changedLayer(t);
    const { dir, mount, request } = await place(t);
    const empty = join(dir, 'empty');
    await mkdir(empty);
    await mount([empty, changed, base]);
    await writeFile(join(dir, 'rootfs', 'by-the-engine'), 'put there before the start');
    const plan = await planRootfs(request);
    assert.deepEqual(plan.disks.map(({ id, readOnly }) => [id, readOnly]), [['layer0', true], ['layer1', true], ['layer2', true], ['scratch', false]]);

    const first = await boot(t, plan);
    assert.equal(await first.shell('ls /replaced; cat /kept /by-the-engine; test ! -e /removed'), 'new\nkeptput there before the start');
    await first.shell('echo survives > /root/written; rm /kept; echo changed > /by-the-engine');
    await powerOff(first);
    assert.deepEqual(await readdir(join(dir, 'rootfs', 'root')), [], 'the host does not see it');

    const again = await planRootfs(request);
    assert.deepEqual(again.disks, plan.disks);
    const second = await boot(t, again);
    assert.equal(await second.shell('cat /root/written /by-the-engine; test ! -e /kept; ls /replaced'), 'survives\nchanged\nnew\n');
  });

  test('more layers than a machine has disks', async (t) => {
    const { dir, mount, request } = await place(t);
    const names = Array.from({ length: 40 }, (_, index) => `l${index}`);
    for (const [index, name] of names.entries()) {
      await mkdir(join(dir, name));
      await writeFile(join(dir, name, 'top'), String(index));
      await writeFile(join(dir, name, `of-${index}`), '');
    }
    // As containerd mounts many layers: by names relative to its store.
    await mount([...names.toReversed(), '../base'], dir);
    const plan = await planRootfs(request);
    assert.ok(plan.disks.length <= 20);
    const guest = await boot(t, plan);
    assert.equal(await guest.shell('cat /top; ls -d /of-* | wc -l; cat /kept'), '3940\nkept');
  });

  test('layers by the links that an engine names them by are made once', async (t) => {
    const { dir, mount, request } = await place(t);
    await symlink(base, join(dir, 'link'));
    await mount([join(dir, 'link')]);
    const [layer] = (await planRootfs(request)).disks;
    const other = await place(t);
    await other.mount([base]);
    const [same] = (await planRootfs(other.request)).disks;
    assert.equal(layer?.path, same?.path);
  });

  test('images of layers that are gone are swept, others stay', async (t) => {
    const { dir, mount, request } = await place(t);
    const own = { ...request, config: { layerDir: join(dir, 'own-layers'), uid: 0 } };
    const gone = join(dir, 'gone');
    await mkdir(gone);
    await writeFile(join(gone, 'file'), '');
    await mount([gone, base]);
    const { disks } = await planRootfs(own);
    assert.equal(await sweepLayers(own.config.layerDir), 0);
    await rm(gone, { recursive: true });
    assert.equal(await sweepLayers(own.config.layerDir), 1);
    await access(disks[0]?.path ?? '');
    await assert.rejects(access(disks[1]?.path ?? ''));
  });

  test('a plain directory is shared: what the guest writes is there at once', async (t) => {
    const { dir, request } = await place(t);
    await run('cp', ['-a', `${base}/.`, join(dir, 'rootfs')]);
    const plan = await planRootfs(request);
    assert.deepEqual(plan.disks, []);
    const guest = await boot(t, plan);
    await guest.shell('echo here > /root/written; chown 33:33 /root/written; rm /removed');
    assert.equal(await readFile(join(dir, 'rootfs/root/written'), 'utf8'), 'here\n');
    assert.equal((await stat(join(dir, 'rootfs/root/written'))).uid, 33);
    await assert.rejects(access(join(dir, 'rootfs/removed')));
  });

  test('a directory shared read-only cannot be written whatever the guest mounts it as', async (t) => {
    const { dir, mount, request } = await place(t);
    await mount([base]);
    const directory = join(dir, 'data');
    await mkdir(directory);
    await writeFile(join(directory, 'file'), 'host');
    const share = { tag: 'data', directory, socketPath: join(dir, 'state/data.sock') };
    const side = await virtiofsdCommand({ ...share, readOnly: true });
    const volume = record(7, text('/data'), text('virtiofs'), text('data'), text('rw'), text(''));
    const guest = await boot(t, await planRootfs(request), [{ ...share, side }], [volume]);
    assert.equal(await guest.shell('cat /data/file; if echo x > /data/file; then echo written; fi 2>/dev/null; rm /data/file 2>/dev/null; cat /data/file'), 'hosthost');
  });

  test('a copy on one disk, for guests without overlay or erofs', async (t) => {
    const changed = await changedLayer(t);
    const { mount, request } = await place(t);
    await mount([changed, base]);
    const plan = await planRootfs({ ...request, mode: 'disk' });
    const first = await boot(t, plan);
    assert.equal(await first.shell('ls /replaced; test ! -e /removed; echo survives > /root/written'), 'new\n');
    await powerOff(first);
    const second = await boot(t, await planRootfs({ ...request, mode: 'disk' }));
    assert.equal(await second.shell('cat /root/written'), 'survives\n');
  });

  test('a root in the initramfs, for machines without disks', async (t) => {
    const changed = await changedLayer(t);
    const { dir, mount, request } = await place(t);
    await mount([changed, base]);
    const at = (name: string): string => join(dir, 'rootfs', name);
    await writeFile(at('one'), 'linked');
    await link(at('one'), at('other'));
    await chown(at('one'), 33, 50);
    await run('mkfifo', [at('fifo')]);
    await run('mknod', [at('zero'), 'c', '1', '5']);
    const plan = await planRootfs({ ...request, profile: 'bare', kernel: kit.kernel });
    assert.deepEqual([plan.disks, plan.guest, plan.virtiofs], [[], [], []]);
    assert.ok(plan.initrd !== undefined && plan.initrd.sizeBytes > 1 << 20);
    const guest = await boot(t, plan, [], [], { profile: 'bare', kernel: { ...kit.kernel, initrdPath: plan.initrd.path } });
    assert.equal(await guest.shell('ls /replaced; test ! -e /removed; stat -c "%u %g %h" /one /other; cat /other; test -p /fifo; head -c 2 /zero | wc -c; readlink /bin/ls; echo x > /written'), 'new\n33 50 2\n33 50 2\nlinked2\nbusybox\n');
  });

  test('what a kernel lacks decides how the root comes to it', async (t) => {
    const { dir, mount, request } = await place(t);
    await writeFile(join(dir, 'rootfs/file'), '');
    const plain = await planRootfs({ ...request, lacks: ['virtiofs'] });
    assert.deepEqual(plain.disks.map(({ id }) => id), ['root']);
    await mount([base]);
    assert.deepEqual((await planRootfs({ ...request, lacks: ['erofs'] })).disks.map(({ id }) => id), ['root']);
    assert.deepEqual((await planRootfs({ ...request, lacks: ['virtiofs', 'multiport'] })).disks.map(({ id }) => id), ['layer0', 'scratch']);
  });

  test('a root that is not there is told by its name', async (t) => {
    const { request } = await place(t);
    await assert.rejects(planRootfs({ ...request, rootfsPath: join(request.bundle, 'missing') }), { code: 'bad-rootfs', message: /missing is not there/ });
  });
});
