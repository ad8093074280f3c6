// The kernels of a host: added whole or not at all, found with the words that help, their initrd always of today's init.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { MachineError, type MachineErrorCode } from '../../../packages/runv/src/machine/errors.ts';
import { addKernel, findKernel, kernelNames, listKernels, recordVerdict, removeKernel, type KernelStore } from '../../../packages/runv/src/machine/kernel-store.ts';
import { machineForm, withCurrentVerdicts } from '../../../packages/runv/src/machine/verdicts.ts';
import { collectModules } from '../../../packages/runv/src/machine/modules.ts';
import { bzImage, kernelModule, vmlinux } from '../../fixtures/kernel-files.ts';

const refused = (code: MachineErrorCode, words: RegExp) => (error: unknown): boolean => {
  assert.ok(error instanceof MachineError, String(error));
  assert.equal(error.code, code);
  assert.match(error.message, words);
  return true;
};

async function setUp(t: TestContext): Promise<{ directory: string; store: KernelStore; image: string; modulesDir: string }> {
  const directory = await mkdtemp(join(tmpdir(), 'pouch-test-kernels-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const modulesDir = join(directory, 'modules', '6.6.6-test');
  await mkdir(join(modulesDir, 'kernel', 'drivers'), { recursive: true });
  const module = (file: string, depends: string, more: Record<string, string> = {}): Promise<void> => {
    const bytes = kernelModule({ license: 'GPL', depends, ...more });
    return writeFile(join(modulesDir, 'kernel', 'drivers', file), file.endsWith('.gz') ? gzipSync(bytes) : file.endsWith('.zst') ? zstdCompressSync(bytes) : bytes);
  };
  await module('virtio.ko', '');
  await module('virtio_ring.ko.zst', 'virtio');
  await module('virtio-blk.ko.gz', 'virtio,virtio_ring');
  await module('erofs.ko', 'libcrc32c');
  await module('libcrc32c.ko', '', { softdep: 'pre: crc32c' });
  await module('crc32c_generic.ko', '');
  await module('unwanted.ko', 'virtio');
  const image = join(directory, 'vmlinuz');
  await writeFile(image, bzImage(gzipSync(vmlinux())));
  const initPath = join(directory, 'init');
  await writeFile(initPath, 'the first init');
  return { directory, store: { directory: join(directory, 'store'), initPath }, image, modulesDir };
}

test('modules come after what they need, uncompressed, and only what is wanted', async (t) => {
  const { modulesDir } = await setUp(t);
  const modules = await collectModules(modulesDir, ['virtio_blk', 'erofs', 'not_there']);
  assert.deepEqual(modules.map(({ name }) => name), ['virtio', 'virtio_ring', 'virtio_blk', 'crc32c_generic', 'libcrc32c', 'erofs']);
  assert.ok(modules.every(({ content }) => content.readUInt32BE(0) === 0x7f454c46));
});

test('a kernel is added, listed, found and removed', async (t) => {
  const { store, image, modulesDir } = await setUp(t);
  assert.deepEqual(await kernelNames(store), []);
  const kernel = await addKernel(store, { name: 'debian-6', image, modulesDir });
  assert.deepEqual([kernel.release, kernel.format], ['6.6.6-test', 'vmlinux']);
  assert.match(kernel.digest, /^sha256:[0-9a-f]{64}$/);
  assert.deepEqual(kernel.modules.slice(0, 3), ['virtio', 'virtio_ring', 'virtio_blk']);
  const initrd = await readFile(kernel.initrdPath);
  for (const content of ['the first init', 'modules/00-virtio.ko']) assert.ok(initrd.includes(content), content);
  assert.deepEqual(await listKernels(store), [kernel]);
  assert.deepEqual(await findKernel(store, 'debian-6'), kernel);
  await removeKernel(store, 'debian-6');
  await removeKernel(store, 'debian-6');
  assert.deepEqual(await readdir(store.directory), []);
});

test('the same bytes again are the same kernel; other bytes need another name', async (t) => {
  const { store, image, modulesDir } = await setUp(t);
  const first = await addKernel(store, { name: 'k', image, modulesDir });
  assert.deepEqual(await addKernel(store, { name: 'k', image, modulesDir }), first);
  await assert.rejects(addKernel(store, { name: 'k', image }), refused('kernel-exists', /k already/));
  assert.notEqual((await addKernel(store, { name: 'k2', image })).digest, first.digest);
  assert.deepEqual(await readdir(store.directory), ['k', 'k2']);
});

test('added by several at once it is there once', async (t) => {
  const { store, image, modulesDir } = await setUp(t);
  const kernels = await Promise.all(Array.from({ length: 5 }, () => addKernel(store, { name: 'k', image, modulesDir })));
  assert.equal(new Set(kernels.map(({ digest }) => digest)).size, 1);
  assert.deepEqual(await readdir(store.directory), ['k']);
});

test('another init makes another initrd, and the verdicts stay', async (t) => {
  const { store, image } = await setUp(t);
  const kernel = await addKernel(store, { name: 'k', image });
  await recordVerdict(store, 'k', 'modern', { ok: true, bootMs: 1700, lacks: [] });
  await writeFile(store.initPath, 'the second init');
  const found = await findKernel(store, 'k');
  assert.notEqual(found.initDigest, kernel.initDigest);
  assert.equal(found.digest, kernel.digest);
  assert.deepEqual(found.profiles, { modern: { ok: true, bootMs: 1700, lacks: [] } });
  const initrd = await readFile(found.initrdPath);
  assert.ok(initrd.includes('the second init') && !initrd.includes('the first init'));
  assert.deepEqual(await findKernel(store, 'k'), found);
});

test('unknown and impossible names are refused with those that there are', async (t) => {
  const { store, image } = await setUp(t);
  await assert.rejects(findKernel(store, 'k'), refused('unknown-kernel', /none yet/));
  await addKernel(store, { name: 'a', image });
  await addKernel(store, { name: 'b', image });
  await assert.rejects(findKernel(store, 'k'), refused('unknown-kernel', /"k"; there are a, b/));
  await assert.rejects(findKernel(store, '../a'), refused('unknown-kernel', /there are a, b/));
  for (const name of ['', '../x', '.hidden', 'A', 'x'.repeat(64), 'a/b']) await assert.rejects(addKernel(store, { name, image }), refused('bad-name', /is no name/));
  await assert.rejects(removeKernel(store, '..'), refused('bad-name', /is no name/));
});

test('what cannot be added leaves nothing behind', async (t) => {
  const { store, image, directory } = await setUp(t);
  await writeFile(join(directory, 'text'), 'no kernel');
  await mkdir(join(directory, 'empty'));
  await assert.rejects(addKernel(store, { name: 'k', image: join(directory, 'text') }), refused('bad-kernel', /neither/));
  await assert.rejects(addKernel(store, { name: 'k', image: join(directory, 'missing') }), refused('bad-kernel', /cannot be read/));
  await assert.rejects(addKernel(store, { name: 'k', image, modulesDir: join(directory, 'empty') }), refused('bad-kernel', /no modules/));
  await assert.rejects(addKernel({ ...store, initPath: join(directory, 'missing') }, { name: 'k', image }), refused('missing-program', /init cannot be read/));
  assert.deepEqual(await kernelNames(store), []);
});

test('what a boot showed holds for the QEMU and the machine that it was booted with', async (t) => {
  const { directory, store, image } = await setUp(t);
  await addKernel(store, { name: 'k', image });
  const qemu = join(directory, 'qemu');
  await writeFile(qemu, 'one');
  const verdict = { ok: true, bootMs: 1700, lacks: [], acceleration: 'tcg' } as const;
  await recordVerdict(store, 'k', 'modern', { ...verdict, form: await machineForm(qemu, 'modern', 'tcg') });
  await recordVerdict(store, 'k', 'classic', { ...verdict, form: await machineForm(qemu, 'modern', 'tcg') });
  await recordVerdict(store, 'k', 'bare', verdict);
  const kernel = await findKernel(store, 'k');
  assert.deepEqual(Object.keys((await withCurrentVerdicts(kernel, qemu)).profiles), ['modern']);
  assert.notEqual(await machineForm(qemu, 'modern', 'tcg'), await machineForm(qemu, 'modern', 'kvm'));
  await writeFile(qemu, 'another');
  assert.deepEqual((await withCurrentVerdicts(kernel, qemu)).profiles, {});
});
