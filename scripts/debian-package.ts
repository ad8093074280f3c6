// Takes packages of any Debian suite apart into a directory of the project's own, with a private apt.
// It must not install packages on the system or change the system's apt state.
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { environment, projectDir } from './config.ts';

const run = promisify(execFile);

const keyrings = ['/usr/share/keyrings/debian-archive-keyring.gpg', '/usr/share/keyrings/debian-archive-keyring.pgp'];
const suiteKeyring = (suite: string): string => `/usr/share/keyrings/debian-archive-${suite}-stable.gpg`;

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

export interface DebianPackage {
  /** E.g. `trixie`. */
  readonly suite: string;
  readonly name: string;
  /** Takes the package that `name` depends on instead, whose name begins so: for metapackages. */
  readonly dependency?: string;
}

/** The package itself, or what a metapackage stands for today. */
async function resolved(apt: readonly string[], { name, dependency }: DebianPackage, options: { readonly cwd: string }): Promise<string> {
  if (dependency === undefined) return name;
  const { stdout } = await run('apt-cache', [...apt, 'show', name], options);
  const depends = /^Depends: (.*)$/m.exec(stdout)?.[1] ?? '';
  const found = depends.split(/[,|]/).map((part) => part.trim().split(/\s/)[0] ?? '').find((part) => part.startsWith(dependency));
  if (found === undefined) throw new Error(`${name} depends on no package ${dependency}…`);
  return found;
}

/**
 * Extracts a package below `target`, which appears by rename, whole or not at all; one that is there is replaced. `arrange` may move things
 * about in the extracted tree first and says which directory of it becomes the target. Throws with the words of what failed: no mirror, no
 * keyring, no such suite or package.
 */
export async function extractDebianPackage(wanted: DebianPackage, target: string, arrange: (root: string) => Promise<string> = (root) => Promise.resolve(root)): Promise<void> {
  const mirror = await debianMirror();
  if (mirror === undefined) throw new Error('the apt sources of this machine name no Debian mirror');
  const keyring = await firstReadable([suiteKeyring(wanted.suite), ...keyrings]);
  if (keyring === undefined) throw new Error('the package debian-archive-keyring is not installed');

  const directory = join(projectDir, `apt-${process.pid}-${wanted.name}`);
  try {
    for (const part of ['state/lists/partial', 'cache/archives/partial', 'root']) await mkdir(join(directory, part), { recursive: true });
    await writeFile(join(directory, 'state', 'status'), '');
    await writeFile(join(directory, 'sources.list'), `deb [signed-by=${keyring}] ${mirror} ${wanted.suite} main\n`);
    const apt = privateApt(directory);
    const options = { cwd: directory, timeout: 300_000, maxBuffer: 16 << 20 };
    await run('apt-get', [...apt, '-qq', 'update'], options);
    await run('apt-get', [...apt, '-qq', 'download', await resolved(apt, wanted, options)], options);
    const archive = (await readdir(directory)).find((name) => name.endsWith('.deb'));
    if (archive === undefined) throw new Error('apt-get download left no .deb behind');
    await run('dpkg-deb', ['-x', archive, join(directory, 'root')], options);
    const result = await arrange(join(directory, 'root'));
    await rm(target, { recursive: true, force: true });
    await rename(result, target);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
