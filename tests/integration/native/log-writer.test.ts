// pouch-log as containerd's shim runs it: what it writes, rotates, repairs, and survives.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { appendFile, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { ensureNative, outputOf, readLog, startWriter, temporaryDirectory, until, type RunningWriter } from '../../fixtures/native.ts';

const run = promisify(execFile);
let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let dirs = 0;
const started: RunningWriter[] = [];

before(async () => {
  await ensureNative();
  directory = await temporaryDirectory();
});
after(async () => {
  for (const { child } of started) child.kill('SIGKILL');
  await directory.remove();
});

async function newLog(): Promise<string> {
  const path = join(directory.path, `log-${++dirs}`);
  await run('mkdir', [path]);
  return path;
}

function start(pairs: Record<string, string>): RunningWriter {
  const writer = startWriter(pairs);
  started.push(writer);
  return writer;
}

async function write(stream: NodeJS.WritableStream, data: string | Buffer): Promise<void> {
  await new Promise<void>((resolve, reject) => stream.write(data, (error) => { if (error) reject(error); else resolve(); }));
}

async function finish(writer: RunningWriter): Promise<void> {
  writer.stdout.end();
  writer.stderr.end();
  assert.equal(await writer.exited, 0);
}

/** Whether a whole record of output is there; undefined if not yet. */
async function hasOutput(dir: string): Promise<true | undefined> {
  return (await readLog(dir)).records.some((record) => record.kind === 'stdout') ? true : undefined;
}

/** Every record begins where the one before it ended. */
function assertContiguous(records: readonly { position: number; nextPosition: number }[]): void {
  for (const [index, record] of records.entries()) if (index > 0) assert.equal(record.position, records[index - 1]?.nextPosition);
}

test('each start has one start and one end record around its output, and restarts append', async () => {
  const dir = await newLog();
  for (const startId of ['first', 'second']) {
    const writer = start({ start: startId, dir, unknown: '' });
    await writer.ready;
    await write(writer.stdout, `out of ${startId}\n`);
    await write(writer.stderr, `err of ${startId}\n`);
    await finish(writer);
  }
  const { records, skippedBytes, restBytes } = await readLog(dir);
  assert.equal(skippedBytes + restBytes, 0);
  assertContiguous(records);
  for (const [run, startId] of [[1, 'first'], [2, 'second']] as const) {
    const mine = records.filter((record) => record.run === run);
    assert.deepEqual([mine.at(0)?.kind, mine.at(-1)?.kind], ['start', 'end']);
    assert.ok(mine.every((record) => (record.kind !== 'start' && record.kind !== 'end') || record.startId === startId));
    assert.equal(outputOf(mine, 'stdout').toString(), `out of ${startId}\n`);
    assert.equal(outputOf(mine, 'stderr').toString(), `err of ${startId}\n`);
  }
});

test('a thousand chunks keep their order, and none is lost at the end', async () => {
  const dir = await newLog();
  const writer = start({ dir, start: 's' });
  const chunks = Array.from({ length: 1_000 }, (_, index) => `${index}:${'x'.repeat(index % 97)}\n`);
  for (const chunk of chunks) writer.stdout.write(chunk);
  await finish(writer);
  const { records } = await readLog(dir);
  assert.equal(outputOf(records, 'stdout').toString(), chunks.join(''));
  assert.equal(records.at(-1)?.kind, 'end');
});

test('rotation keeps max-file files of max-size bytes, and positions tell where each record stood', async () => {
  const dir = await newLog();
  const writer = start({ dir, start: 's', 'max-size': '65536', 'max-file': '3' });
  const chunk = Buffer.alloc(1_000, 'y');
  for (let index = 0; index < 1_000; index++) await write(writer.stdout, chunk);
  await finish(writer);
  const { records, files } = await readLog(dir);
  assert.equal(files, 3);
  for (const name of ['log.0', 'log.1', 'log.2']) assert.ok((await stat(join(dir, name))).size <= 65_536);
  assertContiguous(records);
  assert.ok(records.length > 0 && (records[0]?.position ?? 0) > 0, 'the oldest are gone');
  assert.equal(records.at(-1)?.kind, 'end');
});

test('with one file only, rotation begins it anew', async () => {
  const dir = await newLog();
  const writer = start({ dir, start: 's', 'max-size': '40000', 'max-file': '1' });
  for (let index = 0; index < 100; index++) await write(writer.stdout, Buffer.alloc(1_000, 'z'));
  await finish(writer);
  const { records, files } = await readLog(dir);
  assert.equal(files, 1);
  assert.equal(records.at(-1)?.kind, 'end');
});

test('a record torn by kill -9 is cut off by the next start, wherever it was torn', async () => {
  const dir = await newLog();
  const log = join(dir, 'log.0');
  const killed = start({ dir, start: 'killed' });
  await killed.ready;
  await write(killed.stdout, 'whole\n');
  await until('the chunk is in the log', () => hasOutput(dir));
  const whole = await readFile(log);
  killed.child.kill('SIGKILL');
  assert.equal(await killed.exited, 'SIGKILL');

  const record = whole.subarray(whole.lastIndexOf('PLR1'));
  for (const keptBytes of [1, 35, 36, 40, record.length - 1]) {
    const sizeBefore = (await stat(log)).size;
    await appendFile(log, record.subarray(0, keptBytes));
    const next = start({ dir, start: `after-${keptBytes}` });
    await finish(next);
    const { records, skippedBytes, restBytes } = await readLog(dir);
    assert.equal(skippedBytes + restBytes, 0);
    assertContiguous(records);
    assert.equal(records.findLast((each) => each.kind === 'start')?.position, sizeBefore);
  }
});

