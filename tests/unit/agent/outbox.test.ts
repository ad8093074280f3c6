// Reports on their way to the log: order, batches, the log away and back, crashes, and the bound.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { containerSubject } from '@pouch/contracts';
import { containerId, type Container, type ContainerCommand } from '@pouch/domain';
import { OperatingError } from '@pouch/process';
import { Book } from '../../../services/agent/src/reports/book.ts';
import { maxQueued, Outbox, type Batch } from '../../../services/agent/src/reports/outbox.ts';
import { Store } from '../../../services/agent/src/store/store.ts';
import { aContainerId, aHostId, anExit, aRun, aSpec } from '../../fixtures/domain.ts';

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const subject = containerSubject(aHostId, aContainerId);
const oom: ContainerCommand = { type: 'ReportOomKilled' };
const startedBy = (startId: string): ContainerCommand => ({ type: 'ReportStarted', run: aRun(startId), byPolicy: true });
const exitOf = (startId: string): ContainerCommand => ({ type: 'ReportExit', exit: anExit(startId), hostShutdown: false });

function fixture(t: TestContext, append?: (batch: Batch) => Promise<number | null>) {
  const dir = mkdtempSync(join(tmpdir(), 'pouch-test-outbox-'));
  const path = join(dir, 'agent.db');
  const batches: Batch[] = [];
  const life = { away: false, seq: 0 };
  const open = () => {
    const store = new Store(path);
    let book: Book | null = null;
    const outbox = new Outbox({
      store, now: () => 1_000, logger: silent,
      append: append ?? (async (batch) => {
        if (life.away) throw new OperatingError('log-unavailable', 'away', { retryable: true });
        batches.push(batch);
        return ++life.seq;
      }),
      onChange: (changed) => book?.invalidate(changed),
    });
    outbox.restore();
    book = new Book(store, aHostId, (of) => outbox.waiting(of));
    book.restore();
    return { store, outbox, book };
  };
  const first = open();
  t.after(async () => {
    await first.outbox.close(1_000);
    try { first.store.close(); } catch { /* closed by the test */ }
    rmSync(dir, { recursive: true, force: true });
  });
  return { ...first, open, batches, life };
}

const types = (batches: readonly Batch[]): string[] => batches.flatMap(({ reports }) => reports.map(({ command }) => command.type));
const running: Container = { status: 'running', run: aRun('s1'), id: aContainerId, hostId: aHostId, name: 'one', spec: aSpec({ restartPolicy: { name: 'always', maximumRetryCount: 0 } }), createdAtMs: 0, requests: [], failures: [], restartCount: 0, backoffStep: 0, manuallyStopped: false };

test('a report is appended at once and forgotten when acknowledged', async (t) => {
  const { outbox, store, batches } = fixture(t);
  assert.equal(await outbox.add({ kind: 'container', subject, command: oom }), 1);
  assert.deepEqual(types(batches), ['ReportOomKilled']);
  assert.equal(outbox.size, 0);
  assert.deepEqual(store.outbox(), []);
});

test('reports that come while one is being appended go together, in order', async (t) => {
  const { outbox, batches } = fixture(t);
  const seqs = await Promise.all([outbox.add({ kind: 'container', subject, command: startedBy('a') }), outbox.add({ kind: 'container', subject, command: exitOf('a') }), outbox.add({ kind: 'container', subject, command: startedBy('b') })]);
  assert.deepEqual(types(batches), ['ReportStarted', 'ReportExit', 'ReportStarted']);
  assert.equal(batches.length, 2);
  assert.deepEqual(seqs, [1, 2, 2]);
});

test('a report that is made as soon as the one before is told goes as well', { timeout: 10_000 }, async (t) => {
  const { outbox, batches } = fixture(t);
  const next = outbox.add({ kind: 'container', subject, command: startedBy('s1') }).then(() => outbox.add({ kind: 'container', subject, command: exitOf('s1') }));
  assert.equal(await next, 2);
  assert.deepEqual(types(batches), ['ReportStarted', 'ReportExit']);
});

test('while the log is away reports wait, and go in order when it is back', async (t) => {
  const { outbox, batches, life } = fixture(t);
  life.away = true;
  const told = [outbox.add({ kind: 'container', subject, command: exitOf('a') }), outbox.add({ kind: 'container', subject, command: startedBy('b') })];
  assert.equal(await outbox.seqUnlessAway(told[1]!), 0);
  assert.equal(outbox.away, true);
  life.away = false;
  outbox.retryNow();
  await Promise.all(told);
  assert.deepEqual(types(batches), ['ReportExit', 'ReportStarted']);
});

