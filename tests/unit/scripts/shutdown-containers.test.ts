// Asking an agent to stop its containers, over a connection that loses questions and answers.
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { HostUnreachable } from '@pouch/pipes';
import { ErrorCode, NatsError } from 'nats';
import { untilStopped } from '../../../scripts/cluster/shutdown-containers.ts';

const failing = (code: ErrorCode): HostUnreachable => new HostUnreachable('h', NatsError.errorForCode(code));

test('what is not answered is asked again, until the agent says that all have ended', async () => {
  const answers = [() => Promise.reject(failing(ErrorCode.Timeout)), () => Promise.resolve({ going: true } as const), () => Promise.reject(failing(ErrorCode.Timeout)), () => Promise.resolve({})];
  let asked = 0;
  await untilStopped(async () => await (answers[asked++] ?? assert.fail)());
  assert.equal(asked, answers.length);
});

test('an agent that is not there is not waited for', async () => {
  await assert.rejects(untilStopped(() => Promise.reject(failing(ErrorCode.NoResponders))), HostUnreachable);
});

test('an agent that never says a word is given up, and one that goes on for ever', async (t) => {
  mock.timers.enable({ apis: ['Date'] });
  t.after(() => mock.timers.reset());
  let asked = 0;
  const ask = (answer: () => Promise<{ going: true }>) => async (): Promise<{ going: true }> => {
    asked += 1;
    mock.timers.tick(10_000);
    return await answer();
  };
  await assert.rejects(untilStopped(ask(() => Promise.reject(failing(ErrorCode.Timeout)))), HostUnreachable);
  assert.ok(asked < 10, `${asked} times`);
  await assert.rejects(untilStopped(ask(() => Promise.resolve({ going: true }))), /containers run on/);
});
