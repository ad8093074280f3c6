// The thread that reads ahead: follows the log to the end that it has, hands over what it makes of each batch, and ends. See read-ahead.ts.
import { once } from 'node:events';
import { parentPort, workerData } from 'node:worker_threads';
import { everySubject, type Message } from '@pouch/contracts';
import { openEventLog } from '@pouch/eventlog';
import { createLogger } from '@pouch/process';
import { maxBatchesAhead, packed, type ReadingSettings } from './read-ahead.ts';

const port = parentPort;
if (port === null) throw new TypeError('this is the code of a thread');
const { log: address, logLevel, streamId, fromSeq } = workerData as ReadingSettings;
const log = openEventLog<Message>({ ...address, name: 'pouch-api-reader', logger: createLogger({ service: 'api', level: logLevel }) });
let room = maxBatchesAhead;
port.on('message', () => (room += 1));
const ended = Promise.withResolvers<void>();
const subscription = log.follow({
  filter: everySubject,
  from: { seq: fromSeq },
  streamId,
  onEntries: async (entries) => {
    while (room === 0) await once(port, 'message');
    room -= 1;
    const batch = packed(entries);
    port.postMessage(batch, [batch.bytes, batch.numbers.buffer]);
  },
  onCaughtUp: ended.resolve,
  // The follower will meet the same, and says so.
  onInterrupted: () => ended.resolve(),
  onFailed: () => ended.resolve(),
});
await ended.promise;
await subscription.stop();
await log.close();
port.close();