test('a log that is only a torn record, or not one at all, is begun anew', async () => {
  const dir = await newLog();
  await writeFile(join(dir, 'log.0'), Buffer.alloc(200, 'garbage'));
  await finish(start({ dir, start: 's' }));
  const { records, skippedBytes } = await readLog(dir);
  assert.deepEqual(records.map((record) => record.kind), ['start', 'end']);
  assert.equal(skippedBytes, 0);
});

test('position and run go on after a rotation that was cut short by a crash', async () => {
  const dir = await newLog();
  await finish(start({ dir, start: 'one' }));
  const { records: earlier } = await readLog(dir);
  await run('mv', [join(dir, 'log.0'), join(dir, 'log.1')]);
  await finish(start({ dir, start: 'two', 'max-file': '2' }));
  const { records } = await readLog(dir);
  assertContiguous(records);
  assert.equal(records.length, 2 * earlier.length);
  assert.equal(records.at(-1)?.run, 2);
});

test('SIGTERM, while the pipes are still open, writes what is there and the end', async () => {
  const dir = await newLog();
  const writer = start({ dir, start: 's' });
  await writer.ready;
  await write(writer.stdout, 'last words\n');
  writer.child.kill('SIGTERM');
  assert.equal(await writer.exited, 0);
  const { records } = await readLog(dir);
  assert.equal(outputOf(records, 'stdout').toString(), 'last words\n');
  assert.equal(records.at(-1)?.kind, 'end');
});

test('with a terminal the end of stdout is the end', async () => {
  const dir = await newLog();
  const writer = start({ dir, start: 's', tty: '1' });
  await write(writer.stdout, 'tty\r\n');
  writer.stdout.end();
  assert.equal(await writer.exited, 0);
  const { records } = await readLog(dir);
  assert.ok(records.every((record) => record.kind === 'lost' || record.tty));
  assert.equal(records.at(-1)?.kind, 'end');
});

test('a removed log directory is no reason to stop draining or to fail', async () => {
  const dir = await newLog();
  const writer = start({ dir, start: 's', 'max-size': '20000', 'max-file': '2' });
  await writer.ready;
  await rm(dir, { recursive: true });
  for (let index = 0; index < 200; index++) await write(writer.stdout, Buffer.alloc(1_000, 'q'));
  await finish(writer);
  await assert.rejects(stat(dir));
});

test('a second start waits for the end of the first one\'s output', async () => {
  const dir = await newLog();
  const first = start({ dir, start: 'first' });
  await first.ready;
  const second = start({ dir, start: 'second' });
  await write(second.stdout, 'second\n');
  await write(first.stdout, 'first\n');
  await until('the first chunk is in the log', () => hasOutput(dir));
  await finish(first);
  await finish(second);
  const { records } = await readLog(dir);
  assertContiguous(records);
  assert.deepEqual(records.map((record) => `${record.run} ${record.kind}`), ['1 start', '1 stdout', '1 end', '2 start', '2 stdout', '2 end']);
});

test('a full disk costs the output that does not fit, counted to the byte, and never the container\'s progress', async (t) => {
  const dir = await newLog();
  try {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', dir]);
  } catch (error) {
    return t.skip(`no tmpfs can be mounted here: ${error instanceof Error ? error.message.trim() : String(error)}`);
  }
  try {
    await writeFile(join(dir, 'filler'), Buffer.alloc(64 * 1024));
    const writer = start({ dir, start: 's' });
    await writer.ready;
    const chunk = Buffer.alloc(1_000, 'w');
    let sentBytes = 0;
    for (; sentBytes < 600_000; sentBytes += chunk.length) await write(writer.stdout, chunk);
    // The writer must have drained it all before there is room again.
    await until('the pipe is drained', () => writer.stdout.writableLength === 0 || undefined);
    await truncate(join(dir, 'filler'), 0);
    await write(writer.stdout, 'after\n');
    await finish(writer);
    const { records, skippedBytes, restBytes } = await readLog(dir);
    assert.equal(skippedBytes + restBytes, 0);
    assertContiguous(records);
    const lostBytes = records.reduce((sum, record) => sum + (record.kind === 'lost' ? record.lostBytes : 0), 0);
    assert.ok(lostBytes > 0);
    assert.equal(outputOf(records, 'stdout').length + lostBytes, sentBytes + 'after\n'.length);
    assert.equal(records.at(-1)?.kind, 'end');
  } finally {
    await run('umount', ['-l', dir]);
  }
});

test('bad arguments are refused before anything is read', async () => {
  for (const pairs of [{ start: 's' }, { dir: 'relative' }, { dir: directory.path, 'max-file': '0' }, { dir: directory.path, 'max-size': '1e6' }]) {
    const writer = start(pairs as Record<string, string>);
    assert.equal(await writer.exited, 2);
  }
});
