// Finds a nats-server that is new enough, or extracts Debian's newer package into the project's own directory.
// It must not install packages on the system or change the system's apt state.
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { environment, projectDir } from './config.ts';

const run = promisify(execFile);

/** 2.10.20–22 could lose streams in a crash; older ones know no `sync_interval`. */
export const oldestNatsServer = '2.10.23';

/** A program that was tried out: it ran and told its version. */
export type NatsServer = { readonly path: string; readonly version: string };

const projectCopy = join(projectDir, 'nats-server', 'usr', 'sbin', 'nats-server');

function atLeast(version: string, oldest: string): boolean {
  const have = version.split('.').map((part) => Number.parseInt(part, 10));
  const need = oldest.split('.').map((part) => Number.parseInt(part, 10));
  for (let index = 0; index < need.length; index++) {
    const difference = (have[index] ?? 0) - (need[index] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

async function versionOf(path: string): Promise<string | undefined> {
  try {
    await access(path, constants.X_OK);
    const { stdout } = await run(path, ['--version'], { timeout: 10_000 });
    return /v(\d+\.\d+\.\d+)/.exec(stdout)?.[1];
  } catch {
    return undefined; // not there, or it does not run on this machine: the same answer for the caller
  }
}

/**
 * The nats-server to use: the one named by POUCH_NATS_SERVER, else the system's, else the project's own copy;
 * undefined when none of them is at least `oldestNatsServer`. Downloads nothing.
 */
export async function findNatsServer(): Promise<NatsServer | undefined> {
  const candidates = environment.natsServer === undefined
    ? [projectCopy, ...environment.path.map((directory) => join(directory, 'nats-server'))]
    : [environment.natsServer];
  for (const path of candidates) {
    const version = await versionOf(path);
    if (version !== undefined && atLeast(version, oldestNatsServer)) return { path, version };
  }
  return undefined;
}

/** As `findNatsServer`, but throws with words a person can act on. */
export async function locateNatsServer(): Promise<NatsServer> {
  const found = await findNatsServer();
  if (found !== undefined) return found;
  throw new Error(`no nats-server of at least ${oldestNatsServer} was found: run \`npm run up\` once, install one, or set POUCH_NATS_SERVER`);
}

/** The base address of the Debian mirror that this system's apt uses, if it uses one. */
async function debianMirror(): Promise<string | undefined> {
  if (environment.debianMirror !== undefined) return environment.debianMirror;
  const { stdout } = await run('apt-get', ['indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages']);
  return stdout.split('\n').map((line) => line.trim()).find((uri) => /\/debian\/?$/.test(uri));
}

async function firstReadable(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    try {
      await access(path, constants.R_OK);
      return path;
    } catch {
      continue; // the next one is the answer to this one's absence
    }
  }
  return undefined;
}

const noServer = (reason: string): Error => new Error(
  `no nats-server of at least ${oldestNatsServer} is installed, and Debian 13's package could not be had: ${reason}. ` +
  'Install one (any 2.10.23 or newer in PATH will be used), set POUCH_NATS_SERVER to its path, or set POUCH_DEBIAN_MIRROR to a Debian mirror.');

/** apt switches that keep every list, cache and configuration inside `directory`. */
function privateApt(directory: string): string[] {
  const settings: Record<string, string> = {
    'Dir::State': join(directory, 'state'),
    'Dir::Cache': join(directory, 'cache'),
    'Dir::Etc::sourcelist': join(directory, 'sources.list'),
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::Etc::preferences': '/dev/null',
    'Dir::Etc::preferencesparts': '/dev/null',
    'APT::Sandbox::User': 'root',
    'Acquire::Languages': 'none',
    'Acquire::Retries': '2',
    'Acquire::http::Timeout': '30',
  };
  return Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
}

async function extractDebianPackage(): Promise<void> {
  const mirror = await debianMirror();
  if (mirror === undefined) throw noServer('the apt sources of this machine name no Debian mirror');
  const keyring = await firstReadable(['/usr/share/keyrings/debian-archive-trixie-stable.gpg', '/usr/share/keyrings/debian-archive-keyring.gpg', '/usr/share/keyrings/debian-archive-keyring.pgp']);
  if (keyring === undefined) throw noServer('the package debian-archive-keyring is not installed');

  const directory = join(projectDir, `apt-${process.pid}`);
  const target = join(projectDir, 'nats-server');
  try {
    for (const part of ['state/lists/partial', 'cache/archives/partial', 'root']) await mkdir(join(directory, part), { recursive: true });
    await writeFile(join(directory, 'state', 'status'), '');
    await writeFile(join(directory, 'sources.list'), `deb [signed-by=${keyring}] ${mirror} trixie main\n`);
    const apt = privateApt(directory);
    const options = { cwd: directory, timeout: 300_000, maxBuffer: 16 << 20 };
    await run('apt-get', [...apt, '-qq', 'update'], options);
    await run('apt-get', [...apt, '-qq', 'download', 'nats-server'], options);
    const archive = (await readdir(directory)).find((name) => name.endsWith('.deb'));
    if (archive === undefined) throw new Error('apt-get download left no .deb behind');
    await run('dpkg-deb', ['-x', archive, join(directory, 'root')], options);
    await rm(target, { recursive: true, force: true });
    await rename(join(directory, 'root'), target);
  } catch (cause) {
    throw Object.assign(noServer(cause instanceof Error ? cause.message.trim() : String(cause)), { cause });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Finds a nats-server, or extracts Debian 13's into `.pouch/nats-server`. Throws with clear words if neither can be had. */
export async function provideNatsServer(say: (line: string) => void): Promise<NatsServer> {
  const found = await findNatsServer();
  if (found !== undefined) return found;
  if (environment.natsServer !== undefined) throw new Error(`POUCH_NATS_SERVER names ${environment.natsServer}, which is not a nats-server of at least ${oldestNatsServer}`);
  say('fetching nats-server from Debian 13 into the project\'s directory');
  await extractDebianPackage();
  const fetched = await findNatsServer();
  if (fetched === undefined) throw noServer('the extracted program does not run here');
  return fetched;
}
