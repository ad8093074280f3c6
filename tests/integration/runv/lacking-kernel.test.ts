// A kernel that lacks what a setting needs says so by the setting's name, whether or not that was known before: nothing hangs, nothing is left out silently.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, cp, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { guestInitPath } from '@pouch/native';
import { addKernel } from '../../../packages/runv/src/machine/kernel-store.ts';
import type { KernelRecord } from '../../../packages/runv/src/machine/types.ts';
import { template } from '../../../packages/runv/src/verbs/spec.ts';
import { GuestKit, guestMissing, kernelSource } from '../../fixtures/guest-boot.ts';

const runv = resolve(import.meta.dirname, '../../../packages/runv/bin/runv');
const skip = process.getuid?.() === 0 ? await guestMissing() : 'needs root: cgroups, network namespaces';

describe('a kernel without overlay, erofs and virtiofs', { skip, timeout: 180_000 }, () => {
  let kit: GuestKit;
  let root: string;
  let count = 0;

  before(async () => {
    kit = await GuestKit.make();
    root = join(kit.directory, 'run');
    const modules = join(kit.directory, 'modules');
    for (const directory of [kit.directory, join(kit.directory, 'kernels')]) await chmod(directory, 0o755);
    await Promise.all([mkdir(root), cp(kernelSource().modulesDir, modules, { recursive: true })]);
    for (const file of await readdir(modules)) if (/^(?:overlay|erofs|virtiofs|fuse)\.ko/.test(file)) await rm(join(modules, file));
    for (const name of ['poor', 'unknown']) await addKernel({ directory: join(kit.directory, 'kernels'), initPath: guestInitPath }, { ...kernelSource(), modulesDir: modules, name });
    await writeFile(join(root, 'runv.json'), JSON.stringify({ kernelDir: join(kit.directory, 'kernels'), layerDir: join(kit.directory, 'layers'), templateDir: join(kit.directory, 'templates', 'all'), defaultKernel: 'poor', acceleration: 'tcg', templates: false, memoryBytes: 192 << 20 }));
  });
  after(async () => { await kit?.remove(); });

  const verb = (...args: readonly string[]): Promise<{ code: number; out: string; err: string }> => new Promise((settle) => {
    execFile(runv, ['--root', root, ...args], { env: {} }, (error, out, err) => settle({ code: error === null ? 0 : Number(error.code), out, err })).stdin?.end();
  });

  async function bundle(args: readonly string[], kernel: string, volume?: string, linux: object = {}): Promise<string> {
    const directory = join(kit.directory, `bundle${count++}`);
    await mkdir(directory);
    const mounts = [...(template.mounts as unknown[]), ...(volume === undefined ? [] : [{ destination: '/data', type: 'bind', source: volume, options: ['rbind', 'rw'] }])];
    const process = { ...(template.process as object), terminal: false, args };
    await writeFile(join(directory, 'config.json'), JSON.stringify({ ...template, process, mounts, linux: { ...(template.linux as object), ...linux }, annotations: { 'io.pouch.kernel': kernel }, root: { path: await kit.tree(), readonly: false } }));
    return directory;
  }

  test('booting it tells what it lacks, and with what it was booted', async () => {
    const { code, out, err } = await verb('kernel', 'probe', 'poor');
    assert.equal(code, 0, err);
    const { modern, classic, bare } = (JSON.parse(out) as KernelRecord).profiles;
    for (const verdict of [modern, classic, bare]) assert.deepEqual([verdict?.ok, verdict?.acceleration, verdict?.lacks.filter((name) => name !== 'multiport')], [true, 'tcg', ['overlay', 'erofs', 'virtiofs']]);
  });

  test('a root that needs none of them comes on a disk of its own', async () => {
    const done = await verb('run', '--bundle', await bundle(['sh', '-c', 'echo written > /made; cat /made; grep -c " / ext4" /proc/mounts'], 'poor'), 'root');
    assert.deepEqual([done.code, done.out], [0, 'written\n1\n'], done.err);
  });

  test('a volume is refused by its name, before anything is booted where it is known, else by the guest', async () => {
    const volume = join(kit.directory, 'volume');
    await mkdir(volume);
    const known = await verb('run', '--bundle', await bundle(['true'], 'poor', volume), 'known');
    assert.equal(known.code, 1);
    assert.ok(known.err.includes(`volumes (${volume}): the kernel poor under the profile modern has no virtiofs`), known.err);
    const found = await verb('run', '--bundle', await bundle(['true'], 'unknown', volume), 'found');
    assert.equal(found.code, 1);
    assert.match(found.err, /virtiofs/);
  });

  test('a sysctl that it does not have is refused by its name', async () => {
    const done = await verb('run', '--bundle', await bundle(['true'], 'poor', undefined, { sysctl: { 'net.ipv4.of_a_later_kernel': '1' } }), 'sysctl');
    assert.equal(done.code, 1);
    assert.match(done.err, /sysctl net\.ipv4\.of_a_later_kernel: no such file or directory/);
  });
});
