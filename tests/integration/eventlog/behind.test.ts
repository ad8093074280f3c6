// A follower of a log that several servers keep, where the server that has its consumer is behind: it does not take what that server knows for all there is.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connectNats, openEventLog } from '@pouch/eventlog';
import { nullLogger } from '@pouch/process';
import { startNats, type NatsFixture } from '../../fixtures/nats.ts';
import { appendNext, collect, until, type TestMessage } from '../../unit/eventlog/log-contract.ts';

let nats: NatsFixture;
before(async () => { nats = await startNats(); });
after(async () => { await nats.stop(); });

test('a consumer at a server that is behind is given up for another one, until the server has it all', { timeout: 60_000 }, async (t) => {
  const maker = openEventLog<TestMessage>({ servers: nats.url, logger: nullLogger });
  t.after(() => maker.close());
  await maker.ready(60_000);
  await appendNext(maker, 'evt.a', 1);
  const link = connectNats({ servers: nats.url, name: 'test', logger: nullLogger, replicas: 'keep' });
  const log = openEventLog<TestMessage>({ link, logger: nullLogger });
  t.after(async () => {
    await log.close();
    await link.close();
  });
  // One server, which tells of itself as one of several would.
  let current = false;
  let made = 0;
  const request = link.request.bind(log.link);
  link.request = async (subject, payload, options) => {
    const answer = await request(subject, payload, options);
    const told = (more: (body: { config: object }) => object): typeof answer => ({ ...answer, json: () => more(answer.json()) } as typeof answer);
    if (subject.includes('STREAM.INFO')) return told((body) => ({ ...body, config: { ...body.config, num_replicas: 3 }, cluster: { leader: 'one', replicas: [{ name: 'two', current }, { name: 'three', current: true }] } }));
    if (!subject.includes('CONSUMER.CREATE')) return answer;
    made += 1;
    return told((body) => ({ ...body, num_pending: current ? 1 : 0, cluster: { leader: 'two' } }));
  };
  const { got, caughtUp } = collect(log, { filter: 'evt.>', from: 'last-per-subject' });
  await until('it was tried more than once', () => made >= 3);
  assert.deepEqual([caughtUp, got.length], [[], 0]);
  current = true;
  await until('it has caught up', () => caughtUp.length > 0);
  assert.deepEqual(caughtUp, [1], 'with everything');
});
