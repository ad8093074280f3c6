// The health check of an image's configuration, which may hold anything: what is none is left out.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { imageHealthCheck } from '../../../services/agent/src/images/health-check.ts';

test('nanoseconds become milliseconds, and what is not said is 0', () => {
  const check = { Test: ['CMD-SHELL', 'ask'], Interval: 1_500_000, Timeout: 2_000_000_000, StartPeriod: 3_000_000_000, Retries: 4 };
  assert.deepEqual(imageHealthCheck(check), { healthCheck: { test: ['CMD-SHELL', 'ask'], intervalMs: 1.5, timeoutMs: 2_000, startPeriodMs: 3_000, retries: 4 } });
  assert.deepEqual(imageHealthCheck({ Test: ['NONE'] }), { healthCheck: { test: ['NONE'], intervalMs: 0, timeoutMs: 0, startPeriodMs: 0, retries: 0 } });
});

test('what is no check is none, and what is no length of time is the default', () => {
  for (const value of [undefined, null, 7, 'CMD true', [], {}, { Test: [] }, { Test: 'CMD' }, { Test: ['CMD'] }, { Test: ['CMD', 7] }, { Test: ['ASK', 'x'] }, { Test: null }]) assert.deepEqual(imageHealthCheck(value), {}, JSON.stringify(value));
  const { healthCheck } = imageHealthCheck({ Test: ['CMD', 'x'], Interval: -1, Timeout: '1s', StartPeriod: 999_999, Retries: -3 });
  assert.deepEqual([healthCheck?.intervalMs, healthCheck?.timeoutMs, healthCheck?.startPeriodMs, healthCheck?.retries], [0, 0, 0, 0]);
  assert.equal(imageHealthCheck({ Test: ['CMD', 'x'], Interval: Number.MAX_VALUE }).healthCheck?.intervalMs, 2 ** 31 - 1);
});
