// pouch-log --fifo: detached, for containers whose stdio are FIFOs.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { logWriterFifoArguments, logWriterPath, SysHelper, type LogWriterOptions } from '@pouch/native';
import { ensureNative, outputOf, readLog, temporaryDirectory, until } from '../../fixtures/native.ts';

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
const helper = new SysHelper();
let count = 0;

before(async () => {
  await ensureNative();
  directory = await temporaryDirectory();
});
after(async () => {
  await helper.close();
  await directory.remove();
});

async function fifos(): Promise<{ out: string; err: string; dir: string }> {
  const base = join(directory.path, `run-${++count}`);
  const dir = join(base, 'log');
  await mkdir(dir, { recursive: true });
  const paths = { out: join(base, 'out'), err: join(base, 'err'), dir };
  await helper.mkfifo(paths.out);
  await helper.mkfifo(paths.err);
  return paths;
}

/** Resolves once the launcher has exited, which says that the writer is in the background and ready. */
async function launch(options: LogWriterOptions, out: string, err: string | undefined, extra: readonly string[] = []): Promise<number> {
  const child = spawn(logWriterPath, [...logWriterFifoArguments(options, out, err), ...extra], { stdio: 'ignore', cwd: '/' });
  const [code] = await once(child, 'exit') as [number];
  return code;
}

async function ended(dir: string): Promise<Awaited<ReturnType<typeof readLog>>> {
  return await until('the end record is written', async () => {
    const log = await readLog(dir);
    return log.records.at(-1)?.kind === 'end' ? log : undefined;
  });
}

/** The background process that reads this FIFO; only its command line tells. */
async function pidOfWriter(out: string): Promise<number> {
  for (const entry of await readdir('/proc')) {
    const command = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '');
    if (command.startsWith(`${logWriterPath}\0--fifo\0${out}\0`)) return Number(entry);
  }
  throw new Error(`no writer reads ${out}`);
}

test('it is ready when its launcher exits, survives it, and ends with its writers', async () => {
  const { out, err, dir } = await fifos();
  assert.equal(await launch({ dir, startId: 'fifo' }, out, err), 0);
  assert.deepEqual((await readLog(dir)).records.map((record) => record.kind), ['start']);
  const [stdout, stderr] = await Promise.all([open(out, 'w'), open(err, 'w')]);
  await stdout.write('to stdout\n');
  await stderr.write('to stderr\n');
  await stdout.close();
  await stderr.write('more\n');
  await stderr.close();
  const { records } = await ended(dir);
  assert.equal(outputOf(records, 'stdout').toString(), 'to stdout\n');
  assert.equal(outputOf(records, 'stderr').toString(), 'to stderr\nmore\n');
});

test('without stderr, stdout alone decides', async () => {
  const { out, dir } = await fifos();
  assert.equal(await launch({ dir, startId: 'tty', tty: true }, out, undefined), 0);
  const stdout = await open(out, 'w');
  await stdout.write('x');
  await stdout.close();
  assert.equal(outputOf((await ended(dir)).records, 'stdout').toString(), 'x');
});

test('SIGHUP and SIGTERM do not end it while the container writes', async () => {
  const { out, err, dir } = await fifos();
  assert.equal(await launch({ dir, startId: 's' }, out, err), 0);
  const [stdout, stderr] = await Promise.all([open(out, 'w'), open(err, 'w')]);
  const pid = await pidOfWriter(out);
  for (const signal of ['SIGHUP', 'SIGTERM', 'SIGINT'] as const) process.kill(pid, signal);
  await stdout.write('still here\n');
  await Promise.all([stdout.close(), stderr.close()]);
  assert.equal(outputOf((await ended(dir)).records, 'stdout').toString(), 'still here\n');
});

test('it gives up on writers that never come', async () => {
  const { out, err, dir } = await fifos();
  assert.equal(await launch({ dir, startId: 'alone' }, out, err, ['wait-ms', '200']), 0);
  const { records } = await ended(dir);
  assert.deepEqual(records.map((record) => record.kind), ['start', 'end']);
});

test('a writer that is silent for longer than is waited for one is still heard', async () => {
  const { out, err, dir } = await fifos();
  assert.equal(await launch({ dir, startId: 'silent' }, out, err, ['wait-ms', '200']), 0);
  const [stdout, stderr] = await Promise.all([open(out, 'w'), open(err, 'w')]);
  await delay(1_000);
  assert.deepEqual((await readLog(dir)).records.map((record) => record.kind), ['start']);
  await stdout.write('at last\n');
  await stderr.write('me too\n');
  await Promise.all([stdout.close(), stderr.close()]);
  const { records } = await ended(dir);
  assert.equal(outputOf(records, 'stdout').toString(), 'at last\n');
  assert.equal(outputOf(records, 'stderr').toString(), 'me too\n');
});

test('a FIFO that is not there is told at once', async () => {
  const { err, dir } = await fifos();
  assert.equal(await launch({ dir, startId: 's' }, join(dir, 'nothing'), err), 1);
});
