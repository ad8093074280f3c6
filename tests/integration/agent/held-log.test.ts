// A log that is held by its reader: pouch-log and the agent's cursor together, without a container.
import assert from 'node:assert/strict';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { LogCursor } from '../../../services/agent/src/streams/log-files.ts';
import { ensureNative, startWriter, temporaryDirectory, type RunningWriter } from '../../fixtures/native.ts';

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
const started: RunningWriter[] = [];
const chunk = Buffer.alloc(16 << 10, 'x');
const chunks = 256;
/** A file takes two chunks. */
const small = { 'max-size': String(40 << 10) };

before(async () => {
  await ensureNative();
  directory = await temporaryDirectory();
});
after(async () => {
  for (const { child } of started) child.kill('SIGKILL');
  await directory.remove();
});

async function emptyLog(name: string): Promise<string> {
  const dir = join(directory.path, name);
  await mkdir(dir);
  return dir;
}

function start(dir: string, more: Readonly<Record<string, string>>): RunningWriter {
  const writer = startWriter({ dir, start: 's', ...small, ...more });
  started.push(writer);
  return writer;
}

async function writeAll({ stdout }: RunningWriter): Promise<void> {
  for (let n = 0; n < chunks; n++) await new Promise<void>((resolve, reject) => { stdout.write(chunk, (error) => { if (error) reject(error); else resolve(); }); });
  stdout.end();
}

for (const files of ['1', '3']) {
  test(`with ${files} file(s), nothing is rotated away unread from a slow reader that held the log before it began`, { timeout: 120_000 }, async () => {
    const dir = await emptyLog(`held-${files}`);
    const cursor = new LogCursor(dir, 0, { hold: true });
    await cursor.open();
    const writer = start(dir, { 'max-file': files });
    const written = writeAll(writer).then(() => writer.stderr.end());
    let [bytes, position, most] = [0, 0, 0];
    for (let ended = false; !ended;) {
      for (const record of await cursor.read()) {
        assert.equal(record.position, position);
        position = record.nextPosition;
        if (record.kind === 'stdout') bytes += record.data.length;
        ended ||= record.kind === 'end';
      }
      most = Math.max(most, (await readdir(dir)).filter((name) => name.startsWith('log.')).length);
      await delay(1);
    }
    await written;
    assert.equal(bytes, chunk.length * chunks);
    assert.ok(most <= Number(files) + 1, `${most} files`);
    await cursor.close();
  });
}

test('a reader that does not hold it, or has lost patience of the writer, makes no container wait for ever', { timeout: 120_000 }, async () => {
  for (const hold of [false, true]) {
    const dir = await emptyLog(`left-${hold}`);
    const cursor = new LogCursor(dir, 0, { hold });
    await cursor.open();
    const writer = start(dir, { 'max-file': '2', 'reader-ms': '20' });
    await writeAll(writer);
    writer.stderr.end();
    assert.equal(await writer.exited, 0);
    let position = 0;
    let gaps = 0;
    for (let records = await cursor.read(); records.length > 0; records = await cursor.read()) {
      for (const record of records) {
        if (record.position !== position) gaps++;
        position = record.nextPosition;
      }
    }
    assert.equal(gaps, 1, 'it goes on with what is left');
    await cursor.close();
  }
});

test('the end of the container ends the waiting, and what it had written by then is not thrown away', { timeout: 120_000 }, async () => {
  const dir = await emptyLog('over');
  const cursor = new LogCursor(dir, 0, { hold: true });
  await cursor.open();
  const writer = start(dir, { 'max-file': '1' });
  const written = writeAll(writer).catch(() => undefined); // its pipe breaks when it has ended
  await writer.ready;
  // It stands still: the reader holds the first file.
  for (let before = -1, now = 0; before !== now; before = now, now = writer.stdout.writableLength) await delay(100);
  writer.child.kill('SIGTERM');
  await writer.exited;
  let [position, ended] = [0, false];
  for (let records = await cursor.read(); records.length > 0; records = await cursor.read()) {
    for (const record of records) {
      assert.equal(record.position, position);
      position = record.nextPosition;
      ended = record.kind === 'end';
    }
  }
  assert.ok(ended && position > chunk.length * 2, `read up to ${position}`);
  await cursor.close();
  await written;
});
