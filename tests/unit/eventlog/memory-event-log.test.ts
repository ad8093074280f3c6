// The log in memory keeps the contract, and can be taken away and made anew for the tests of others.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LogUnavailable, MemoryEventLog, subjectMatches } from '@pouch/eventlog';
import { collect, logContract, message, until, type TestMessage } from './log-contract.ts';

const shared = new MemoryEventLog<TestMessage>({ maxMessagesPerSubject: 5 });
logContract('in memory', () => Promise.resolve(shared));

test('taken away it fails at once, and its followers go on when it is back', async () => {
  const log = new MemoryEventLog<TestMessage>();
  const reasons: string[] = [];
  const { got, subscription } = collect(log, { filter: 'evt.>', from: 'new', onInterrupted: (reason) => reasons.push(reason) });
  await until('caught up', () => subscription.caughtUp);
  log.setAvailable(false);
  await assert.rejects(log.append({ subject: 'evt.a', message: message(1), expectedSeq: 0 }), LogUnavailable);
  assert.equal(subscription.caughtUp, false);
  log.setAvailable(true);
  await log.append({ subject: 'evt.a', message: message(1), expectedSeq: 0 });
  await until('it came', () => got.length === 1);
  assert.equal(reasons.length, 1);
  await subscription.stop();
});

test('made anew it has another identity and tells its followers', async () => {
  const log = new MemoryEventLog<TestMessage>();
  const { streamId } = await log.identity();
  const { errors } = collect(log, { filter: 'evt.>', from: 'new' });
  log.recreate();
  assert.notEqual((await log.identity()).streamId, streamId);
  assert.equal((errors[0] as { code?: string }).code, 'identity-changed');
});

test('an id is forgotten after the duplicate window', async () => {
  let nowMs = 1_000_000;
  const log = new MemoryEventLog<TestMessage>({ clock: { now: () => nowMs, monotonicMs: () => nowMs }, duplicateWindowMs: 1_000 });
  const one = message(1);
  const { seq } = await log.append({ subject: 'evt.a', message: one, expectedSeq: 0 });
  nowMs += 500;
  assert.equal((await log.append({ subject: 'evt.a', message: one, expectedSeq: seq })).duplicate, true);
  nowMs += 1_000;
  assert.equal((await log.append({ subject: 'evt.a', message: one, expectedSeq: seq })).duplicate, false);
});

test('subjects match filters as in NATS', () => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ['evt.>', 'evt.a', true], ['evt.>', 'evt.a.b', true], ['evt.>', 'evt', false], ['evt.*', 'evt.a', true], ['evt.*', 'evt.a.b', false],
    ['evt.*.b', 'evt.a.b', true], ['evt.*.b', 'evt.a.c', false], ['>', 'x', true], ['evt.a', 'evt.a', true], ['evt.a', 'evt.a.b', false], ['evt.a.b', 'evt.a', false],
  ];
  for (const [filter, subject, matches] of cases) assert.equal(subjectMatches(filter, subject), matches, `${filter} ${subject}`);
});