test('a retry has the same id and the same reports', async (t) => {
  const tried: Batch[] = [];
  const { outbox } = fixture(t, async (batch) => {
    tried.push(batch);
    if (tried.length === 1) throw new OperatingError('log-unavailable', 'no answer', { retryable: true });
    return tried.length;
  });
  const first = outbox.add({ kind: 'container', subject, command: oom });
  const second = outbox.add({ kind: 'container', subject, command: exitOf('a') });
  await Promise.all([first, second]);
  assert.equal(tried[0]?.id, tried[1]?.id);
  assert.deepEqual(tried.map(({ reports }) => reports.length), [1, 1, 1]);
});

test('a report that comes to wait while the log is tried again is told as well', async (t) => {
  const other = containerSubject(aHostId, containerId('b2'.repeat(32)));
  const held = Promise.withResolvers<void>();
  let tries = 0;
  const { outbox } = fixture(t, async () => {
    if (++tries === 1) throw new OperatingError('log-unavailable', 'away', { retryable: true });
    if (tries === 2) await held.promise;
    return tries;
  });
  const first = outbox.add({ kind: 'container', subject, command: oom });
  assert.equal(await outbox.seqUnlessAway(first), 0);
  outbox.retryNow();
  const second = outbox.add({ kind: 'container', subject: other, command: oom });
  held.resolve();
  assert.deepEqual(await Promise.all([first, second]), [2, 3]);
});

test('what was not acknowledged is there after a crash', async (t) => {
  const { outbox, store, open, batches, life } = fixture(t);
  life.away = true;
  void outbox.add({ kind: 'container', subject, command: exitOf('a') });
  await outbox.close(1_000);
  store.close();
  life.away = false;
  const again = open();
  assert.equal(again.outbox.size, 1);
  again.outbox.retryNow();
  while (again.outbox.size > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(types(batches), ['ReportExit']);
  again.store.close();
});

test('the local view goes on from what waits: a restart policy works without the log', async (t) => {
  const { outbox, book, life } = fixture(t);
  life.away = true;
  book.learn(aContainerId, 7, running);
  void outbox.add({ kind: 'container', subject, command: exitOf('s1') });
  const ended = book.local(aContainerId);
  assert.equal(ended?.status, 'restarting');
  void outbox.add({ kind: 'container', subject, command: startedBy('s2') });
  assert.deepEqual([book.local(aContainerId)?.status, book.local(aContainerId)?.restartCount], ['running', 1]);
  assert.equal(book.head(aContainerId)?.snapshot.status, 'running');
});

test('older messages do not overwrite newer ones', (t) => {
  const { book } = fixture(t);
  assert.equal(book.learn(aContainerId, 7, running), true);
  assert.equal(book.learn(aContainerId, 7, { ...running, name: 'other' }), false);
  assert.equal(book.learn(aContainerId, 6, { ...running, name: 'other' }), false);
  assert.equal(book.local(aContainerId)?.name, 'one');
});

test('the queue is bounded: whole runs in the middle are dropped, the last state stays true', async (t) => {
  const { outbox, book, life } = fixture(t);
  life.away = true;
  book.learn(aContainerId, 7, running);
  void outbox.add({ kind: 'container', subject, command: exitOf('s1') });
  for (let run = 0; run < maxQueued; run++) {
    void outbox.add({ kind: 'container', subject, command: startedBy(`r${run}`) });
    void outbox.add({ kind: 'container', subject, command: exitOf(`r${run}`) });
  }
  assert.ok(outbox.size <= maxQueued, `${outbox.size}`);
  const local = book.local(aContainerId);
  assert.equal(local?.status, 'restarting');
  assert.equal(local?.status === 'restarting' && local.lastExit.startId, `r${maxQueued - 1}`);
});

test('a report that the log refuses for ever is given up', async (t) => {
  let tries = 0;
  const { outbox } = fixture(t, async () => {
    tries++;
    throw new TypeError('a bug');
  });
  const told = outbox.add({ kind: 'container', subject, command: oom });
  assert.equal(await told, null);
  assert.equal(outbox.away, false, 'others are not held up');
  assert.ok(tries > 1);
  assert.equal(outbox.size, 0);
});

test('a report that is given up while the log was away does not keep the others waiting for ever', async (t) => {
  let away = true;
  const other = containerSubject(aHostId, 'f'.repeat(64) as typeof aContainerId);
  const { outbox } = fixture(t, async (batch) => {
    if (away) throw new OperatingError('log-unavailable', 'away', { retryable: true });
    if (batch.subject === subject) throw new OperatingError('too-large', 'never');
    return 7;
  });
  const refused = outbox.add({ kind: 'container', subject, command: oom });
  assert.equal(await outbox.seqUnlessAway(refused), 0);
  const told = outbox.add({ kind: 'container', subject: other, command: oom });
  away = false;
  assert.deepEqual(await Promise.all([refused, told]), [null, 7]);
  assert.equal(outbox.away, false);
});
