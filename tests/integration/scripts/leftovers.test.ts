// Mounts that a cluster leaves: all are detached, whatever hides them, and where one stays that is told before anybody removes what is mounted there.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { unmountBelow } from '../../../scripts/cluster/leftovers.ts';
import { repositoryDir } from '../../../scripts/config.ts';

const run = promisify(execFile);
const ownNamespaces = ['--user', '--map-root-user', '--mount', '--'] as const;
const skip = process.getuid?.() !== 0 && 'mounts need root';
const skipForeign = skip !== false ? skip : spawnSync('unshare', [...ownNamespaces, 'true']).status !== 0 && 'no user namespaces can be made here';

const mounted = async (directory: string): Promise<number> => (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').filter((line) => line.includes(` ${directory}/`)).length;

async function withDirectory(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'pouch-test-mounts-'));
  try {
    await work(directory);
  } finally {
    await unmountBelow([directory]);
    await rm(directory, { recursive: true, force: true });
  }
}

async function mountAt(path: string): Promise<void> {
  await mkdir(path, { recursive: true });
  await run('mount', ['-t', 'tmpfs', 'pouch-test', path]);
}

test('mounts within, upon and hidden by others are detached; no mount is no error', { skip }, async () => {
  await withDirectory(async (directory) => {
    await unmountBelow([directory]);
    // The last one hides the two before it.
    for (const path of ['a', 'a/b c', 'a/b c', 'a']) await mountAt(join(directory, path));
    assert.equal(await mounted(directory), 4);
    await unmountBelow([directory]);
    assert.equal(await mounted(directory), 0);
  });
});

test('what cannot be unmounted from here is named, with the words of umount and what to do', { skip: skipForeign }, async () => {
  await withDirectory(async (directory) => {
    await mountAt(join(directory, 'kept'));
    const script = `const { unmountBelow } = await import(${JSON.stringify(join(repositoryDir, 'scripts/cluster/leftovers.ts'))}); await unmountBelow([${JSON.stringify(directory)}]).catch((error) => console.log(error.message));`;
    // Another user namespace's mounts are locked in a copy of them.
    const { stdout } = await run('unshare', [...ownNamespaces, process.execPath, '--input-type=module', '-e', script]);
    assert.match(stdout, /^still mounted, so nothing is removed there: \S+\/kept \(umount: .+\)\. Unmount them/);
    assert.ok(stdout.includes(directory));
    assert.equal(await mounted(directory), 1);
  });
});
