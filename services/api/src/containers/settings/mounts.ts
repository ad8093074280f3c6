// Settings of mounts: Binds, Mounts, Tmpfs, VolumesFrom, Volumes. Checks and cleans paths; whether a source exists is the host's to say.
import { posix } from 'node:path';
import type { DockerHostConfig } from '@pouch/contracts';
import type { Mount, VolumeMount } from '@pouch/domain';
import { badField } from '../../errors.ts';
import { config, host, type Setting } from './table.ts';
import { volumesFrom } from './volumes-from.ts';
import { boundVolume, boundVolumeText, declaredVolume, declaredVolumeText, ownVolumesShown, targetOf, withOwnVolumes } from './volumes.ts';

type BindMount = Extract<Mount, { type: 'bind' }>;
type TmpfsMount = Extract<Mount, { type: 'tmpfs' }>;
type DockerMounts = NonNullable<DockerHostConfig['Mounts']>;

const propagations = ['rprivate', 'private', 'rshared', 'shared', 'rslave', 'slave'] as const;
type Propagation = (typeof propagations)[number];
const isPropagation = (text: string): text is Propagation => (propagations as readonly string[]).includes(text);

export const mountSettings: readonly Setting[] = [
  host('Binds', (draft, value, { field }) => { draft.mounts = [...draft.mounts, ...value.map((text, index) => bind(text, `${field}[${index}]`))]; },
    ({ mounts }) => mounts.filter((mount) => mount.declaredAs === 'binds').flatMap((mount) => (mount.type === 'volume' ? [boundVolumeText(mount)] : mount.type === 'bind' ? [bindText(mount)] : []))),
  host('Mounts', (draft, value, { field }) => { draft.mounts = [...draft.mounts, ...value.map((mount, index) => declared(mount, `${field}[${index}]`))]; },
    ({ mounts }) => mounts.filter((mount) => mount.declaredAs === 'mounts').map(declaredText)),
  host('Tmpfs', (draft, value, { field }) => { draft.mounts = [...draft.mounts, ...Object.entries(value).map(([target, options]) => tmpfs(target, options, `${field}.${target}`))]; },
    ({ mounts }) => Object.fromEntries(mounts.filter((mount): mount is TmpfsMount => mount.declaredAs === 'tmpfs').map((mount) => [mount.target, tmpfsText(mount)]))),
  volumesFrom,
  // Last: what is mounted there by another setting comes before.
  config('Volumes', (draft, value, { field }) => { draft.mounts = withOwnVolumes(draft.mounts, Object.keys(value).map((path) => targetOf(path, `${field}.${path.slice(0, 200)}`))); },
    ({ mounts }) => ownVolumesShown(mounts)),
];

function source(path: string, field: string): string {
  if (path === '') throw badField(field, 'the source of a bind mount must not be empty');
  if (!path.startsWith('/')) throw badField(field, `${JSON.stringify(path.slice(0, 200))} is not an absolute path`);
  return posix.normalize(path).replace(/(?<=.)\/$/, '');
}

/** `source:target[:options]`, where the source is a path or a volume's name, or a target alone. */
function bind(text: string, field: string): BindMount | VolumeMount {
  const [from = '', to, options = '', ...rest] = text.split(':');
  if (to === undefined) return boundVolume(null, from, '', field);
  if (rest.length > 0) throw badField(field, `invalid volume specification: '${text.slice(0, 200)}'`);
  if (from !== '' && !from.startsWith('/')) return boundVolume(from, to, options, field);
  let readonly = false;
  let propagation: Propagation = 'rprivate';
  for (const option of options.split(',').filter((word) => word !== '')) {
    if (option === 'ro') readonly = true;
    else if (isPropagation(option)) propagation = option;
    // rw is the default; z, Z and nocopy have nothing to act on: no SELinux labels, no volume.
    else if (!['rw', 'z', 'Z', 'nocopy', 'rbind', 'bind'].includes(option)) throw badField(field, `invalid mode: ${option.slice(0, 80)}`);
  }
  return { type: 'bind', declaredAs: 'binds', source: source(from, field), target: targetOf(to, field), readonly, propagation, recursive: true, createSource: true };
}

function bindText({ source: from, target: to, readonly, propagation }: BindMount): string {
  const options = [readonly ? 'ro' : '', propagation === 'rprivate' ? '' : propagation].filter((word) => word !== '').join(',');
  return `${from}:${to}${options === '' ? '' : `:${options}`}`;
}

