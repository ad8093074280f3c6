// Read-only layers of a root file system as erofs images, made once per directory and kept. mkfs.erofs keeps whiteouts (character devices 0:0) and
// trusted.overlay.* attributes as they are, so that the guest's overlay understands them. It must not write to the directories.
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { layerDiskBytes } from '../machine/disk-sizes.ts';
import { MachineError } from '../machine/errors.ts';
import { makeOnce } from '../machine/once.ts';
import { runProgram } from '../machine/programs.ts';

const keyOf = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 40);

/** Changes with the directory itself: engines make a layer's directory once and never write to it again. */
async function directoryKey(directory: string): Promise<string> {
  const { dev, ino, mtimeNs, ctimeNs } = await stat(directory, { bigint: true }).catch((cause: unknown) => { throw new MachineError('bad-rootfs', `the layer ${directory} is not there`, { cause }); });
  return keyOf([directory, dev, ino, mtimeNs, ctimeNs].join('\0'));
}

/** Writes one erofs image of a directory, sparse up to the size that every layer has. */
export async function makeErofs(directory: string, image: string): Promise<void> {
  await runProgram('mkfs.erofs', ['--quiet', image, directory], { timeoutMs: 170_000 });
  await truncate(image, layerDiskBytes);
}

/** The kept image of a directory, made when it is not there. */
export async function layerImage(layerDir: string, directory: string): Promise<string> {
  return await cached(layerDir, await directoryKey(directory), [directory], (image) => makeErofs(directory, image));
}

async function cached(layerDir: string, key: string, sources: readonly string[], make: (image: string) => Promise<void>): Promise<string> {
  await mkdir(layerDir, { recursive: true, mode: 0o755 });
  return await makeOnce(join(layerDir, `${key}.erofs`), async (image) => {
    await writeFile(join(layerDir, `${key}.json`), JSON.stringify({ sources }));
    await make(image);
  });
}

/** One kept image of several directories that lie over one another, uppermost first, as their overlay shows them: for more layers than a machine has disks. */
export async function mergedImage(layerDir: string, directories: readonly string[]): Promise<string> {
  const keys = await Promise.all(directories.map(directoryKey));
  return await cached(layerDir, keyOf(keys.join('\0')), directories, async (image) => {
    // Mounted in a mount namespace that ends with the program: nothing is left behind, however it ends. An overlay takes few
    // long paths in its options (one page), so each directory gets a short name first.
    const script = [
      'set -e', 'image=$1', 'shift', 'mount -t tmpfs -o size=1m tmpfs /mnt', 'n=0', 'list=',
      'for directory; do mkdir /mnt/$n; mount --bind "$directory" /mnt/$n; list=$list${list:+:}$n; n=$((n + 1)); done',
      'mkdir /mnt/m', 'cd /mnt', 'mount -t overlay -o "ro,lowerdir=$list" overlay /mnt/m', 'cd /', 'exec mkfs.erofs --quiet "$image" /mnt/m',
    ].join('\n');
    await runProgram('unshare', ['--mount', '--propagation', 'private', '/bin/sh', '-c', script, 'sh', image, ...directories], { timeoutMs: 170_000 });
    await truncate(image, layerDiskBytes);
  });
}

/** Removes kept images whose directories are gone or are others by now. Machines that run keep what they have opened. Returns how many went. */
export async function sweepLayers(layerDir: string): Promise<number> {
  let removed = 0;
  const names = await readdir(layerDir).catch(() => []); // no such directory: nothing to sweep
  for (const name of names.filter((one) => /^[0-9a-f]{40}\.json$/.test(one))) {
    const { sources } = JSON.parse(await readFile(join(layerDir, name), 'utf8').catch(() => '{"sources":[]}')) as { sources: readonly string[] };
    const keys = await Promise.all(sources.map((source) => directoryKey(source).catch(() => '')));
    const now = keys.length === 1 ? keys[0] : keyOf(keys.join('\0'));
    const key = name.slice(0, 40);
    if (now === key) continue;
    await rm(join(layerDir, `${key}.erofs`), { force: true });
    await rm(join(layerDir, name), { force: true });
    removed++;
  }
  return removed;
}
