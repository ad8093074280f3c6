// Disks that a guest writes to: ext4, sparse. The host only makes them; it must never mount what a guest has written.
import { chown, chmod, mkdir, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { scratchBytes } from '../machine/disk-sizes.ts';
import { makeOnce } from '../machine/once.ts';
import { runProgram } from '../machine/programs.ts';

// Old guests know no checksums of metadata, 64-bit block numbers or orphan file; new ones lose nothing that counts here.
const features = '^metadata_csum,^64bit,^orphan_file';

const format = (extended: string): string[] => ['-q', '-F', '-m', '0', '-i', '32768', '-J', 'size=8', '-O', features, '-E', extended];

/** Makes a file system in a sparse file. The tables need no zeroing, now or by the guest later: a sparse file reads as zeros. */
async function makeExt4(path: string, sizeBytes: number, more: readonly string[] = []): Promise<void> {
  await writeFile(path, '');
  await truncate(path, sizeBytes);
  try {
    await runProgram('mkfs.ext4', [...format('root_owner=0:0,assume_storage_prezeroed=1'), ...more, path]);
  } catch (error) {
    if (!(error instanceof Error) || !/assume_storage_prezeroed|Bad option/i.test(error.message)) throw error;
    await runProgram('mkfs.ext4', [...format('root_owner=0:0,lazy_itable_init=1'), ...more, path]); // e2fsprogs before 1.47
  }
}

const isThere = (path: string): Promise<boolean> => stat(path).then(() => true, () => false);

export interface Owner { readonly uid: number; readonly gid: number }

async function handOver(path: string, { uid, gid }: Owner): Promise<void> {
  await chmod(path, 0o600);
  await chown(path, uid, gid);
}

/** An empty scratch disk at `path`; what is there already is kept, with all that a guest has written. */
export async function provideScratch(path: string, layerDir: string, owner: Owner): Promise<string> {
  if (!(await isThere(path))) {
    await mkdir(layerDir, { recursive: true, mode: 0o755 });
    const template = await makeOnce(join(layerDir, `scratch-${scratchBytes / 2 ** 30}g.ext4`), (temporary) => makeExt4(temporary, scratchBytes));
    const temporary = `${path}.${process.pid}`;
    try {
      await runProgram('cp', ['--sparse=always', '--reflink=auto', template, temporary]);
      await rename(temporary, path);
    } finally {
      await rm(temporary, { force: true });
    }
  }
  await handOver(path, owner);
  return path;
}

/** A writable ext4 disk holding a copy of a directory, for guests without overlay or erofs; what is there already is kept. */
export async function provideRootDisk(path: string, directory: string, owner: Owner): Promise<string> {
  if (!(await isThere(path))) {
    await mkdir(dirname(path), { recursive: true });
    const temporary = `${path}.${process.pid}`;
    try {
      await makeExt4(temporary, scratchBytes, ['-d', directory]);
      await rename(temporary, path);
    } finally {
      await rm(temporary, { force: true });
    }
  }
  await handOver(path, owner);
  return path;
}