function declared(mount: DockerMounts[number], field: string): Mount {
  const readonly = mount.ReadOnly ?? false;
  switch (mount.Type) {
    case 'bind': {
      const propagation = mount.BindOptions?.Propagation || 'rprivate';
      if (mount.TmpfsOptions !== undefined) throw badField(`${field}.TmpfsOptions`, 'it does not go with a mount of type bind');
      if (mount.VolumeOptions !== undefined) throw badField(`${field}.VolumeOptions`, 'it does not go with a mount of type bind');
      if (!isPropagation(propagation)) throw badField(`${field}.BindOptions.Propagation`, `must be one of ${propagations.join(', ')}`);
      return {
        type: 'bind', declaredAs: 'mounts', source: source(mount.Source ?? '', `${field}.Source`), target: targetOf(mount.Target, `${field}.Target`), readonly, propagation,
        recursive: !(mount.BindOptions?.NonRecursive ?? false), createSource: mount.BindOptions?.CreateMountpoint ?? false,
      };
    }
    case 'tmpfs': {
      if ((mount.Source ?? '') !== '') throw badField(`${field}.Source`, 'a tmpfs has no source');
      if (mount.BindOptions !== undefined) throw badField(`${field}.BindOptions`, 'it does not go with a mount of type tmpfs');
      if (mount.VolumeOptions !== undefined) throw badField(`${field}.VolumeOptions`, 'it does not go with a mount of type tmpfs');
      return {
        type: 'tmpfs', declaredAs: 'mounts', target: targetOf(mount.Target, `${field}.Target`), sizeBytes: mount.TmpfsOptions?.SizeBytes || null, mode: mount.TmpfsOptions?.Mode ?? null,
        options: readonly ? ['ro'] : [],
      };
    }
    case 'volume':
      return declaredVolume(mount, field);
    case 'npipe':
    case 'cluster':
    case 'image':
      throw badField(`${field}.Type`, `mounts of type ${mount.Type} are not there yet; bind, tmpfs and volume are`);
    default:
      throw badField(`${field}.Type`, `mount type unknown: ${JSON.stringify(mount.Type.slice(0, 80))}`);
  }
}

function declaredText(mount: Mount): object {
  if (mount.type === 'volume') return declaredVolumeText(mount);
  if (mount.type === 'tmpfs') {
    const options = { ...(mount.sizeBytes === null ? {} : { SizeBytes: mount.sizeBytes }), ...(mount.mode === null ? {} : { Mode: mount.mode }) };
    return { Type: 'tmpfs', Target: mount.target, ...(mount.options.includes('ro') ? { ReadOnly: true } : {}), ...(Object.keys(options).length > 0 ? { TmpfsOptions: options } : {}) };
  }
  const options = {
    ...(mount.propagation === 'rprivate' ? {} : { Propagation: mount.propagation }), ...(mount.recursive ? {} : { NonRecursive: true }), ...(mount.createSource ? { CreateMountpoint: true } : {}),
  };
  return { Type: 'bind', Source: mount.source, Target: mount.target, ...(mount.readonly ? { ReadOnly: true } : {}), ...(Object.keys(options).length > 0 ? { BindOptions: options } : {}) };
}

const tmpfsFlags = new Set(['rw', 'ro', 'exec', 'noexec', 'suid', 'nosuid', 'dev', 'nodev', 'sync', 'async', 'dirsync', 'atime', 'noatime', 'diratime', 'nodiratime', 'relatime', 'norelatime', 'strictatime', 'nostrictatime', 'remount', 'mand', 'nomand', 'bind', 'rbind', 'defaults']);

/** `"/run": "rw,noexec,size=64m,mode=1777"` */
function tmpfs(path: string, text: string, field: string): TmpfsMount {
  let sizeBytes: number | null = null;
  let mode: number | null = null;
  const options: string[] = [];
  for (const option of text.split(',').filter((word) => word !== '')) {
    const [name = '', value] = option.split('=', 2);
    if (name === 'size' && value !== undefined) sizeBytes = byteSize(value, field);
    else if (name === 'mode' && value !== undefined && /^[0-7]{1,5}$/.test(value)) mode = Number.parseInt(value, 8);
    else if (['uid', 'gid', 'nr_inodes', 'nr_blocks', 'mpol'].includes(name) && value !== undefined && /^[\w:,-]+$/.test(value)) options.push(option);
    else if (tmpfsFlags.has(option)) options.push(option);
    else throw badField(field, `invalid tmpfs option ${JSON.stringify(option.slice(0, 80))}`);
  }
  return { type: 'tmpfs', declaredAs: 'tmpfs', target: targetOf(path, field), sizeBytes, mode, options };
}

function tmpfsText({ options, sizeBytes, mode }: TmpfsMount): string {
  return [...options, ...(sizeBytes === null ? [] : [`size=${sizeBytes}`]), ...(mode === null ? [] : [`mode=${mode.toString(8)}`])].join(',');
}

/** `64m` → bytes: a whole number with k, m, g or t. */
export function byteSize(text: string, field: string): number {
  const match = /^(\d{1,15})([kmgt]?)b?$/i.exec(text);
  const size = match === null ? Number.NaN : Number(match[1]) * 1024 ** ['', 'k', 'm', 'g', 't'].indexOf((match[2] ?? '').toLowerCase());
  if (!Number.isSafeInteger(size) || size <= 0) throw badField(field, `invalid size: '${text.slice(0, 40)}'`);
  return size;
}
