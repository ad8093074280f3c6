// pouch-monitor as a keeper: a process in QEMU's place that waits for a claim, and its end by every way there is.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { before, test, type TestContext } from 'node:test';
import { monitorPath } from '@pouch/native';
import { ensureNative, temporaryDirectory, until } from '../../fixtures/native.ts';

before(ensureNative);
const skip = process.getuid?.() === 0 ? false : 'needs root: network namespaces';

interface Keeper { readonly pid: number; readonly directory: string; readonly owned: string; readonly member: string; readonly ended: Promise<number | string> }

const runs = (pid: number): Promise<boolean> => readFile(`/proc/${pid}/stat`, 'utf8').then((stat) => !/\) [ZX] /.test(stat), () => false);
const isThere = (path: string): Promise<boolean> => access(path).then(() => true, () => false);

async function keep(t: TestContext, idleMs: number, command: readonly string[] = ['/bin/sleep', '1000']): Promise<Keeper> {
  const { path: directory, remove } = await temporaryDirectory();
  t.after(remove);
  const member = join(directory, 'member');
  const owned = join(directory, 'disk');
  await mkdir(join(member, 'qemu'), { recursive: true });
  await writeFile(join(member, 'qemu', 'console.log'), '');
  await writeFile(owned, '');
  const config = join(directory, 'keeper.conf');
  const lines = ['role keeper', 'ready-fd 3', `socket ${join(member, 'keeper.sock')}`, `directory ${member}`, `owned ${owned}`, `idle-ms ${idleMs}`, ...command.map((word) => `qemu-arg ${word}`)];
  await writeFile(config, `${lines.join('\n')}\n`);
  const child = spawn(monitorPath, ['--config', config], { stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  const ended = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | string);
  const [line] = (await once(child.stdio[3] as Readable, 'data')) as [Buffer];
  assert.match(line.toString(), /^ok \d+\n$/);
  return { pid: child.pid ?? 0, directory, owned, member, ended };
}

async function childOf(pid: number): Promise<number> {
  return Number((await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim());
}

/** A claim without a network namespace: word 1, number 0. */
async function claimed(keeper: Keeper): Promise<{ readonly answers: number[]; readonly close: () => void; readonly over: Promise<unknown> }> {
  const answers: number[] = [];
  const socket = connect(join(keeper.member, 'keeper.sock'));
  const over = once(socket, 'close');
  socket.on('data', (bytes: Buffer) => { for (let at = 0; at + 4 <= bytes.length; at += 4) answers.push(bytes.readUInt32LE(at)); });
  socket.write(Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]));
  await until('the answer to the claim', () => (answers.length >= 2 ? true : undefined));
  return { answers, over, close: () => { socket.destroy(); } };
}

test('nobody comes: it ends, and its directory and disk are gone', { skip }, async (t) => {
  const keeper = await keep(t, 200);
  const waiting = await childOf(keeper.pid);
  assert.equal(await keeper.ended, 0);
  assert.equal(await runs(waiting), false);
  assert.deepEqual(await readdir(keeper.directory), ['keeper.conf']);
});

test('one that is not whole yet expires, too', { skip }, async (t) => {
  const keeper = await keep(t, 500);
  await rename(keeper.member, `${keeper.member}.new`);
  assert.equal(await keeper.ended, 0);
  assert.deepEqual(await readdir(keeper.directory), ['keeper.conf']);
});

test('a process that ends by itself takes the member out of the pool', { skip }, async (t) => {
  const keeper = await keep(t, 60_000);
  process.kill(await childOf(keeper.pid), 'SIGKILL');
  assert.equal(await keeper.ended, 0);
  assert.deepEqual(await readdir(keeper.directory), ['keeper.conf']);
});

test('a claim is answered with the process; what was claimed does not expire; its end is told', { skip }, async (t) => {
  const keeper = await keep(t, 300);
  const waiting = await childOf(keeper.pid);
  const claim = await claimed(keeper);
  assert.deepEqual(claim.answers, [2, waiting]);
  // Beyond the idle time, as another keeper of the same time shows.
  await (await keep(t, 400)).ended;
  assert.equal(await runs(waiting), true);
  process.kill(waiting, 'SIGTERM');
  await claim.over;
  assert.deepEqual(claim.answers.slice(2), [4, 15]);
  assert.equal(await keeper.ended, 0);
  assert.equal(await isThere(keeper.member), true, 'the directory is the claimer\'s');
});

test('the claim goes: the process is ended', { skip }, async (t) => {
  const keeper = await keep(t, 60_000);
  const waiting = await childOf(keeper.pid);
  const claim = await claimed(keeper);
  claim.close();
  assert.equal(await keeper.ended, 0);
  assert.equal(await runs(waiting), false);
});

test('kill -9 of the keeper ends the process, and the claim sees it', { skip }, async (t) => {
  const keeper = await keep(t, 60_000);
  const waiting = await childOf(keeper.pid);
  const claim = await claimed(keeper);
  process.kill(keeper.pid, 'SIGKILL');
  await claim.over;
  await until('the end of the process', async () => ((await runs(waiting)) ? undefined : true));
});

test('words that are no claim end it', { skip }, async (t) => {
  const keeper = await keep(t, 60_000);
  const socket = connect(join(keeper.member, 'keeper.sock'));
  socket.on('error', () => undefined); // it may be reset
  socket.write('GET / HTTP/1.0\r\n\r\n');
  assert.equal(await keeper.ended, 0);
});

test('a program that is not there is told', { skip }, async (t) => {
  await assert.rejects(keep(t, 60_000, ['/none/such']), /error .*none\/such cannot be run/);
});
