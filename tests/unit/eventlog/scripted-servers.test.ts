// Appends and reads where servers of a cluster say what they do not really know: a connection whose answers are scripted.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LogUnavailable, openEventLog, type NatsEventLog, type NatsLink } from '@pouch/eventlog';
import { nullLogger } from '@pouch/process';
import { headers, type Msg } from 'nats';
import { message, type TestMessage } from './log-contract.ts';

type Script = (what: 'append' | 'look', nth: number) => object | { readonly seq: number; readonly stored: TestMessage };

/** As a host's agent has it, of a log that three servers keep. `script` answers appends and reads of the newest of a subject. */
function scripted(script: Script, patienceMs = 20_000): { log: NatsEventLog<TestMessage>; asked: string[] } {
  const asked: string[] = [];
  const answer = (body: object): Msg => ({ json: () => body }) as unknown as Msg;
  const request = async (subject: string): Promise<Msg> => {
    if (subject.startsWith('$JS.API.STREAM.INFO')) {
      return answer({ created: '2026-11-27T00:00:00Z', config: { name: 'EVT', num_replicas: 3, metadata: { 'pouch-stream-id': 'one' } }, state: { first_seq: 1, last_seq: 9, messages: 9 }, cluster: { leader: 'a' } });
    }
    const what = subject.startsWith('evt.') ? 'append' : 'look';
    asked.push(what);
    const said = await Promise.resolve(script(what, asked.filter((one) => one === what).length));
    if (!('stored' in said)) return answer(said);
    const head = headers();
    for (const [name, value] of [['Nats-Sequence', said.seq], ['Nats-Time-Stamp', '2026-11-27T00:00:00Z'], ['Nats-Subject', 'evt.a'], ['Nats-Msg-Id', said.stored.id]] as const) head.set(name, String(value));
    return { headers: head, data: Buffer.from(JSON.stringify(said.stored)) } as unknown as Msg;
  };
  const link = {
    connected: true, epoch: 1, closed: false, replicas: 'keep', request, whenConnected: () => Promise.resolve(true), onChange: () => () => undefined,
    connection: () => Promise.resolve({ info: { version: '2.10.27', max_payload: 1_048_576 } }),
  } as unknown as NatsLink;
  return { log: openEventLog<TestMessage>({ link, logger: nullLogger, patienceMs }), asked };
}

const [ours, older, newer] = [message(1), message(2), message(3)];

test('a duplicate without a sequence is no acknowledgement: the message is sent until it has one', async () => {
  const { log, asked } = scripted((what, nth) => (what === 'look' ? { seq: 3, stored: older } : nth < 3 ? { stream: 'EVT', seq: 0, duplicate: true } : { stream: 'EVT', seq: 5 }));
  assert.deepEqual(await log.append({ subject: 'evt.a', message: ours, expectedSeq: 3 }), { seq: 5, duplicate: false });
  assert.equal(asked.filter((one) => one === 'append').length, 3);
});

for (const [said, body] of [['a duplicate without a sequence', { seq: 0, duplicate: true }], ['that the same is under way', { error: { code: 409, err_code: 10_158 } }]] as const) {
  test(`where a server only ever says ${said}, nobody knows`, async () => {
    const { log } = scripted((what) => (what === 'look' ? { seq: 3, stored: older } : body), 200);
    await assert.rejects(log.append({ subject: 'evt.a', message: ours, expectedSeq: 3 }), (error) => error instanceof LogUnavailable && error.outcome === 'unknown');
  });
}

test('a read that is behind what the leader has told is asked again', async () => {
  const { log, asked } = scripted((what, nth) => (what === 'append' ? { error: { code: 400, err_code: 10_071, description: 'wrong last sequence: 7' } } : nth < 3 ? { seq: 3, stored: older } : { seq: 7, stored: newer }));
  await assert.rejects(log.append({ subject: 'evt.a', message: ours, expectedSeq: 3 }), { name: 'ConflictError' });
  assert.deepEqual(await log.last('evt.a').then((found) => [found?.seq, found?.message.n]), [7, newer.n]);
  assert.deepEqual(asked, ['append', 'look', 'look', 'look']);
});

test('an append that was found is not forgotten by the next read', async () => {
  const { log, asked } = scripted((what, nth) => {
    if (what === 'append') throw new LogUnavailable('no answer', { outcome: 'unknown' });
    return nth === 2 ? { seq: 3, stored: older } : { seq: 7, stored: ours };
  });
  assert.deepEqual(await log.append({ subject: 'evt.a', message: ours, expectedSeq: 3 }), { seq: 7, duplicate: true });
  assert.equal((await log.last('evt.a'))?.seq, 7);
  assert.deepEqual(asked, ['append', 'look', 'look', 'look']);
});

test('a log that cannot be made, for too few servers are known to the one that leads, says what it waits for', async () => {
  const asked: string[] = [];
  const request = (subject: string): Promise<Msg> => {
    asked.push(subject);
    const error = subject.includes('.INFO.') ? { code: 404, err_code: 10_059 } : { code: 400, err_code: 10_005, description: 'no suitable peers for placement' };
    return Promise.resolve({ json: () => ({ error }) } as unknown as Msg);
  };
  const link = { connected: true, epoch: 1, closed: false, replicas: 3, request, whenConnected: () => Promise.resolve(true), onChange: () => () => undefined, connection: () => Promise.resolve({ info: { version: '2.10.27' } }) } as unknown as NatsLink;
  await assert.rejects(openEventLog<TestMessage>({ link, logger: nullLogger }).ready(200), (error) => error instanceof LogUnavailable && /no suitable peers.*waiting until the server that leads has heard of as many others/.test(error.message));
  assert.ok(asked.filter((subject) => subject.includes('.CREATE.')).length > 1, 'it is asked for again and again');
});
