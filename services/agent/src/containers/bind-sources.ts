// The directories of the host that a container is given: there before its spec is made, and, where the policy opens only some, within those.
import { mkdir, realpath, stat } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import type { ContainerSpec } from '@pouch/domain';
import { ImpossibleError } from './failures.ts';

/** Binds make a missing source, as Docker's `-v` does; a mount of type bind refuses it. Fails with ImpossibleError in Docker's words. */
export async function makeSources({ mounts }: Pick<ContainerSpec, 'mounts'>): Promise<void> {
  for (const mount of mounts) {
    if (mount.type !== 'bind') continue;
    if (mount.within !== undefined) await requireWithin(mount.source, mount.within);
    const there = await stat(mount.source).then(() => true, (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw new ImpossibleError('bad-parameter', `invalid mount config for type "bind": ${error.message}`);
    });
    if (there) continue;
    if (!mount.createSource) throw new ImpossibleError('bad-parameter', `invalid mount config for type "bind": bind source path does not exist: ${mount.source}`);
    try {
      await mkdir(mount.source, { recursive: true });
    } catch (error) {
      throw new ImpossibleError('bad-parameter', `error while creating mount source path '${mount.source}': ${(error as Error).message}`);
    }
  }
}

/**
 * Refuses a path that leads out of an open directory by links, before anything is made there. A container that can write to the directory could
 * change a link after this look and before the runtime mounts: an open directory should hold one owner's containers.
 */
async function requireWithin(source: string, within: string): Promise<void> {
  const [inner, outer] = await Promise.all([resolved(source), resolved(within)]);
  if (inner !== outer && relative(outer, inner).split('/')[0] === '..') throw new ImpossibleError('denied', `the cluster's policy: rule host-binds: ${source} leads to ${inner}, which is not below ${within}`);
}

/** The path with its links followed, as far as it is there. */
async function resolved(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || path === '/') throw new ImpossibleError('bad-parameter', `invalid mount config for type "bind": ${(error as Error).message}`);
    return join(await resolved(dirname(path)), path.slice(dirname(path).length));
  }
}
