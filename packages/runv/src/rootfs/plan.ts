// Where a container's root file system comes from, and what the machine and its guest are given for it.
// It makes images and disks that are missing; it must not mount anything that a guest can write, nor start a process that stays.
import { readFile, readdir, realpath, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { MachineError } from '../machine/errors.ts';
import { maxDisks } from '../machine/qemu-command.ts';
import type { Disk, Kernel, Profile, SharedDirectory } from '../machine/types.ts';
import { makeInitramfs } from './initramfs.ts';
import { layerImage, makeErofs, mergedImage } from './layers.ts';
import { mountAt, overlayOf, parseMountinfo, type Overlay } from './mountinfo.ts';
import { provideRootDisk, provideScratch, type Owner } from './scratch.ts';
import { virtiofsdCommand, type SideProcess } from './virtiofs.ts';

/** Record tags and layer kinds of CONFIGURE (packages/native/c/vm/protocol.h). */
const tagLayer = 2;
const tagScratch = 3;
const kinds = { erofs: 0, ext4: 1, virtiofs: 2 } as const;

/** Disks left for other things than layers: the scratch disk, and the upper directory's image. */
const maxLayers = maxDisks - 4;

/**
 * `layers`: erofs images and a scratch disk under the guest's overlay, virtiofs for a plain directory (modern guests);
 * `disk`: one ext4 disk with a copy of everything (guests without overlay or erofs);
 * `initramfs`: everything travels in the initramfs, and what is written is lost at the end (machines without disks).
 */
export type RootfsMode = 'layers' | 'disk' | 'initramfs';

export interface RootfsRequest {
  readonly bundle: string;
  /** Absolute; as the bundle's config.json says. */
  readonly rootfsPath: string;
  /** The container's own directory; what is made there goes with it. */
  readonly stateDir: string;
  readonly config: { readonly layerDir: string; readonly uid: number; readonly gid?: number };
  /** Forced; absent: what the profile and the kernel can do. */
  readonly mode?: RootfsMode;
  readonly profile?: Profile;
  readonly kernel?: Pick<Kernel, 'initrdPath'>;
  /** What the kernel lacks (`overlay`, `erofs`, `virtiofs`), as its verdict says. */
  readonly lacks?: readonly string[];
  /** The scratch disk is only named: whoever asks makes it, or puts one there. */
  readonly deferScratch?: boolean;
  /** Text of /proc/self/mountinfo; for tests. */
  readonly mountinfo?: string;
}

/** A record of CONFIGURE. */
export interface GuestRecord { readonly tag: number; readonly payload: Buffer }

export interface RootfsPlan {
  /** In order: the guest sees /dev/vda, /dev/vdb, … They must be the machine's first disks. */
  readonly disks: readonly Disk[];
  /** VM_C_LAYER, lowest first, and VM_C_SCRATCH. */
  readonly guest: readonly GuestRecord[];
  readonly virtiofs: readonly (SharedDirectory & { readonly side: SideProcess })[];
  /** What is written goes there. `isNew`: nobody has written yet. */
  readonly scratch?: { readonly path: string; readonly isNew: boolean };
  /** Instead of the kernel's; the guest needs about twice its size in memory besides what it needs anyway. */
  readonly initrd?: { readonly path: string; readonly sizeBytes: number };
}

const diskName = (index: number): string => `/dev/vd${String.fromCharCode('a'.charCodeAt(0) + index)}`;

function layerRecord(kind: keyof typeof kinds, source: string): GuestRecord {
  return { tag: tagLayer, payload: Buffer.concat([Buffer.from([kinds[kind], 0, 0, 0]), Buffer.from(source)]) };
}

/** Makes what is missing and says what the machine gets. Throws `bad-rootfs`, `missing-program` or `program-failed`. */
export async function planRootfs(request: RootfsRequest): Promise<RootfsPlan> {
  const { config, stateDir } = request;
  const owner: Owner = { uid: config.uid, gid: config.gid ?? config.uid };
  const rootfs = await realpath(request.rootfsPath).catch((cause: unknown) => { throw new MachineError('bad-rootfs', `the root file system ${request.rootfsPath} is not there`, { cause }); });
  const mount = mountAt(parseMountinfo(request.mountinfo ?? await readFile('/proc/self/mountinfo', 'utf8')), rootfs);
  const overlay = mount === undefined ? undefined : overlayOf(mount);
  const located = overlay === undefined ? undefined : await locateLayers(overlay, rootfs);
  // Beside the upper directory it lives as long as the container's snapshot, over stop and start.
  const disk = (kind: 'scratch' | 'root'): string => (located === undefined || located.upper === null ? join(stateDir, `${kind}.img`) : join(dirname(located.upper), `runv-${kind}.img`));

  const mode = request.mode ?? modeFor(request, located !== undefined);
  if (mode === 'initramfs') {
    if (request.kernel === undefined) throw new TypeError('a root file system in the initramfs needs the kernel\'s');
    const path = join(stateDir, 'initrd');
    return { disks: [], guest: [], virtiofs: [], initrd: { path, sizeBytes: await makeInitramfs(request.kernel.initrdPath, rootfs, path) } };
  }
  if (mode === 'disk') {
    const path = await provideRootDisk(disk('root'), rootfs, owner);
    return { disks: [{ id: 'root', path, readOnly: false }], guest: [layerRecord('ext4', diskName(0))], virtiofs: [] };
  }
  if (located === undefined) {
    const share = { tag: 'rootfs', directory: rootfs, socketPath: join(stateDir, 'rootfs.sock') };
    const side = await virtiofsdCommand(share);
    return { disks: [], guest: [layerRecord('virtiofs', share.tag)], virtiofs: [{ ...share, side }] };
  }
  const images = await layerImages(located, request);
  const layers = images.map((path, index): Disk => ({ id: `layer${index}`, path, readOnly: true }));
  const scratch: Disk = { id: 'scratch', path: disk('scratch'), readOnly: false };
  const isNew = await stat(scratch.path).then(() => false, () => true);
  if (request.deferScratch !== true) await provideScratch(scratch.path, config.layerDir, owner);
  return {
    disks: [...layers, scratch],
    guest: [...layers.map((_, index) => layerRecord('erofs', diskName(index))), { tag: tagScratch, payload: Buffer.from(diskName(layers.length)) }],
    virtiofs: [],
    scratch: { path: scratch.path, isNew },
  };
}

function modeFor({ profile, lacks = [] }: RootfsRequest, isOverlay: boolean): RootfsMode {
  if (profile === 'bare') return 'initramfs';
  const needs = isOverlay ? ['overlay', 'erofs'] : ['virtiofs'];
  return needs.some((need) => lacks.includes(need)) ? 'disk' : 'layers';
}

/** Images lowest first. Empty directories hide and show nothing and are left out, unless nothing else is there. */
async function layerImages({ lower, upper }: Overlay, { config: { layerDir }, stateDir }: RootfsRequest): Promise<string[]> {
  const filled: string[] = [];
  for (const directory of lower) if (!(await isEmpty(directory))) filled.push(directory);
  if (filled.length === 0) filled.push(lower[0] as string);
  const lowestFirst = filled.toReversed();
  const merged = lowestFirst.length > maxLayers ? lowestFirst.splice(0, lowestFirst.length - maxLayers + 1) : [];
  const images = merged.length > 0 ? [await mergedImage(layerDir, merged.toReversed())] : [];
  for (const directory of lowestFirst) images.push(await layerImage(layerDir, directory));
  if (upper !== null && !(await isEmpty(upper))) {
    const image = join(stateDir, 'upper.erofs'); // its content may differ at each start
    await makeErofs(upper, image);
    images.push(image);
  }
  return images;
}

const isEmpty = async (directory: string): Promise<boolean> => (await readdir(directory)).length === 0;

/** An overlay's directories, absolute and without links. Engines with many layers mount from within their store and give relative ones. */
async function locateLayers({ lower, upper }: Overlay, rootfs: string): Promise<Overlay> {
  const bases = [...(upper !== null && isAbsolute(upper) ? [dirname(dirname(upper)), dirname(dirname(dirname(upper)))] : []), dirname(dirname(rootfs)), dirname(rootfs)];
  for (const base of lower.every(isAbsolute) && (upper === null || isAbsolute(upper)) ? ['/'] : bases) {
    const all = [...lower, ...(upper === null ? [] : [upper])].map((directory) => resolve(base, directory));
    const there = await Promise.all(all.map((directory) => stat(directory).then((found) => found.isDirectory(), () => false)));
    if (!there.every(Boolean)) continue;
    const real = await Promise.all(all.map((directory) => realpath(directory)));
    return { lower: real.slice(0, lower.length), upper: upper === null ? null : (real.at(-1) ?? null) };
  }
  throw new MachineError('bad-rootfs', `the layers of ${rootfs} cannot be found: ${lower.slice(0, 3).join(', ')}${lower.length > 3 ? ', …' : ''}`);
}
