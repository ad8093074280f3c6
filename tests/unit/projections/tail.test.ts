// Following the history: the past in pages, then live, every row once, however far behind a follower is. And waiting: bounded, each with an end.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { distill, ProjectionReader, Projector } from '@pouch/projections';
import { HistoryTail } from '../../../services/api/src/projection/tail.ts';
import { Waiters, WaitTimeoutError } from '../../../services/api/src/projection/waiters.ts';
import { LogOfEntries } from '../../fixtures/log-entries.ts';

const directory = mkdtempSync(join(tmpdir(), 'pouch-test-tail-'));
after(() => rmSync(directory, { recursive: true, force: true }));
let files = 0;

function followed() {
  const log = new LogOfEntries();
  const file = join(directory, `t${files++}.db`);
  const projector = Projector.open(file);
  projector.begin('s');
  const reader = ProjectionReader.open(file);
  let seq = 0;
  const tail = new HistoryTail(() => reader.history, () => seq);
  const commit = (count: number) => {
    for (let i = 0; i < count; i++) log.raw('evt.host.h', `${log.seq}`);
    seq = projector.apply(log.entries.slice(seq).map(distill)).seq;
    tail.committed();
  };
  return { tail, commit, seq: () => seq, close: () => { reader.close(); projector.close(); } };
}

test('rows come once each and in order, whatever is committed while they are read', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(30), fc.array(fc.integer({ min: 1, max: 900 }), { maxLength: 8 }), fc.nat(40), async (before, commits, from) => {
      const { tail, commit, seq, close } = followed();
      commit(before + 1);
      const afterSeq = Math.min(from, seq());
      const total = before + 1 + commits.reduce((sum, count) => sum + count, 0);
      const stop = new AbortController();
      const seen: number[] = [];
      const reading = (async () => {
        for await (const page of tail.follow({ afterSeq, live: true, signal: stop.signal })) {
          seen.push(...page.rows.map((row) => row.seq));
          if (page.scannedTo >= total) stop.abort();
        }
      })();
      for (const count of commits) {
        commit(count);
        if (count % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      if (afterSeq >= total) stop.abort();
      await reading;
      assert.deepEqual(seen, Array.from({ length: total - afterSeq }, (_, i) => afterSeq + 1 + i));
      assert.equal(tail.followers, 0);
      close();
    }),
    { numRuns: 25 },
  );
});

test('a follower far behind reads from the file, one at the end shares rows with the others', async () => {
  const { tail, commit, seq, close } = followed();
  commit(6_000);
  const stop = new AbortController();
  const late = tail.follow({ afterSeq: 0, live: true, signal: stop.signal });
  const first = await late.next();
  assert.ok(first.done !== true && first.value.rows.length === 1_000 && !first.value.caughtUp);
  const one = tail.follow({ afterSeq: seq(), live: true, signal: stop.signal });
  const other = tail.follow({ afterSeq: seq(), live: true, signal: stop.signal });
  const rows = [one.next(), other.next()];
  commit(3);
  const [a, b] = await Promise.all(rows);
  assert.ok(a?.done !== true && b?.done !== true);
  assert.equal(a?.value.rows.length, 3);
  assert.equal(a.value.rows[0], b?.value.rows[0], 'the very same object: it is rendered once for both');
  stop.abort();
  assert.equal((await one.next()).done, true);
  await late.return('ended');
  await other.return('ended');
  assert.equal(tail.followers, 0);
  close();
});

test('without live it ends at the present; a reset ends followers and says so', async () => {
  const { tail, commit, close } = followed();
  commit(5);
  const signal = new AbortController().signal;
  const past = tail.follow({ afterSeq: 2, live: false, signal });
  const page = await past.next();
  assert.ok(page.done !== true);
  assert.deepEqual(page.value.rows.map((row) => row.seq), [3, 4, 5]);
  assert.deepEqual(await past.next(), { done: true, value: 'ended' });
  const live = tail.follow({ afterSeq: 5, live: true, signal });
  const next = live.next();
  tail.reset();
  assert.deepEqual(await next, { done: true, value: 'reset' });
  close();
});

test('waiters end by outcome, by error, by time and by signal, and none stays behind', async () => {
  const waiters = new Waiters();
  let value: number | undefined;
  const look = () => {
    if (value === 13) throw new RangeError('unlucky');
    return value;
  };
  const forEver = { timeoutMs: null };
  const timedOut = () => new WaitTimeoutError('too late');
  const outcome = waiters.wait('a', look, forEver, timedOut);
  const other = waiters.wait('b', look, forEver, timedOut);
  const gone = new AbortController();
  const cut = waiters.wait('a', () => undefined, { timeoutMs: null, signal: gone.signal }, timedOut);
  assert.equal(waiters.count, 3);
  value = 7;
  waiters.wake('a');
  assert.equal(await outcome, 7);
  gone.abort(new Error('client gone'));
  await assert.rejects(cut, /client gone/);
  value = 13;
  waiters.wakeAll();
  await assert.rejects(other, RangeError);
  value = undefined;
  await assert.rejects(waiters.wait('a', look, { timeoutMs: 1 }, timedOut), WaitTimeoutError);
  const last = waiters.wait('a', look, forEver, timedOut);
  waiters.failAll(new Error('closing'));
  await assert.rejects(last, /closing/);
  assert.equal(waiters.count, 0);
  assert.equal(await waiters.wait('a', () => 1, forEver, timedOut), 1);
});
