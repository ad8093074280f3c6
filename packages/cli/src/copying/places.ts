// What the two arguments of `pouch cp` mean, and what a copy is called where it goes: docker cp's rules. Pure.
import { posix } from 'node:path';
import { CliError, UsageError } from '../errors.ts';

/** `container` null: on this machine. */
export interface Place {
  readonly container: string | null;
  readonly path: string;
}

/** `NAME:PATH`; a path that begins with `/` or `.` is this machine's, whatever colons are in it. */
export function placeOf(argument: string): Place {
  const colon = argument.indexOf(':');
  if (argument.startsWith('/') || argument.startsWith('.') || colon < 0) return { container: null, path: argument };
  return { container: argument.slice(0, colon), path: argument.slice(colon + 1) };
}

export type Direction =
  | { readonly way: 'from'; readonly container: string; readonly source: string; readonly destination: string }
  | { readonly way: 'to'; readonly container: string; readonly source: string; readonly destination: string };

export function directionOf(source: string, destination: string): Direction {
  const [from, to] = [placeOf(source), placeOf(destination)];
  for (const { container, path } of [from, to]) if (path === '' || container === '') throw new UsageError(`cp needs a path on both sides: ${JSON.stringify(container === null ? path : `${container}:${path}`)} has none`, 'pouch cp web:/etc/hosts .');
  if (from.container !== null && to.container !== null) throw new UsageError('copying between containers is not supported', 'pouch cp a:/x - | pouch cp - b:/');
  if (from.container !== null) return { way: 'from', container: from.container, source: from.path, destination: to.path };
  if (to.container !== null) return { way: 'to', container: to.container, source: from.path, destination: to.path };
  throw new UsageError('one side of a copy must be in a container', 'pouch cp CONTAINER:PATH PATH, or pouch cp PATH CONTAINER:PATH');
}

/** Directory and last part; a dot at the end is a part of its own. */
export function split(path: string): { readonly directory: string; readonly base: string } {
  const cleaned = posix.normalize(path).replace(/(?<=.)\/$/, '');
  if (meansContents(path) && cleaned !== '.') return { directory: cleaned, base: '.' };
  return { directory: posix.dirname(cleaned), base: posix.basename(cleaned) || '/' };
}

/** `DIR/.`: what is in it, not itself. */
export const meansContents = (path: string): boolean => path === '.' || path.endsWith('/.');

/** An absolute path whose slash or dot at the end is kept. */
export function absolute(path: string, workingDirectory: string): string {
  const cleaned = posix.resolve(workingDirectory, path);
  if (meansContents(path)) return cleaned === '/' ? '/.' : `${cleaned}/.`;
  return path.endsWith('/') && cleaned !== '/' ? `${cleaned}/` : cleaned;
}

export interface Source {
  /** What its members' names begin with. */
  readonly base: string;
  readonly directory: boolean;
}

export interface Destination {
  readonly path: string;
  readonly is: 'directory' | 'file' | 'missing';
}

/** The directory that the copy goes into, and what it is called there. */
export function landing(source: Source, { path, is }: Destination): { readonly directory: string; readonly base: string } {
  if (is === 'directory') return { directory: path, base: source.base };
  if (is === 'file' && source.directory) throw new CliError(`cannot copy a directory onto the file ${path}`);
  if (is === 'file' && path.endsWith('/')) throw new CliError(`${path} is not a directory`);
  if (is === 'missing' && !source.directory && (path.endsWith('/') || meansContents(path))) throw new CliError(`there is no directory ${path}`);
  return split(path);
}

/** A member of a tar whose names begin with `from`, as it is called where they begin with `to`; relative, and never out of the directory. */
export function renamed(name: string, from: string, to: string): string {
  const root = from === '/' ? '' : from;
  const below = name === root || name.startsWith(`${root}/`) ? name.slice(root.length) : `/${name}`;
  const cleaned = posix.normalize(`./${to === '/' ? '' : to}/${below}`).replace(/\/+$/, '');
  if (cleaned === '..' || cleaned.startsWith('../') || name.split('/').includes('..')) throw new CliError(`the container sent a name that leads out of the directory: ${JSON.stringify(name.slice(0, 200))}`);
  return cleaned === '.' ? '' : cleaned;
}

export interface PathStat {
  readonly directory: boolean;
  readonly link: boolean;
  readonly linkTarget: string;
}

/** The header X-Docker-Container-Path-Stat. */
export function parsePathStat(header: string | string[] | undefined): PathStat {
  if (typeof header !== 'string') throw new CliError('the API did not say what the path is');
  const { mode, linkTarget } = JSON.parse(Buffer.from(header, 'base64').toString()) as { mode: number; linkTarget: string };
  const bit = (number: number): boolean => Math.floor(mode / 2 ** number) % 2 === 1;
  return { directory: bit(31), link: bit(27), linkTarget };
}
