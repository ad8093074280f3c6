// What the paths of `docker cp` mean: which path is asked for, what its members are called in the tar, and where a member of a tar goes. Pure. Nothing here
// keeps anybody inside a container: that is the helper's root.
import { posix } from 'node:path';
import { maxPathBytes } from '@pouch/native';
import { OperatingError } from '@pouch/process';

/** An absolute path without `..`; a slash or a dot at its end is kept, for it means a directory and what is in it. */
export function askedPath(path: string): string {
  if (Buffer.byteLength(path) > maxPathBytes) throw new OperatingError('bad-parameter', `path: it has more than ${maxPathBytes} bytes`);
  let cleaned = posix.join('/', path).replace(/(?<=.)\/$/, '');
  const dot = (text: string): boolean => posix.basename(text) === '.';
  if (!dot(cleaned) && dot(path) && !path.endsWith('/')) cleaned = cleaned.endsWith('/') ? `${cleaned}.` : `${cleaned}/.`;
  if (!cleaned.endsWith('/') && path.endsWith('/')) cleaned += '/';
  return cleaned;
}

/** What the path itself is called in a tar: its last part, `.` for `/etc/.`, and `/` for the root. */
export function baseName(path: string): string {
  if (/^\/+$/.test(path)) return '/';
  return path.endsWith('/.') ? '.' : posix.basename(path);
}

/** A member's name, bytes as latin1: below the base's name, a directory's with a slash at its end. */
export function memberName(base: string, path: string, directory: boolean): string {
  const root = base === '/' ? '' : base;
  const name = path === '' ? root : `${root}/${path}`;
  return directory && !name.endsWith('/') ? `${name}/` : name;
}

/** Where a member goes, relative to the directory that a tar is extracted in; empty: that itself. Refuses what leads out of it. */
export function placeOf(name: string, what = 'a member'): string {
  const cleaned = posix.normalize(name.startsWith('/') ? `/${name}` : name).replace(/^\/+/, '').replace(/\/+$/, '');
  if (cleaned === '..' || cleaned.startsWith('../')) throw outside(what, name);
  if (cleaned.length > maxPathBytes) throw new OperatingError('bad-parameter', `the archive has a member whose name has more than ${maxPathBytes} bytes`);
  return cleaned === '.' ? '' : cleaned;
}

/** What a hard link is a further name of, relative to the same directory. */
export function linkedPlace(linkName: string): string {
  const place = placeOf(`./${linkName}`, 'a hard link to');
  if (place === '') throw outside('a hard link to', linkName);
  return place;
}

function outside(what: string, name: string): OperatingError {
  return new OperatingError('bad-parameter', `the archive has ${what} ${JSON.stringify(Buffer.from(name, 'latin1').toString().slice(0, 200))}, which is outside of the directory that it is extracted in`);
}
