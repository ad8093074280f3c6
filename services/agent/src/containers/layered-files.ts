// Reads files of a root file system from the layers it is made of, without mounting it. It knows whiteouts and symbolic links; a
// directory that hides the ones below it (opaque) is not told apart, since Node cannot read the attribute that says so.
import { lstat, open, readlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Mount } from '@pouch/containerd';

const maxLinks = 40;
const maxFileBytes = 4 * 2 ** 20;

/** Directories of the layers, the uppermost first; empty for a mount that is not made of directories. */
export function layersOf(mounts: readonly Mount[]): string[] {
  const [mount] = mounts;
  if (mount === undefined) return [];
  if (mount.type === 'bind') return [mount.source];
  if (mount.type !== 'overlay') return [];
  const option = (name: string): string[] => mount.options.filter((text) => text.startsWith(`${name}=`)).map((text) => text.slice(name.length + 1));
  return [...option('upperdir'), ...option('lowerdir').flatMap((dirs) => dirs.split(':'))];
}

/** Text of an absolute path inside the layers; null: there is no such regular file. Links are followed inside, never out. */
export async function readInLayers(layers: readonly string[], path: string): Promise<string | null> {
  const found = await locate(layers, path);
  if (found === null) return null;
  const file = await open(found, 'r');
  try {
    const { size } = await file.stat();
    if (size > maxFileBytes) throw new Error(`${path} in the image has ${size} bytes, more than the ${maxFileBytes} that are read`);
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

/**
 * Whether one layer has a word on any of these relative paths: the file, a whiteout, or something other than a directory on the way to it.
 * Where it has none, the layers below it alone give the answer.
 */
export async function hasAny(layer: string, paths: readonly string[]): Promise<boolean> {
  const found = await Promise.all(paths.map((path) => lstat(join(layer, path)).then(() => true, async (error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return await passesALink(layer, path);
    if (error.code === 'ENOTDIR') return true;
    throw error;
  })));
  return found.includes(true);
}

/** A link on the way leads lstat elsewhere: what is missing there says nothing. */
async function passesALink(layer: string, path: string): Promise<boolean> {
  const parent = dirname(path);
  if (parent === '.') return false;
  const status = await lstat(join(layer, parent)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  return status === null ? await passesALink(layer, parent) : !status.isDirectory();
}

/** Whether any of these relative paths is a symbolic link in any of the layers. */
export async function hasLinks(layers: readonly string[], paths: readonly string[]): Promise<boolean> {
  for (const layer of layers) {
    for (const path of paths) {
      const status = await lstat(join(layer, path)).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null;
        throw error;
      });
      if (status?.isSymbolicLink() === true) return true;
    }
  }
  return false;
}

/** Path inside the layers, without a leading slash and with its links followed, of the directory that an absolute path leads to; null: there is none. Links never lead out. */
export async function directoryInLayers(layers: readonly string[], path: string): Promise<string | null> {
  const found = await resolve(layers, path);
  return found === null || found.file !== null ? null : found.path;
}

async function locate(layers: readonly string[], path: string): Promise<string | null> {
  return (await resolve(layers, path))?.file ?? null;
}

/** `file` null: a directory. */
async function resolve(layers: readonly string[], path: string): Promise<{ readonly path: string; readonly file: string | null } | null> {
  let parts = normalise(path.split('/'));
  for (let links = 0; links <= maxLinks; links++) {
    let directories = [...layers];
    let followed = false;
    for (const [depth, part] of parts.entries()) {
      const found = await lookUp(directories, part);
      if (found.link !== null) {
        const base = found.link.startsWith('/') ? [] : parts.slice(0, depth);
        parts = normalise([...base, ...found.link.split('/'), ...parts.slice(depth + 1)]);
        followed = true;
        break;
      }
      if (found.file !== null) return depth === parts.length - 1 ? { path: parts.join('/'), file: found.file } : null;
      directories = found.directories;
      if (directories.length === 0) return null;
    }
    if (!followed) return { path: parts.join('/'), file: null };
  }
  return null;
}

function normalise(parts: readonly string[]): string[] {
  const result: string[] = [];
  for (const part of parts) {
    if (part === '' || part === '.') continue;
    if (part === '..') result.pop();
    else result.push(part);
  }
  return result;
}

async function lookUp(directories: readonly string[], name: string): Promise<{ directories: string[]; file: string | null; link: string | null }> {
  const merged: string[] = [];
  for (const directory of directories) {
    const path = join(directory, name);
    const status = await lstat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null;
      throw error;
    });
    if (status === null) continue;
    if (status.isDirectory()) {
      merged.push(path);
      continue;
    }
    if (merged.length > 0) break; // a directory above hides it
    if (status.isSymbolicLink()) return { directories: [], file: null, link: await readlink(path) };
    return { directories: [], file: status.isFile() ? path : null, link: null };
  }
  return { directories: merged, file: null, link: null };
}
