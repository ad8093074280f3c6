// Finds a nats-server that is new enough, or extracts Debian's newer package into the project's own directory.
// It must not install packages on the system or change the system's apt state.
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { environment, projectDir } from './config.ts';
import { extractDebianPackage } from './debian-package.ts';

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

const noServer = (reason: string): Error => new Error(
  `no nats-server of at least ${oldestNatsServer} is installed, and Debian 13's package could not be had: ${reason}. ` +
  'Install one (any 2.10.23 or newer in PATH will be used), set POUCH_NATS_SERVER to its path, or set POUCH_DEBIAN_MIRROR to a Debian mirror.');

async function extractFromDebian(): Promise<void> {
  try {
    await extractDebianPackage({ suite: 'trixie', name: 'nats-server' }, join(projectDir, 'nats-server'));
  } catch (cause) {
    throw Object.assign(noServer(cause instanceof Error ? cause.message.trim() : String(cause)), { cause });
  }
}

/** Finds a nats-server, or extracts Debian 13's into `.pouch/nats-server`. Throws with clear words if neither can be had. */
export async function provideNatsServer(say: (line: string) => void): Promise<NatsServer> {
  const found = await findNatsServer();
  if (found !== undefined) return found;
  if (environment.natsServer !== undefined) throw new Error(`POUCH_NATS_SERVER names ${environment.natsServer}, which is not a nats-server of at least ${oldestNatsServer}`);
  say('fetching nats-server from Debian 13 into the project\'s directory');
  await extractFromDebian();
  const fetched = await findNatsServer();
  if (fetched === undefined) throw noServer('the extracted program does not run here');
  return fetched;
}
