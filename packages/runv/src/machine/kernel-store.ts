// The guest kernels of a host: STORE/NAME/{kernel.json, image, modules.cpio, initrd}. A kernel appears and goes by rename, whole or not at all.
// The initrd is pouch-init and the kernel's modules, and made anew when pouch-init is another. It must not boot anything.
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readBootImage } from './boot-image.ts';
import { packCpio, type CpioEntry } from './cpio.ts';
import { MachineError } from './errors.ts';
import { collectModules } from './modules.ts';
import type { Kernel, KernelRecord, Profile, ProfileVerdict } from './types.ts';

export interface KernelStore {
  /** Made when needed. QEMU's user must be able to reach it. */
  readonly directory: string;
  /** The guest's init, a static executable. */
  readonly initPath: string;
}

export interface NewKernel {
  readonly name: string;
  /** A bzImage (vmlinuz) or a vmlinux with a PVH entry. */
  readonly image: string;
  /** lib/modules/RELEASE or anything above it; without it only what is built in can be used. */
  readonly modulesDir?: string;
}

const namePattern = /^[a-z0-9][a-z0-9._-]{0,62}$/;
const maxModuleFiles = 100;

const sha256 = (...parts: readonly Uint8Array[]): string => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return `sha256:${hash.digest('hex')}`;
};

const isAbsent = (error: unknown): boolean => error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');

/** Refuses names that are no file names, with words. */
function checkedName(name: string): string {
  if (!namePattern.test(name)) throw new MachineError('bad-name', `${JSON.stringify(name)} is no name for a kernel: 1 to 63 of a–z, 0–9, dot, dash and underscore, the first a letter or digit`);
  return name;
}

