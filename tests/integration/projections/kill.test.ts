// kill -9 of the process that projects, at many moments: what is left in the end is what a clean replay leaves. And a thread that dies is started again.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { DirectoryInUseError, distill, lockDirectory, openWriter, Projector } from '@pouch/projections';
import { idOf, LogOfEntries } from '../../fixtures/log-entries.ts';
import { longMs, startProjectedApi } from '../../fixtures/projected-api.ts';

const directory = mkdtempSync(join(tmpdir(), 'pouch-test-kill-'));
after(() => rmSync(directory, { recursive: true, force: true }));
const program = fileURLToPath(new URL('../../fixtures/apply-log.ts', import.meta.url));

const everything = (projector: Projector) => ['checkpoint', 'history', 'containers', 'placements', 'hosts', 'images', 'execs', 'subjects'].map((table) => projector.orm.$client.prepare(`SELECT * FROM ${table} ORDER BY 1, 2`).all());

test('killed at many moments, a projection comes to the same as a clean replay', async () => {
  const log = new LogOfEntries();
  log.join();
  for (let n = 0; n < 400; n++) {
    log.create(n);
    log.exit(n, log.start(n), n % 3);
    if (n % 4 === 0) log.remove(n);
  }
  const logFile = join(directory, 'log.jsonl');
  writeFileSync(logFile, log.entries.map(({ seq, subject, storedAtMs, payload }) => JSON.stringify([seq, subject, storedAtMs, Buffer.from(payload).toString('base64')])).join('\n'));
  const file = join(directory, 'killed.db');
  let kills = 0;
  for (let run = 0; ; run++) {
    assert.ok(run < 100, 'it comes to the end at last');
    const child = spawn(process.execPath, [program, file, logFile], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    const exited = once(child, 'exit');
    // Later each time, so that the end is reached however slow the machine is.
    const timer = setTimeout(() => child.kill('SIGKILL'), 5 + run * run * 4);
    const [code] = (await exited) as [number | null];
    clearTimeout(timer);
    if (code === 0) break;
    assert.equal(code, null, 'it ends by the kill only');
    kills += 1;
  }
  assert.ok(kills > 0);
  const killed = Projector.open(file);
  const clean = Projector.open(join(directory, 'clean.db'));
  clean.begin('stream');
  clean.apply(log.entries.map(distill));
  assert.deepEqual(everything(killed), everything(clean));
  killed.close();
  clean.close();
});

test('a projector thread that dies is started again and goes on', async () => {
  const api = await startProjectedApi();
  try {
    const log = new LogOfEntries();
    log.create(1);
    await api.show(log.entries);
    const [name = ''] = readdirSync(api.directory).filter((entry) => entry.endsWith('.db'));
    // Another writer holds the file for longer than the thread waits for it.
    const intruder = openWriter(join(api.directory, name)).$client;
    intruder.exec('BEGIN IMMEDIATE');
    log.start(1);
    const seq = await api.append(log.entries);
    for (const end = Date.now() + longMs; api.projection.health().restarts === 0; await delay(50)) assert.ok(Date.now() < end, 'the thread dies');
    assert.equal(api.projection.present.container(idOf(1))?.state.status, 'created', 'reads go on');
    intruder.exec('ROLLBACK');
    intruder.close();
    await api.projection.waitForSeq(seq, { timeoutMs: longMs });
    assert.equal(api.projection.present.container(idOf(1))?.state.status, 'running');
    assert.equal(readdirSync(api.directory).filter((entry) => entry.endsWith('.db')).join(), name, 'in the same file');
  } finally {
    await api.stop();
  }
});

test('a directory belongs to one at a time', () => {
  const held = lockDirectory(directory);
  assert.throws(() => lockDirectory(directory), DirectoryInUseError);
  held.release();
  lockDirectory(directory).release();
});
