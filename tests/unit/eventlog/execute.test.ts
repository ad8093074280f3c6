// Deciding on a head and appending: with guesses, with others in between, with a command that comes twice.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { appendDecision, ContentionError, LogUnavailable, MemoryEventLog, type AppendDecisionOptions, type Head } from '@pouch/eventlog';

interface Counted {
  readonly id: string;
  readonly total: number;
}

const subject = 'evt.counter.a';

/** Adds to a counter that must not go over 100; adding nothing is nothing to do. */
function add(log: MemoryEventLog<Counted>, amount: number, more: Partial<AppendDecisionOptions<Counted, number, string>> & { readonly onDecide?: (total: number | null) => void } = {}) {
  const id = more.id ?? randomUUID();
  return appendDecision<Counted, number, string>({
    log, subject, id,
    snapshotOf: ({ total }) => total,
    choose: (total) => {
      more.onDecide?.(total);
      if (amount === 0) return { nothing: true };
      return (total ?? 0) + amount > 100 ? { refuse: 'too-much' } : { append: { id, total: (total ?? 0) + amount } };
    },
    ...more,
  });
}

/** Lets somebody else be faster `times` times. */
class Contended extends MemoryEventLog<Counted> {
  times: number;

  constructor(times: number) {
    super();
    this.times = times;
  }

  override async append(request: { subject: string; message: Counted; expectedSeq: number }) {
    if (this.times-- > 0) await super.append({ subject, message: { id: randomUUID(), total: 1 }, expectedSeq: request.expectedSeq });
    return await super.append(request);
  }
}

test('loads, decides, appends; then nothing to do, and a refusal', async () => {
  const log = new MemoryEventLog<Counted>();
  const first = await add(log, 60);
  assert.deepEqual(first.outcome, 'appended');
  assert.equal((await log.last(subject))?.message.total, 60);
  assert.deepEqual(await add(log, 50), { outcome: 'refused', seq: first.seq, refusal: 'too-much' });
  const nothing = await add(log, 0);
  assert.deepEqual([nothing.outcome, nothing.seq], ['nothing', first.seq]);
});

test('what fails after something was sent is not "not sent"', async () => {
  class Failing extends MemoryEventLog<Counted> {
    failing = false;
    override async append(request: { subject: string; message: Counted; expectedSeq: number }) {
      this.failing = true;
      return await super.append(request);
    }
    override async entry(seq: number) {
      if (this.failing) throw new LogUnavailable('away');
      return await super.entry(seq);
    }
    override async last(name: string) {
      if (this.failing) throw new LogUnavailable('away');
      return await super.last(name);
    }
  }
  const unknown = (error: unknown): boolean => error instanceof LogUnavailable && error.outcome === 'unknown';
  const log = new Failing();
  const id = randomUUID();
  const { seq } = await add(log, 10, { id });
  log.failing = false;
  await add(log, 1);
  // It is there already, and reading it fails.
  await assert.rejects(add(log, 10, { id, cached: { seq, snapshot: 10 } }), unknown);
  log.failing = false;
  // Somebody was faster, who may have been an earlier try, and looking fails.
  await assert.rejects(add(log, 10, { cached: { seq, snapshot: 10 } }), unknown);
  await assert.rejects(add(log, 10), (error) => error instanceof LogUnavailable && error.outcome === 'not-sent');
});

test('a good guess saves the load', async () => {
  const log = new MemoryEventLog<Counted>();
  const { seq } = await add(log, 10);
  const seen: (number | null)[] = [];
  log.last = () => assert.fail('it was loaded');
  assert.equal((await add(log, 5, { cached: { seq, snapshot: 10 }, onDecide: (total) => seen.push(total) })).outcome, 'appended');
  assert.deepEqual(seen, [10]);
});

test('a stale guess is decided again, also where it would be refused or need nothing', async () => {
  const log = new MemoryEventLog<Counted>();
  await add(log, 10);
  const stale: Head<number> = { seq: 0, snapshot: 95 };
  const appended = await add(log, 20, { cached: stale });
  assert.equal(appended.outcome, 'appended');
  assert.equal((await log.last(subject))?.message.total, 30);
  const behind = await add(log, 5, { cached: { seq: 0, snapshot: null } });
  assert.equal(behind.outcome, 'appended');
  assert.equal((await log.last(subject))?.message.total, 35);
});

test('after a conflict it decides again on what the other left', async () => {
  const log = new Contended(3);
  const outcome = await add(log, 10);
  assert.equal(outcome.outcome, 'appended');
  assert.equal((await log.last(subject))?.message.total, 11);
});

test('gives up after the attempts', async () => {
  const log = new Contended(1_000);
  await assert.rejects(add(log, 10, { attempts: 4 }), (error) => error instanceof ContentionError && error.retryable);
  assert.equal(log.times, 996);
});

test('the same command twice is one message, whatever came in between', async () => {
  const log = new MemoryEventLog<Counted>();
  const id = randomUUID();
  const first = await add(log, 10, { id });
  const again = await add(log, 10, { id });
  assert.deepEqual(again, { outcome: 'appended', seq: first.seq, message: { id, total: 10 }, duplicate: true });
  await add(log, 7);
  const later = await add(log, 10, { id });
  assert.deepEqual(later, { outcome: 'appended', seq: first.seq, message: { id, total: 10 }, duplicate: true });
  assert.equal((await log.last(subject))?.message.total, 17);
});

test('many at once lose nothing', async () => {
  const log = new MemoryEventLog<Counted>();
  await Promise.all(Array.from({ length: 20 }, () => add(log, 2, { attempts: 40 })));
  assert.equal((await log.last(subject))?.message.total, 40);
});
