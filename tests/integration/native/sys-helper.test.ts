// pouch-sys through its client: FIFOs, network namespaces, and what happens when the helper hangs or dies.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { SysError, SysHelper } from '@pouch/native';
import { ensureNative, temporaryDirectory, until } from '../../fixtures/native.ts';
import { unmountBelow } from '../../../scripts/cluster/leftovers.ts';

const run = promisify(execFile);
let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
const helper = new SysHelper();

before(async () => {
  await ensureNative();
  directory = await temporaryDirectory();
});
after(async () => {
  await helper.close();
  await unmountBelow([directory.path]);
  await directory.remove();
});

const failsWith = (code: string) => (error: unknown): boolean => error instanceof SysError && error.code === code;

test('FIFOs get the mode asked for, whatever their names hold', async () => {
  for (const [index, name] of ['plain', 'tab\there', 'line\nbreak', 'per%41cent', 'ünïcode 空'].entries()) {
    const path = join(directory.path, name);
    await helper.mkfifo(path, 0o620 + index);
    const status = await stat(path);
    assert.ok(status.isFIFO());
    assert.equal(status.mode & 0o777, 0o620 + index);
  }
});

test('what the system refuses is told by its errno', async () => {
  const path = join(directory.path, 'twice');
  await helper.mkfifo(path);
  await assert.rejects(helper.mkfifo(path), failsWith('EEXIST'));
  await assert.rejects(helper.mkfifo(join(directory.path, 'no', 'such', 'place')), failsWith('ENOENT'));
  await assert.rejects(helper.mkfifo('relative'), failsWith('EINVAL'));
  await assert.rejects(helper.mkfifo(path, 0o7777), failsWith('EINVAL'));
  await assert.rejects(helper.mkfifo(`/${'x'.repeat(5_000)}`), failsWith('EINVAL'));
  await assert.rejects(helper.mkfifo(`/${'x'.repeat(50_000)}`), failsWith('E2BIG'));
  await helper.unmount(join(directory.path, 'nothing'));
});

test('many calls at once are each answered', async () => {
  const paths = Array.from({ length: 300 }, (_, index) => join(directory.path, `many-${index}`));
  await Promise.all(paths.map((path) => helper.mkfifo(path)));
  for (const path of paths) assert.ok((await stat(path)).isFIFO());
});

test('a network namespace is another one, has lo up, and is gone afterwards', async (t) => {
  const parent = join(directory.path, 'netns');
  await mkdir(parent);
  const path = join(parent, 'one');
  try {
    await helper.addNetns(path);
  } catch (error) {
    if (error instanceof SysError && error.code === 'EPERM') return t.skip('network namespaces cannot be made here (EPERM)');
    throw error;
  }
  assert.notEqual((await stat(path)).ino, (await stat('/proc/self/ns/net')).ino);
  const { stdout } = await run('nsenter', [`--net=${path}`, 'ip', '-o', 'link', 'show', 'lo']);
  assert.match(stdout, /<LOOPBACK,UP/);
  await assert.rejects(helper.addNetns(path), failsWith('EEXIST'));
  assert.equal((await stat('/proc/self/ns/net')).ino, (await stat(`/proc/${helper.pid}/ns/net`)).ino);

  await helper.deleteNetns(path);
  await assert.rejects(stat(path));
  assert.ok(!(await readFile('/proc/self/mountinfo', 'utf8')).includes(` ${path} `));
  await helper.deleteNetns(path);
});

test('a helper that dies fails the calls under way and is started again', async () => {
  const own = new SysHelper();
  await own.mkfifo(join(directory.path, 'before-death'));
  const first = own.pid;
  assert.ok(first !== undefined);
  process.kill(first, 'SIGSTOP');
  const lost = own.mkfifo(join(directory.path, 'lost'));
  process.kill(first, 'SIGKILL');
  await assert.rejects(lost, (error) => failsWith('HELPER_DIED')(error) && (error as SysError).retryable);
  await own.mkfifo(join(directory.path, 'after-death'));
  assert.notEqual(own.pid, first);
  await own.close();
  await assert.rejects(own.mkfifo(join(directory.path, 'closed')), failsWith('HELPER_CLOSED'));
});

test('a helper that hangs is given up, and more calls than the bound are refused', async () => {
  const own = new SysHelper({ timeoutMs: 500, maxPending: 3 });
  await until('the helper answers', () => own.mkfifo(join(directory.path, 'warm-up')).then(() => true, () => true));
  const first = own.pid;
  assert.ok(first !== undefined);
  process.kill(first, 'SIGSTOP');
  const stuck = [1, 2, 3].map((number) => own.mkfifo(join(directory.path, `stuck-${number}`)));
  const settled = Promise.allSettled(stuck);
  await assert.rejects(own.mkfifo(join(directory.path, 'too-many')), failsWith('HELPER_BUSY'));
  for (const outcome of await settled) assert.ok(outcome.status === 'rejected' && failsWith('HELPER_TIMEOUT')(outcome.reason));
  await own.close();
});

test('a program that cannot be started is told', async () => {
  const own = new SysHelper({ path: join(directory.path, 'no-such-program') });
  await assert.rejects(own.mkfifo(join(directory.path, 'x')), failsWith('HELPER_DIED'));
  await own.close();
});
