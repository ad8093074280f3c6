// A kernel from the object store onto this host's disk: the tar is held against its digest first, then its image and modules are taken out of it.
// Only regular files come out, under the directory given, each once; links are left out.
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { readTar } from '@pouch/containerd';
import type { ObjectStore } from '@pouch/eventlog';
import { OperatingError } from '@pouch/process';

export interface UnpackedKernel {
  readonly image: string;
  /** Null: it has none. */
  readonly modules: string | null;
}

/** Into an empty directory of the caller's, who removes it. Rejects with LogUnavailable, `not-found`, `damaged`. */
export async function unpackKernel(objects: Pick<ObjectStore, 'get'>, digest: string, directory: string): Promise<UnpackedKernel> {
  const tar = join(directory, 'archive.tar');
  // To the end before anything of it is used: only then is the digest known to be right.
  await pipeline(Readable.from(objects.get(digest)), createWriteStream(tar, { flags: 'wx', mode: 0o600 }));
  const image = join(directory, 'image');
  let modules: string | null = null;
  let found = false;
  for await (const { name, type, body } of readTar(createReadStream(tar))) {
    if (type !== 'file') continue;
    if (name === 'image') found = true;
    else if (name.startsWith('modules/')) modules = join(directory, 'modules');
    else continue;
    const path = join(directory, name); // the reader lets no name out of its archive
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await pipeline(Readable.from(body), createWriteStream(path, { flags: 'wx', mode: 0o600 }));
  }
  if (!found) throw new OperatingError('damaged', 'the archive of the kernel holds no image');
  return { image, modules };
}
