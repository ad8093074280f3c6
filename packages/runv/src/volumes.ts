// Mounts of the host's files and directories: by virtiofs, or as files laid over the root where nobody writes to them.
// It only looks and makes places below the container's own directory; what it needs mounted, a side process mounts in its own namespace.
import { mkdir, readFile, realpath, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Failure, messageOf } from './failure.ts';
import type { SharedDirectory } from './machine/types.ts';
import { virtiofsdCommand, type SideProcess } from './rootfs/virtiofs.ts';
import type { MountSpec } from './spec.ts';
import { fileRecord, mountRecord, ownMount } from './spec-to-guest.ts';

export interface VolumePlan {
  /** VM_C_MOUNT and VM_C_FILE, in the order of the mounts. */
  readonly records: readonly Buffer[];
  readonly shares: readonly (SharedDirectory & { readonly side: SideProcess })[];
}

/** Engines write these, and what is in /run/secrets, before the start; a copy is as good. */
export const generated = new Set(['/etc/resolv.conf', '/etc/hosts', '/etc/hostname', '/run/.containerenv', '/.dockerenv']);
const maxCopiedBytes = 256 << 10;
/** microvm has no more places for devices beside disks, NIC and port. */
const maxShares = 12;

interface SingleFile { readonly source: string; readonly name: string; readonly readOnly: boolean }

const bindScript = 'while [ "$1" != -- ]; do mount --bind "$2" "$3" || exit 1; if [ "$1" = ro ]; then mount -o remount,bind,ro "$3" || exit 1; fi; shift 3; done; shift; exec "$@"';

/** Single files, each bound on a place in one shared directory, in the mount namespace of the process that serves it. */
async function stage(files: readonly SingleFile[], stateDir: string): Promise<SharedDirectory & { readonly side: SideProcess }> {
  const directory = join(stateDir, 'files');
  await mkdir(directory, { recursive: true, mode: 0o700 });
  for (const { name } of files) await writeFile(join(directory, name), '');
  const share = { tag: 'files', directory, socketPath: join(stateDir, 'files.sock') };
  const { program, args } = await virtiofsdCommand(share);
  const binds = files.flatMap(({ source, name, readOnly }) => [readOnly ? 'ro' : 'rw', source, join(directory, name)]);
  return { ...share, side: { program: '/usr/bin/unshare', args: ['--mount', '--propagation', 'private', '/bin/sh', '-c', bindScript, 'sh', ...binds, '--', program, ...args] } };
}

/** Throws `unsupported` for what a guest cannot reach (sockets, devices), `bad-spec` for sources that are not there. */
export async function planVolumes(mounts: readonly MountSpec[], stateDir: string, bundle: string): Promise<VolumePlan> {
  const records: Buffer[] = [];
  const shares: (SharedDirectory & { readonly side: SideProcess })[] = [];
  const files: SingleFile[] = [];
  for (const mount of mounts) {
    const own = ownMount(mount);
    if (own !== undefined) {
      records.push(own);
      continue;
    }
    const { destination, options = [] } = mount;
    const readOnly = options.includes('ro');
    const source = await realpath(mount.source?.startsWith('/') === true ? mount.source : join(bundle, mount.source ?? '')).catch((cause: unknown) => {
      throw new Failure('bad-spec', `the mount on ${destination}: its source ${mount.source ?? ''} is not there: ${messageOf(cause)}`, { cause });
    });
    const found = await stat(source);
    if (found.isDirectory()) {
      const tag = `volume${shares.length}`;
      const share = { tag, directory: source, socketPath: join(stateDir, `${tag}.sock`) };
      shares.push({ ...share, side: await virtiofsdCommand({ ...share, readOnly }) });
      records.push(mountRecord(destination, 'virtiofs', tag, options));
    } else if (found.isFile()) {
      // An init that the engine brings is executed, never written to.
      const copied = found.size <= maxCopiedBytes && (generated.has(destination) || (readOnly && destination.startsWith('/run/secrets/')) || (readOnly && /init$/.test(destination)));
      if (copied) {
        records.push(fileRecord(destination, found.mode & 0o7777, await readFile(source)));
        continue;
      }
      const name = `file${files.length}`;
      files.push({ source, name, readOnly });
      records.push(mountRecord(destination, 'virtiofs', 'files', options, name));
    } else {
      throw new Failure('unsupported', `the mount of ${source} on ${destination}: a virtual machine cannot have this: a ${found.isSocket() ? 'socket' : found.isFIFO() ? 'FIFO' : 'device'} is of the host's kernel`);
    }
  }
  if (files.length > 0) shares.push(await stage(files, stateDir));
  if (shares.length > maxShares) throw new Failure('unsupported', `${shares.length} directories are more than the ${maxShares} that a virtual machine can be given`);
  return { records, shares };
}
