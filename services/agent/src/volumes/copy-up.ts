// What an image has at a path, copied for a volume: with owners, modes, times and extended attributes. The copy goes into a directory of its own, so that
// one which is cut short, or whose copier outlives its agent for a moment, is never taken for whole. It knows no volumes.
import { execFile } from 'node:child_process';
import { lstat, mkdir } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '@pouch/process';
import { directoryInLayers } from '../containers/layered-files.ts';

const run = promisify(execFile);
const maxOutputBytes = 64 * 1024;

/**
 * Mounts the layers in a mount namespace that only the copier has: it is gone with it, whatever happens. The copier is ended with its agent, and
 * changes only to programs that keep this so (prctl(2), PR_SET_PDEATHSIG).
 */
const merged = 'mount -t overlay -o "ro,lowerdir=$1" overlay "$2" && exec cp -a -- "$2/$3/." "$4/"';

export interface CopySource {
  /** Directories of the image's layers, the uppermost first. */
  readonly layers: readonly string[];
  /** Absolute, in the container. */
  readonly path: string;
}

/** Copies into `to`, which it makes, with `scratch`, an empty directory, to mount on. False: the image has no directory there, and nothing was made. What fails leaves a part in `to`. */
export async function copyUp({ layers, path }: CopySource, { to, scratch }: { readonly to: string; readonly scratch: string }): Promise<boolean> {
  const found = await directoryInLayers(layers, path);
  if (found === null) return false;
  await mkdir(to, { mode: 0o755 });
  const [only] = layers;
  const copier = layers.length === 1 && only !== undefined
    ? ['cp', '-a', '--', `${join(only, found)}/.`, `${to}/`]
    : ['unshare', '--mount', '--propagation', 'private', 'sh', '-ec', merged, 'sh', ...lowerDirectories(layers), scratch, found, to];
  await run('setpriv', ['--pdeathsig', 'KILL', ...copier], { cwd: baseOf(layers), maxBuffer: maxOutputBytes }).catch((error: unknown) => {
    const said = (error as { readonly stderr?: unknown }).stderr;
    throw new Error(`what the image has at ${path} could not be copied into an empty volume: ${typeof said === 'string' && said !== '' ? said.trim().slice(0, 1_000) : messageOf(error)}`, { cause: error });
  });
  return true;
}

/** Relative to what they have in common: the kernel takes one page of mount options in all. */
function lowerDirectories(layers: readonly string[]): [string] {
  const base = baseOf(layers);
  return [layers.map((layer) => relative(base, layer)).join(':')];
}

function baseOf(layers: readonly string[]): string {
  const parents = layers.map((layer) => resolve(layer, '..').split('/'));
  const [first = ['']] = parents;
  const differs = first.findIndex((part, depth) => parents.some((parts) => parts[depth] !== part));
  return first.slice(0, differs === -1 ? first.length : differs).join('/') || '/';
}

export async function isThere(path: string): Promise<boolean> {
  return await lstat(path).then(() => true, (error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return false;
    throw error;
  });
}
