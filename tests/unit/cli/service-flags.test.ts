// The flags of `pouch service update` to what they change of the template; what is not named stays as it was.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toChanges } from '../../../packages/cli/src/settings/service-flags.ts';

test('a health check is added, changed in one member, and taken away', () => {
  const before = { Healthcheck: { Test: ['CMD-SHELL', 'true'], Interval: 5_000_000_000 } };
  assert.deepEqual(toChanges({ healthCmd: 'wget -q localhost', healthRetries: '2' }, {}).template, { Healthcheck: { Test: ['CMD-SHELL', 'wget -q localhost'], Retries: 2 } });
  assert.deepEqual(toChanges({ healthInterval: '2s' }, before).template, { Healthcheck: { Test: ['CMD-SHELL', 'true'], Interval: 2_000_000_000 } });
  assert.deepEqual(toChanges({ healthcheck: false }, before).template, { Healthcheck: { Test: ['NONE'] } });
  assert.throws(() => toChanges({ healthcheck: false, healthCmd: 'true' }, before), /exclude each other/);
  assert.deepEqual(toChanges({ envAdd: ['A=1'] }, { ...before, Env: ['A=0', 'B=2'] }).template, { Env: ['B=2', 'A=1'] });
});
