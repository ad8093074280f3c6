// Settings of volumes: a name, or nothing, in place of a path of the host. Checks names and paths; whether there is such a volume already makes no difference.
import { posix } from 'node:path';
import type { DockerHostConfig } from '@pouch/contracts';
import { isVolumeName, type Mount, type VolumeMount } from '@pouch/domain';
import { badField } from '../../errors.ts';

type DockerMount = NonNullable<DockerHostConfig['Mounts']>[number];

/** Where it is in the container, cleaned. */
export function targetOf(path: string, field: string): string {
  if (!path.startsWith('/')) throw badField(field, `invalid mount path: '${path.slice(0, 200)}' mount path must be absolute`);
  const clean = posix.normalize(path).replace(/(?<=.)\/$/, '');
  if (clean === '/') throw badField(field, "invalid specification: destination can't be '/'");
  return clean;
}

export function requireVolumeName(name: string, field: string): string {
  if (isVolumeName(name)) return name;
  const problem = name.length === 1 ? 'volume name is too short, names should be at least two alphanumeric characters' : `${JSON.stringify(name.slice(0, 200))} includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed, 255 of them at most`;
  throw badField(field, `${problem}. If you intended to pass a host directory, use absolute path`);
}

/** `name:target[:options]`, or a target alone: from the parts of a bind. `name` null: a volume of its own. */
export function boundVolume(name: string | null, to: string, options: string, field: string): VolumeMount {
  let readonly = false;
  let noCopy = false;
  for (const option of options.split(',').filter((word) => word !== '')) {
    if (option === 'ro') readonly = true;
    else if (option === 'nocopy') noCopy = true;
    // rw is the default; z and Z have nothing to act on: no SELinux labels.
    else if (!['rw', 'z', 'Z'].includes(option)) throw badField(field, `invalid mode: ${option.slice(0, 80)}; a volume's may be ro, rw and nocopy`);
  }
  return { type: 'volume', declaredAs: 'binds', name: name === null ? null : requireVolumeName(name, field), target: targetOf(to, field), readonly, noCopy, labels: {} };
}

export function boundVolumeText({ name, target, readonly, noCopy }: VolumeMount): string {
  const options = [readonly ? 'ro' : '', noCopy ? 'nocopy' : ''].filter((word) => word !== '').join(',');
  return `${name === null ? '' : `${name}:`}${target}${options === '' ? '' : `:${options}`}`;
}

/** A mount of type volume. */
export function declaredVolume({ Source: source = '', Target: to, ReadOnly: readonly = false, VolumeOptions: given = {}, BindOptions: bind, TmpfsOptions: tmpfs }: DockerMount, field: string): VolumeMount {
  const { NoCopy: noCopy = false, Labels: labels = {}, DriverConfig: driver = {} } = given;
  if (bind !== undefined) throw badField(`${field}.BindOptions`, 'it does not go with a mount of type volume');
  if (tmpfs !== undefined) throw badField(`${field}.TmpfsOptions`, 'it does not go with a mount of type volume');
  requireLocal(driver.Name, driver.Options, `${field}.VolumeOptions.DriverConfig.Name`, `${field}.VolumeOptions.DriverConfig.Options`);
  return { type: 'volume', declaredAs: 'mounts', name: source === '' ? null : requireVolumeName(source, `${field}.Source`), target: targetOf(to, `${field}.Target`), readonly, noCopy, labels };
}

/** There is one driver, and it has no options. */
export function requireLocal(driver: string | undefined, options: Readonly<Record<string, string>> | undefined, driverField: string, optionsField: string): void {
  if (driver !== undefined && driver !== '' && driver !== 'local') throw badField(driverField, `there is no volume driver ${JSON.stringify(driver.slice(0, 80))}: local is the only one`);
  if (Object.keys(options ?? {}).length > 0) throw badField(optionsField, `the driver local takes no options here; ${Object.keys(options ?? {}).slice(0, 5).join(', ').slice(0, 200)} cannot be`);
}

export function declaredVolumeText({ name, target, readonly, noCopy, labels }: VolumeMount): object {
  const options = { ...(noCopy ? { NoCopy: true } : {}), ...(Object.keys(labels).length > 0 ? { Labels: labels } : {}) };
  return { Type: 'volume', ...(name === null ? {} : { Source: name }), Target: target, ...(readonly ? { ReadOnly: true } : {}), ...(Object.keys(options).length > 0 ? { VolumeOptions: options } : {}) };
}

/** The mounts, with a volume of the container's own at each path where nothing else is. */
export function withOwnVolumes(mounts: readonly Mount[], targets: readonly string[]): readonly Mount[] {
  const free = [...new Set(targets)].filter((target) => !mounts.some((mount) => mount.target === target));
  return [...mounts, ...free.map((target): Mount => ({ type: 'volume', declaredAs: 'volumes', name: null, target, readonly: false, noCopy: false, labels: {} }))];
}

/** Paths of an image's VOLUME, as they are meant: in the root. Those that can be no mount are left out. */
export function imageVolumePaths(paths: readonly string[]): readonly string[] {
  return paths.map((path) => posix.resolve('/', path)).filter((path) => path !== '/' && !path.includes('\0'));
}

/** `Volumes` of inspect: all that were asked for, or that the image has, by their path alone. */
export function ownVolumesShown(mounts: readonly Mount[]): Readonly<Record<string, object>> | null {
  const targets = mounts.filter((mount) => mount.declaredAs === 'volumes').map(({ target }) => target);
  return targets.length === 0 ? null : Object.fromEntries(targets.map((target) => [target, {}]));
}