async function writeByRename(path: string, content: string | Uint8Array): Promise<void> {
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  try {
    await writeFile(temporary, content, { mode: 0o644 });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** The guest's first file system, without the modules: those are a second archive after it. */
function initArchive(init: Buffer): Buffer {
  const directory = (name: string): CpioEntry => ({ name, mode: 0o040755 });
  return packCpio([
    ...['dev', 'proc', 'sys', 'root', 'modules'].map(directory),
    { name: 'dev/console', mode: 0o020600, device: { major: 5, minor: 1 } },
    { name: 'dev/null', mode: 0o020666, device: { major: 1, minor: 3 } },
    { name: 'init', mode: 0o100755, content: init },
  ]);
}

async function readInit({ initPath }: KernelStore): Promise<Buffer> {
  try {
    return await readFile(initPath);
  } catch (cause) {
    throw new MachineError('missing-program', `the guest's init cannot be read (${initPath}): build packages/native`, { cause });
  }
}

/** Adds a kernel, or returns the one of that name when it was made of the same bytes. Throws `kernel-exists`, `bad-kernel`, `bad-name`. */
export async function addKernel(store: KernelStore, { name, image, modulesDir }: NewKernel): Promise<Kernel> {
  checkedName(name);
  const source = await readFile(image).catch((cause: unknown) => { throw new MachineError('bad-kernel', `${image} cannot be read`, { cause }); });
  const init = await readInit(store);
  const modules = modulesDir === undefined ? [] : await collectModules(modulesDir);
  if (modules.length > maxModuleFiles) throw new MachineError('bad-kernel', `${modules.length} modules are more than an initrd should hold`);
  const modulesArchive = packCpio(modules.map(({ name: module, content }, index) => ({ name: `modules/${String(index).padStart(2, '0')}-${module}.ko`, mode: 0o100644, content })));
  const boot = await readBootImage(source);
  const record: KernelRecord = {
    name,
    digest: sha256(boot.bytes, modulesArchive),
    sourceDigest: sha256(source),
    release: boot.release,
    format: boot.format,
    modules: modules.map((module) => module.name),
    initDigest: sha256(init),
    profiles: {},
  };
  const existing = await readRecord(store, name);
  if (existing !== undefined) return await sameKernel(store, existing, record);

  const temporary = join(store.directory, `.${name}.${process.pid}.${randomBytes(4).toString('hex')}`);
  try {
    await mkdir(temporary, { recursive: true, mode: 0o755 });
    await writeFile(join(temporary, 'image'), boot.bytes);
    await writeFile(join(temporary, 'modules.cpio'), modulesArchive);
    await writeFile(join(temporary, 'initrd'), [initArchive(init), modulesArchive]);
    await writeFile(join(temporary, 'kernel.json'), `${JSON.stringify(record, null, 2)}\n`);
    await rename(temporary, join(store.directory, name));
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    const other = await readRecord(store, name); // somebody else has added it meanwhile
    if (other === undefined) throw error;
    return await sameKernel(store, other, record);
  }
  return located(store, record);
}

async function sameKernel(store: KernelStore, existing: KernelRecord, wanted: KernelRecord): Promise<Kernel> {
  if (existing.digest !== wanted.digest) throw new MachineError('kernel-exists', `there is a kernel ${wanted.name} already, of other bytes (${existing.release ?? 'unknown release'}); remove it first or give this one another name`);
  return await findKernel(store, wanted.name);
}

const located = (store: KernelStore, record: KernelRecord): Kernel => ({ ...record, imagePath: join(store.directory, record.name, 'image'), initrdPath: join(store.directory, record.name, 'initrd') });

async function readRecord(store: KernelStore, name: string): Promise<KernelRecord | undefined> {
  try {
    return JSON.parse(await readFile(join(store.directory, name, 'kernel.json'), 'utf8')) as KernelRecord;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw new MachineError('bad-kernel', `the record of kernel ${name} cannot be read`, { cause: error });
  }
}

/** Names of all kernels, sorted. */
export async function kernelNames(store: Pick<KernelStore, 'directory'>): Promise<string[]> {
  const names = await readdir(store.directory).catch((error: unknown) => { if (isAbsent(error)) return []; throw error; });
  return names.filter((name) => namePattern.test(name)).sort();
}

/** Every kernel's record, sorted by name. */
export async function listKernels(store: KernelStore): Promise<Kernel[]> {
  const records = await Promise.all((await kernelNames(store)).map((name) => readRecord(store, name)));
  return records.filter((record) => record !== undefined).map((record) => located(store, record));
}

/** A kernel, its initrd holding today's pouch-init. Throws `unknown-kernel` with the names that there are. */
export async function findKernel(store: KernelStore, name: string): Promise<Kernel> {
  const record = namePattern.test(name) ? await readRecord(store, name) : undefined;
  if (record === undefined) {
    const names = await kernelNames(store);
    throw new MachineError('unknown-kernel', `there is no guest kernel ${JSON.stringify(name)}; ${names.length === 0 ? 'there are none yet' : `there are ${names.join(', ')}`}`);
  }
  const init = await readInit(store);
  const initDigest = sha256(init);
  const kernel = located(store, { ...record, initDigest });
  if (record.initDigest !== initDigest) {
    const modules = await readFile(join(store.directory, name, 'modules.cpio'));
    await writeByRename(kernel.initrdPath, Buffer.concat([initArchive(init), modules]));
    await writeByRename(join(store.directory, name, 'kernel.json'), `${JSON.stringify({ ...record, initDigest }, null, 2)}\n`);
  }
  return kernel;
}

/** Keeps what booting showed. Of two at once the later one's record stands; the other is only probed again. */
export async function recordVerdict(store: KernelStore, name: string, profile: Profile, verdict: ProfileVerdict): Promise<void> {
  const record = await readRecord(store, name);
  if (record === undefined) return; // removed meanwhile: nothing to say about it
  await writeByRename(join(store.directory, name, 'kernel.json'), `${JSON.stringify({ ...record, profiles: { ...record.profiles, [profile]: verdict } }, null, 2)}\n`);
}

/** Removes a kernel; machines that run keep what they have opened. No error when there is none. */
export async function removeKernel(store: Pick<KernelStore, 'directory'>, name: string): Promise<void> {
  checkedName(name);
  const temporary = join(store.directory, `.${name}.${process.pid}.${randomBytes(4).toString('hex')}.gone`);
  try {
    await rename(join(store.directory, name), temporary);
  } catch (error) {
    if (isAbsent(error)) return;
    throw error;
  }
  await rm(temporary, { recursive: true, force: true });
}
