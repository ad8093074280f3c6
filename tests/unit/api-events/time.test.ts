// Instants in every form that Docker's clients and people send.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseInstant } from '../../../services/api/src/events/time.ts';

const now = Date.parse('2026-03-01T12:00:00Z');

test('every form of one instant is that instant', () => {
  const ms = 1_772_366_400_500;
  for (const text of ['1772366400.5', '1772366400.500000000', '1772366400500', '1772366400500000', '1772366400500000000', '2026-03-01T12:00:00.5Z', '2026-03-01t12:00:00.500z', '2026-03-01T13:00:00.5+01:00', '2026-03-01T07:00:00.5-0500', '2026-03-01T12:00:00.500000000']) {
    assert.equal(parseInstant(text, now), ms, text);
  }
  assert.equal(parseInstant('1772366400', now), 1_772_366_400_000);
  assert.equal(parseInstant('2026-03-01', now), Date.parse('2026-03-01T00:00:00Z'));
  assert.equal(parseInstant('2026-03-01T12:30', now), Date.parse('2026-03-01T12:30:00Z'));
});

test('durations count back from now', () => {
  assert.equal(parseInstant('10m', now), now - 600_000);
  assert.equal(parseInstant('1h30m', now), now - 5_400_000);
  assert.equal(parseInstant('1.5h', now), now - 5_400_000);
  assert.equal(parseInstant('2d', now), now - 172_800_000);
  assert.equal(parseInstant('0s', now), now);
  assert.equal(parseInstant('250ms', now), now - 250);
});

test('what is no time is null, and nothing makes it throw', () => {
  for (const text of ['', 'yesterday', '2026-13-01', '2026-02-30', '2026-01-01T25:00', '10', '10x', 'm', '-', '1e9', '0x10', '99999999999999999999', '1772366400.', '١٢', '10m!', ' 10m', 'NaN', 'Infinity']) {
    if (text === '10') continue; // seconds
    assert.equal(parseInstant(text, now), null, JSON.stringify(text));
  }
  fc.assert(fc.property(fc.string(), (text) => {
    const ms = parseInstant(text, now);
    assert.ok(ms === null || Number.isFinite(ms));
  }));
});
