// A root file system that travels in the guest's initramfs, for machines without disks: the kernel's initrd, then the tree below /rootfs.
// Extended attributes are lost (the format has none), and so is what the guest writes, when it ends. It must not follow links in the tree.
import { createReadStream, createWriteStream } from 'node:fs';
import { lstat, readFile, readdir, readlink, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { cpioParts, type CpioEntry } from '../machine/cpio.ts';
import { MachineError } from '../machine/errors.ts';

/** The guest holds it in memory twice while it unpacks it. */
const maxTreeBytes = 2 * 2 ** 30;
const maxFileBytes = 512 * 2 ** 20;

/** Where the guest's init looks for it. */
const prefix = 'rootfs';

/** Every entry of a tree, directories first. A file with several names has its content at the first of them only: the kernel links the others. */
async function* walk(directory: string, name: string, seen: Map<string, number>): AsyncGenerator<readonly [CpioEntry, number]> {
  const path = name === prefix ? directory : join(directory, name.slice(prefix.length + 1));
  const status = await lstat(path);
  const entry = { name, mode: status.mode, uid: status.uid, gid: status.gid };
  const key = `${status.dev}:${status.ino}`;
  const known = seen.get(key);
  const inode = known ?? seen.size + 1;
  seen.set(key, inode);
  if (status.isDirectory()) {
    yield [entry, inode];
    for (const child of (await readdir(path)).sort()) yield* walk(directory, `${name}/${child}`, seen);
  } else if (status.isFile()) {
    if (status.size > maxFileBytes) throw new MachineError('bad-rootfs', `${name.slice(prefix.length)} is too big for a machine without disks: its root file system travels in memory`);
    yield [{ ...entry, links: status.nlink, ...(known === undefined ? { content: await readFile(path) } : {}) }, inode];
  } else if (status.isSymbolicLink()) {
    yield [{ ...entry, content: Buffer.from(await readlink(path)) }, inode];
  } else if (!status.isSocket()) {
    const device = { major: Math.floor(status.rdev / 256) & 0xfff, minor: status.rdev & 0xff };
    yield [{ ...entry, device }, inode];
  }
}

async function* archive(directory: string): AsyncGenerator<Uint8Array> {
  const seen = new Map<string, number>();
  let total = 0;
  for await (const [entry, inode] of walk(directory, prefix, seen)) {
    total += entry.content?.length ?? 0;
    if (total > maxTreeBytes) throw new MachineError('bad-rootfs', 'the root file system is too big for a machine without disks: it travels in memory');
    yield* cpioParts(entry, inode);
  }
  yield* cpioParts({ name: 'TRAILER!!!', mode: 0 }, 0);
}

/** Writes `path`: the kernel's initrd with the tree of `directory` behind it. Returns its size in bytes. */
export async function makeInitramfs(kernelInitrd: string, directory: string, path: string): Promise<number> {
  const temporary = `${path}.${process.pid}`;
  try {
    await pipeline(createReadStream(kernelInitrd), createWriteStream(temporary, { mode: 0o644 }));
    await pipeline(Readable.from(archive(directory), { objectMode: false }), createWriteStream(temporary, { flags: 'a' }));
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
  return (await lstat(path)).size;
}
