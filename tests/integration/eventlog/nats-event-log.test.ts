// The log over a real JetStream keeps the contract.
import { after } from 'node:test';
import { openEventLog, type NatsEventLog } from '@pouch/eventlog';
import { nullLogger } from '@pouch/process';
import { startNats, type NatsFixture } from '../../fixtures/nats.ts';
import { logContract, type TestMessage } from '../../unit/eventlog/log-contract.ts';

let nats: NatsFixture | undefined;
let log: NatsEventLog<TestMessage> | undefined;
after(async () => {
  await log?.close();
  await nats?.stop();
});

const opened = startNats().then((started) => {
  nats = started;
  log = openEventLog<TestMessage>({ servers: started.url, logger: nullLogger, maxMessagesPerSubject: 5, patienceMs: 30_000, requestTimeoutMs: 30_000 });
  return log;
});
logContract('over JetStream', () => opened);
