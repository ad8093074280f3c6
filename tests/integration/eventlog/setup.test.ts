// Setting up the stream: made once whoever comes, adapted where that loses nothing, refused in clear words where it cannot be used.
import assert from 'node:assert/strict';
import { after, test, type TestContext } from 'node:test';
import { LogSetupError, openEventLog, type EventLogOptions, type LogEntry } from '@pouch/eventlog';
import { nullLogger } from '@pouch/process';
import { startNats, type NatsFixture } from '../../fixtures/nats.ts';
import { appendNext, collect, message, until, type TestMessage } from '../../unit/eventlog/log-contract.ts';

let fixture: NatsFixture | undefined;
const started = startNats().then((nats) => (fixture = nats));
after(() => fixture?.stop());

async function open(t: TestContext, options: Partial<EventLogOptions<TestMessage>>) {
  const { url } = await started;
  const log = openEventLog<TestMessage>({ servers: url, logger: nullLogger, ...options });
  t.after(() => log.close());
  return log;
}

const of = (streamName: string) => ({ streamName, subjects: [`${streamName.toLowerCase()}.>`] });

test('of many who set it up at once all have the same log', async (t) => {
  const logs = await Promise.all(Array.from({ length: 8 }, () => open(t, of('RACE'))));
  const ids = await Promise.all(logs.map((log) => log.ready(60_000)));
  assert.equal(new Set(ids.map(({ streamId }) => streamId)).size, 1);
});

test('limits are brought in line, with the identity and the messages kept', async (t) => {
  const one = await open(t, { ...of('ADAPT'), maxMessagesPerSubject: 3 });
  const { streamId } = await one.ready(60_000);
  await appendNext(one, 'adapt.a', 1);
  const two = await open(t, { ...of('ADAPT'), maxMessagesPerSubject: 7, duplicateWindowMs: 60_000 });
  assert.deepEqual([(await two.ready(60_000)).streamId, (await two.identity()).messages], [streamId, 1]);
  const manager = await (await two.link.connection()).jetstreamManager();
  const { config } = await manager.streams.info('ADAPT');
  assert.deepEqual([config.max_msgs_per_subject, config.duplicate_window], [7, 60_000_000_000]);
});

test('a stream that cannot be used is refused, with what is wrong and what is wanted', async (t) => {
  const one = await open(t, { ...of('FOREIGN'), storage: 'memory' });
  await one.ready(60_000);
  const other = await open(t, { ...of('FOREIGN'), subjects: ['elsewhere.>'], storage: 'file' });
  const refused = (error: unknown) => error instanceof LogSetupError && !error.retryable && /storage is memory, wanted is file/.test(error.message) && /subjects are foreign\.>, wanted are elsewhere\.>/.test(error.message);
  await assert.rejects(other.ready(60_000), refused);
  await assert.rejects(other.append({ subject: 'elsewhere.a', message: message(1), expectedSeq: 0 }), refused);
  const { errors } = collect(other, { filter: 'elsewhere.>', from: 'new' });
  await until('the follower is told', () => errors.length > 0);
  assert.ok(errors[0] instanceof LogSetupError);
});

test('subjects that another stream has are refused by name', async (t) => {
  await (await open(t, of('OWNER'))).ready(60_000);
  const other = await open(t, { streamName: 'THIEF', subjects: ['owner.a.>'] });
  await assert.rejects(other.ready(60_000), (error) => error instanceof LogSetupError && /owner\.a\.>/.test(error.message));
});

test('more replicas than servers are refused', async (t) => {
  const log = await open(t, { ...of('MANY'), replicas: 3 });
  await assert.rejects(log.ready(60_000), (error) => error instanceof LogSetupError && /3 replica/.test(error.message));
});

test('what anyone else publishes is passed over by those who want messages, and shown to those who want entries', async (t) => {
  const log = await open(t, of('JUNK'));
  await log.ready(60_000);
  const nc = await log.link.connection();
  const entries: LogEntry[] = [];
  const follower = log.follow({ filter: 'junk.>', from: { seq: 1 }, onEntries: (batch) => { entries.push(...batch); }, onFailed: (error) => assert.fail(error) });
  const { got, errors } = collect(log, { filter: 'junk.>', from: { seq: 1 } });
  for (const junk of ['not json', '', '[]', '{"n":1}', '\xff']) nc.publish('junk.a', junk);
  await nc.flush();
  await appendNext(log, 'junk.b', 2);
  await until('both got what is theirs', () => got.length === 1 && entries.length === 6);
  assert.deepEqual(errors, []);
  await assert.rejects(log.last('junk.a'), /cannot be read/);
  assert.equal(await log.messageIdAt(entries[0]?.seq ?? 0), null);
  await follower.stop();
});

test('large messages and a slow handler: all of it comes, in order', { timeout: 120_000 }, async (t) => {
  const log = await open(t, of('LARGE'));
  await log.ready(60_000);
  const pad = 'x'.repeat(900_000);
  for (let n = 0; n < 40; n++) await log.append({ subject: `large.${n}`, message: { ...message(n), pad }, expectedSeq: 0 });
  const seen: number[] = [];
  const { subscription } = collect(log, {
    filter: 'large.>',
    from: { seq: 1 },
    onMessages: async (messages) => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      seen.push(...messages.map(({ message: { n } }) => n));
    },
  });
  await until('all came', () => subscription.caughtUp);
  assert.deepEqual(seen, Array.from({ length: 40 }, (_, n) => n));
});
