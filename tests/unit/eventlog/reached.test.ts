// An earlier end of the log than the one that is known: believed at once of a log that one server keeps, and only after a while of one that several keep.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LogIdentity } from '@pouch/eventlog';
import { systemClock } from '@pouch/process';
import { Reached } from '../../../packages/eventlog/src/reached.ts';

const told = (lastSeq: number, more: Partial<LogIdentity> = {}): LogIdentity => ({ streamId: 'one', createdAtMs: 0, firstSeq: 1, lastSeq, messages: lastSeq, leader: 'a', ...more });

function reached(): { log: Reached; pass(ms: number): void } {
  let nowMs = 1_000;
  return { log: new Reached({ ...systemClock, monotonicMs: () => nowMs }, 30_000), pass: (ms) => { nowMs += ms; } };
}

test('of several servers one that is behind is not believed, until nothing else is told for long', () => {
  const { log, pass } = reached();
  log.note(463);
  const behind = { name: 'LogUnavailable', retryable: true, message: /behind: it ends at 158, 463 was there before/ };
  assert.throws(() => log.checked(told(158)), behind);
  pass(29_000);
  assert.throws(() => log.checked(told(158)), behind);
  assert.equal(log.checked(told(463)).lastSeq, 463);
  // Counted anew.
  pass(2_000);
  assert.throws(() => log.checked(told(158)), behind);
  pass(30_000);
  assert.equal(log.checked(told(158)).lastSeq, 158);
  assert.equal(log.checked(told(160)).lastSeq, 160);
});

test('who names no leader is not believed', () => {
  assert.throws(() => reached().log.checked(told(463, { leader: null })), { name: 'LogUnavailable', message: /nobody leads/ });
});

test('another stream, and one that a single server keeps, is what it says', () => {
  const { log } = reached();
  log.note(463);
  assert.equal(log.checked(told(463)).lastSeq, 463);
  assert.equal(log.checked(told(3, { streamId: 'another' })).lastSeq, 3);
  const { log: single } = reached();
  single.note(463);
  const { leader: _leader, ...alone } = told(158);
  assert.equal(single.checked(alone).lastSeq, 158);
});
