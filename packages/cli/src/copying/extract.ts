// A container's tar into a directory of this machine. The container is not trusted: no link that is in the way is followed, and nothing is written outside.
// Owners are whoever copies; devices and FIFOs are left out.
import { constants, type Stats } from 'node:fs';
import { chmod, link, lstat, lutimes, mkdir, open, rm, symlink, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { readTarMembers, type TarMember } from '@pouch/oci';
import { CliError } from '../errors.ts';
import { renamed } from './places.ts';

export interface Landing {
  readonly directory: string;
  /** What the members' names begin with, and are to begin with. */
  readonly from: string;
  readonly to: string;
}

/** Directories whose times are set at the end; of further ones they are as it happens. */
const maxTimes = 65_536;

/** Answers with the names that were left out. */
export async function extractHere(source: AsyncIterable<Uint8Array>, { directory, from, to }: Landing): Promise<string[]> {
  const leftOut: string[] = [];
  const times: { path: string; seconds: number }[] = [];
  for await (const member of readTarMembers(source)) {
    const place = renamed(text(member.name), from, to);
    if (member.type === 'character' || member.type === 'block' || member.type === 'fifo' || member.type === 'other') {
      leftOut.push(place);
      continue;
    }
    if (place === '') continue; // the directory itself is there and stays as it is
    await makeParents(directory, place);
    const path = join(directory, place);
    await clearWay(path, member.type === 'directory');
    await make(member, path, member.type === 'link' ? join(directory, await requireDirectories(directory, renamed(text(member.linkName), from, to))) : text(member.linkName));
    if (member.type === 'directory' && times.length < maxTimes) times.push({ path, seconds: member.mtimeSeconds });
  }
  for (const { path, seconds } of times.reverse()) await utimes(path, seconds, seconds);
  return leftOut;
}

/** `target`: of a hard link a path here, of a symbolic one its text. */
async function make({ type, mode, mtimeSeconds, body }: TarMember, path: string, target: string): Promise<void> {
  if (type === 'directory') {
    await mkdir(path, { mode: 0o700 }).catch(ignoreExisting);
    await chmod(path, mode);
  } else if (type === 'symlink') {
    await symlink(target, path);
    await lutimes(path, mtimeSeconds, mtimeSeconds);
  } else if (type === 'link') {
    await link(target, path);
  } else {
    const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
    try {
      for await (const chunk of body) await file.writeFile(chunk);
      await file.chmod(mode);
      await file.utimes(mtimeSeconds, mtimeSeconds);
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    } finally {
      await file.close();
    }
  }
}

/** Directories on the way to a name, made where they are missing; one that is a link is not gone through. */
async function makeParents(directory: string, place: string): Promise<void> {
  const parent = dirname(place);
  if (parent === '.') return;
  await makeParents(directory, parent);
  const path = join(directory, parent);
  await mkdir(path, { mode: 0o755 }).catch(ignoreExisting);
  if (!(await lstat(path)).isDirectory()) throw new CliError(`${path} is in the way: it is no directory, and no link is followed`);
}

/** The same for a name that must be there. */
async function requireDirectories(directory: string, place: string): Promise<string> {
  for (let parent = dirname(place); parent !== '.'; parent = dirname(parent)) {
    if (!(await lstat(join(directory, parent))).isDirectory()) throw new CliError(`${join(directory, parent)} is no directory: a hard link through it is not made`);
  }
  return place;
}

async function clearWay(path: string, isDirectory: boolean): Promise<void> {
  const there = await lstat(path).catch((error: NodeJS.ErrnoException): Stats | null => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (there === null || (there.isDirectory() && isDirectory)) return;
  if (there.isDirectory()) throw new CliError(`cannot overwrite the directory ${path} with something else`);
  if (isDirectory) throw new CliError(`cannot overwrite ${path}, which is no directory, with a directory`);
  await rm(path);
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error;
}

function text(name: Buffer): string {
  const decoded = name.toString();
  if (decoded.includes('\uFFFD')) throw new CliError(`the container has a name that is no UTF-8: ${JSON.stringify(decoded.slice(0, 200))}`);
  return decoded;
}
