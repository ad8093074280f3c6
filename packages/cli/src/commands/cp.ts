// `pouch cp`: files between this machine and a container, as docker cp does it. What names mean stands in ../copying.
import { lstat, readlink, realpath, stat } from 'node:fs/promises';
import { posix } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Context } from '../context.ts';
import { segment, type EngineClient } from '../engine/client.ts';
import { ApiError, CliError, UsageError } from '../errors.ts';
import { humanSize } from '../format/sizes.ts';
import { ByteBar } from '../progress/byte-bar.ts';
import { localArchive, localSource } from '../copying/archive.ts';
import { extractHere } from '../copying/extract.ts';
import { absolute, directionOf, landing, parsePathStat, split, type Destination, type Direction, type PathStat } from '../copying/places.ts';

export interface CpFlags {
  readonly archive?: boolean;
  readonly followLink?: boolean;
  readonly quiet?: boolean;
}

export async function cp(context: Context, source: string, destination: string, flags: CpFlags): Promise<number> {
  const direction = directionOf(source, destination);
  const client = await context.client();
  if (direction.way === 'from') await copyFrom(client, direction, flags);
  else await copyTo(client, direction, flags);
  return 0;
}

const archiveOf = (container: string): string => `/containers/${segment(container)}/archive`;

async function statIn(client: EngineClient, container: string, path: string): Promise<PathStat> {
  const response = await client.stream('HEAD', archiveOf(container), { query: { path } });
  response.resume();
  return parsePathStat(response.headers['x-docker-container-path-stat']);
}

async function copyFrom(client: EngineClient, { container, source, destination }: Direction, flags: CpFlags): Promise<void> {
  if (destination === '-' && process.stdout.isTTY) throw new UsageError('cp - writes a tar, and stdout is a terminal', `pouch cp ${container}:${source} - > files.tar`);
  const path = flags.followLink === true ? await followed(client, container, source) : source;
  const response = await client.stream('GET', archiveOf(container), { query: { path } });
  try {
    const counter = new Counter(`Copying from ${container}`, flags.quiet === true || destination === '-');
    response.once('error', (error) => counter.stream.destroy(error));
    const bytes = response.pipe(counter.stream);
    if (destination === '-') return await pipeline(bytes, process.stdout, { end: false });
    const { directory } = parsePathStat(response.headers['x-docker-container-path-stat']);
    const from = rootOr(split(path).base, path);
    const there = await localDestination(absolute(destination, process.cwd()));
    const { directory: into, base } = landing({ base: rootOr(split(source).base, source), directory }, there);
    const leftOut = await extractHere(bytes, { directory: into, from, to: base });
    counter.end(`Successfully copied ${humanSize(counter.bytes)} to ${there.path}`);
    for (const name of leftOut.slice(0, 10)) process.stderr.write(`left out: ${name} is a device or a FIFO\n`);
    if (leftOut.length > 10) process.stderr.write(`left out: ${leftOut.length - 10} more\n`);
  } finally {
    response.destroy();
  }
}

/** A container's root has no last part. */
const rootOr = (base: string, path: string): string => (/^\/+$/.test(path) ? '/' : base);

async function followed(client: EngineClient, container: string, path: string): Promise<string> {
  const found = await statIn(client, container, path);
  return found.link ? posix.resolve('/', posix.dirname(path), found.linkTarget) : path;
}

async function copyTo(client: EngineClient, { container, source, destination }: Direction, flags: CpFlags): Promise<void> {
  const there = await containerDestination(client, container, destination);
  const counter = new Counter(`Copying to ${container}`, flags.quiet === true);
  const query = { noOverwriteDirNonDir: 1, copyUIDGID: flags.archive === true ? 1 : undefined };
  const put = async (path: string, stream: Readable): Promise<void> => {
    stream.once('error', (error) => counter.stream.destroy(error));
    await client.json('PUT', archiveOf(container), { query: { path, ...query }, upload: { stream: stream.pipe(counter.stream), contentType: 'application/x-tar', bytes: null } });
  };
  if (source === '-') {
    if (process.stdin.isTTY) throw new UsageError('cp - reads a tar, and stdin is a terminal', `tar c . | pouch cp - ${container}:${destination}`);
    if (there.is !== 'directory') throw new CliError(`destination "${container}:${destination}" must be a directory`);
    await put(there.path, process.stdin);
  } else {
    const local = await localSource(absolute(source, process.cwd()), flags.followLink === true);
    const { directory, base } = landing(local, there);
    await put(directory, Readable.from(localArchive(local, base)));
  }
  counter.end(`Successfully copied ${humanSize(counter.bytes)} to ${container}:${destination}`);
}

/** A link at the end is followed once, as docker cp does: what it leads to is written to, not the link replaced. */
async function containerDestination(client: EngineClient, container: string, path: string): Promise<Destination> {
  let at = path;
  try {
    let found = await statIn(client, container, at);
    if (found.link) {
      at = posix.resolve('/', posix.dirname(at), found.linkTarget);
      found = await statIn(client, container, at);
    }
    return { path: at, is: found.directory ? 'directory' : 'file' };
  } catch (error) {
    // Nothing is there: the copy makes it, if its directory is.
    if (error instanceof ApiError && (error.status === 404 || error.status === 400)) return { path: at, is: 'missing' };
    throw error;
  }
}

async function localDestination(path: string): Promise<Destination> {
  try {
    const found = await stat(path);
    return found.isDirectory() ? { path, is: 'directory' } : { path: await realpath(path), is: 'file' };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw new CliError((error as Error).message, { cause: error });
  }
  // A link that leads to nothing yet: its target is what is made.
  const broken = await lstat(path).then((found) => found.isSymbolicLink(), () => false);
  const target = broken ? posix.resolve(posix.dirname(path), await readlink(path)) : path;
  const parent = split(target).directory;
  if (!(await stat(parent).then((found) => found.isDirectory(), () => false))) throw new CliError(`there is no directory ${parent}`);
  return { path: target, is: 'missing' };
}

/** Counts what passes, shows it on a terminal, and says at the end what docker says. */
class Counter {
  readonly #bar: ByteBar;
  readonly #quiet: boolean;
  readonly stream: Transform;
  bytes = 0;

  constructor(label: string, quiet: boolean) {
    this.#bar = new ByteBar(label, quiet);
    this.#quiet = quiet;
    this.stream = new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        this.bytes += chunk.length;
        this.#bar.show(this.bytes, null);
        done(null, chunk);
      },
      flush: (done) => {
        this.#bar.end();
        done();
      },
    });
  }

  end(summary: string): void {
    this.#bar.end();
    if (!this.#quiet) process.stderr.write(`${summary}\n`);
  }
}
