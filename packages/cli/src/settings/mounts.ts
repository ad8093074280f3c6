// Reads `-v`, `--mount` and `--tmpfs` into Docker's Binds, Volumes, Mounts and Tmpfs. Resolves relative paths, looks at no file system.
import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { UsageError } from '../errors.ts';
import { csvFields, toBytes } from './values.ts';

export interface MountPoint {
  Type: string;
  Source?: string;
  Target: string;
  ReadOnly?: boolean;
  Consistency?: string;
  BindOptions?: { Propagation?: string; NonRecursive?: boolean; CreateMountpoint?: boolean };
  VolumeOptions?: { NoCopy?: boolean; Labels?: Record<string, string>; DriverConfig?: { Name?: string; Options?: Record<string, string> } };
  TmpfsOptions?: { SizeBytes?: number; Mode?: number };
}

export interface Volumes {
  readonly binds: readonly string[];
  /** Anonymous volumes: a path in the container alone. */
  readonly anonymous: Readonly<Record<string, Record<string, never>>>;
}

/** `-v` values. `./here:/there` and `~/x:/there` are taken from `cwd` and the home directory. */
export function toVolumes(texts: readonly string[], cwd: string): Volumes {
  const binds: string[] = [];
  const anonymous: Record<string, Record<string, never>> = {};
  for (const text of texts) {
    const [first, second, ...rest] = text.split(':');
    if (first === undefined || first === '' || rest.length > 1) throw new UsageError(`-v ${text}: expected [source:]target[:options]`);
    if (second === undefined) {
      if (!first.startsWith('/')) throw new UsageError(`-v ${text}: the path in the container must be absolute`);
      anonymous[first] = {};
      continue;
    }
    if (!second.startsWith('/')) throw new UsageError(`-v ${text}: the path in the container must be absolute`);
    const source = /^\.{1,2}(\/|$)/.test(first) ? resolve(cwd, first) : first === '~' || first.startsWith('~/') ? resolve(homedir(), first.slice(2)) : first;
    binds.push([source, second, ...rest].join(':'));
  }
  return { binds, anonymous };
}

/** `--tmpfs /run:rw,size=64m` → `{"/run": "rw,size=64m"}`. */
export function toTmpfs(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(texts.map((text) => {
    const at = text.indexOf(':');
    const path = at === -1 ? text : text.slice(0, at);
    if (!path.startsWith('/')) throw new UsageError(`--tmpfs ${text}: the path must be absolute`);
    return [path, at === -1 ? '' : text.slice(at + 1)];
  }));
}

/** `--mount type=bind,source=/a,target=/b,readonly`; names and aliases as docker's. */
export function toMount(text: string, cwd: string): MountPoint {
  const mount: MountPoint = { Type: 'volume', Target: '' };
  const wrong = (why: string) => new UsageError(`--mount ${text}: ${why}`);
  const truth = (key: string, value: string | undefined): boolean => {
    if (value === undefined || ['true', '1'].includes(value)) return true;
    if (['false', '0'].includes(value)) return false;
    throw wrong(`${key} is true or false`);
  };
  for (const field of csvFields(text)) {
    const at = field.indexOf('=');
    const key = (at === -1 ? field : field.slice(0, at)).trim().toLowerCase();
    const value = at === -1 ? undefined : field.slice(at + 1);
    if (!['readonly', 'ro', 'volume-nocopy', 'bind-nonrecursive', 'bind-create-src'].includes(key) && (value === undefined || value === '')) throw wrong(`${key || 'a field'} needs a value`);
    switch (key) {
      case 'type':
        mount.Type = (value as string).toLowerCase();
        break;
      case 'source':
      case 'src':
        mount.Source = /^\.{1,2}(\/|$)/.test(value as string) ? resolve(cwd, value as string) : (value as string);
        break;
      case 'target':
      case 'destination':
      case 'dst':
        mount.Target = value as string;
        break;
      case 'readonly':
      case 'ro':
        mount.ReadOnly = truth(key, value);
        break;
      case 'consistency':
        mount.Consistency = value as string;
        break;
      case 'bind-propagation':
        mount.BindOptions = { ...mount.BindOptions, Propagation: value as string };
        break;
      case 'bind-nonrecursive':
        mount.BindOptions = { ...mount.BindOptions, NonRecursive: truth(key, value) };
        break;
      case 'bind-create-src':
        mount.BindOptions = { ...mount.BindOptions, CreateMountpoint: truth(key, value) };
        break;
      case 'volume-nocopy':
        mount.VolumeOptions = { ...mount.VolumeOptions, NoCopy: truth(key, value) };
        break;
      case 'tmpfs-size':
        mount.TmpfsOptions = { ...mount.TmpfsOptions, SizeBytes: toBytes('--mount tmpfs-size', value as string) };
        break;
      case 'tmpfs-mode':
        if (!/^[0-7]{1,5}$/.test(value as string)) throw wrong('tmpfs-mode is an octal number, e.g. 1777');
        mount.TmpfsOptions = { ...mount.TmpfsOptions, Mode: Number.parseInt(value as string, 8) };
        break;
      default:
        throw wrong(`unknown field ${key}`);
    }
  }
  if (mount.Target === '') throw wrong('target is missing');
  if (mount.Type === 'bind' && mount.Source === undefined) throw wrong('source is missing');
  if (mount.Type === 'tmpfs' && mount.Source !== undefined) throw wrong('a tmpfs has no source');
  for (const [kind, options] of [['bind', mount.BindOptions], ['volume', mount.VolumeOptions], ['tmpfs', mount.TmpfsOptions]] as const) {
    if (options !== undefined && mount.Type !== kind) throw wrong(`${kind} options do not go with type=${mount.Type}`);
  }
  return mount;
}
