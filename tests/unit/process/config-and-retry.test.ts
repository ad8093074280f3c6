// Configuration names every mistake at once; trying again is bounded.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Type } from 'typebox';
import { ConfigError, OperatingError, parseConfig, retry } from '@pouch/process';

const schema = Type.Object({
  POUCH_PORT: Type.Integer({ minimum: 1, maximum: 65_535, default: 4222, description: 'a TCP port' }),
  POUCH_LEVEL: Type.Union([Type.Literal('info'), Type.Literal('debug')], { default: 'info' }),
  POUCH_FAST: Type.Boolean({ default: false }),
  POUCH_NAME: Type.String({ minLength: 2, description: 'the name of the host' }),
});

test('converts, fills in defaults, leaves out what is not asked for, and freezes', () => {
  const config = parseConfig(schema, { POUCH_NAME: 'h1', POUCH_PORT: '80', POUCH_FAST: 'true', POUCH_LEVEL: '', PATH: '/bin' });
  assert.deepEqual(config, { POUCH_NAME: 'h1', POUCH_PORT: 80, POUCH_FAST: true, POUCH_LEVEL: 'info' });
  assert.ok(Object.isFrozen(config));
});

test('one error names every bad variable, with what is right', () => {
  assert.throws(() => parseConfig(schema, { POUCH_PORT: '70000', POUCH_LEVEL: 'loud' }), (error) => {
    assert.ok(error instanceof ConfigError);
    for (const part of [/POUCH_PORT: .*65535.*\(a TCP port\)/, /POUCH_LEVEL: /, /POUCH_NAME: .*\(the name of the host\)/]) assert.match(error.message, part);
    assert.doesNotMatch(error.message, /POUCH_FAST/);
    return true;
  });
  assert.throws(() => parseConfig(schema, { POUCH_NAME: 'h1', POUCH_PORT: 'eighty' }), /POUCH_PORT/);
});

const flaky = (failures: number, retryable = true) => {
  let calls = 0;
  const operation = (attempt: number): Promise<number> => {
    calls += 1;
    assert.equal(attempt, calls);
    return calls <= failures ? Promise.reject(new OperatingError('away', 'it is away', { retryable })) : Promise.resolve(calls);
  };
  return { operation, calls: () => calls };
};
const options = { attempts: 4, firstDelayMs: 1, maxDelayMs: 4, retryIf: (error: unknown) => error instanceof OperatingError && error.retryable };

test('tries again until it goes through, or the attempts are used up', async () => {
  assert.equal(await retry(flaky(3).operation, options), 4);
  const hopeless = flaky(100);
  await assert.rejects(retry(hopeless.operation, options), (error) => error instanceof OperatingError && error.code === 'away');
  assert.equal(hopeless.calls(), 4);
});

test('does not try again what is not worth it, nor when it is told to stop', async () => {
  const final = flaky(100, false);
  await assert.rejects(retry(final.operation, options), OperatingError);
  assert.equal(final.calls(), 1);
  const controller = new AbortController();
  const endless = flaky(100);
  const running = retry((attempt) => {
    if (attempt === 2) controller.abort();
    return endless.operation(attempt);
  }, { ...options, attempts: 1_000, signal: controller.signal });
  await assert.rejects(running);
  assert.equal(endless.calls(), 2);
});

test('an operating error carries code, cause and whether to try again', () => {
  class DiskFull extends OperatingError {}
  const cause = new Error('ENOSPC');
  const error = new DiskFull('disk-full', 'no room', { retryable: true, cause });
  assert.deepEqual([error.name, error.code, error.retryable, error.cause], ['DiskFull', 'disk-full', true, cause]);
  assert.equal(new OperatingError('x', 'y').retryable, false);
});
