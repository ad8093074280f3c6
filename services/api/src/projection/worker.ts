// The projector's thread: a connection to the log of its own and one follower. Everything else is in follower.ts; this is only where it is put together.
import { parentPort, workerData } from 'node:worker_threads';
import type { Message } from '@pouch/contracts';
import { openEventLog } from '@pouch/eventlog';
import { createLogger, systemClock } from '@pouch/process';
import { runFollower } from './follower.ts';
import type { ProjectorSettings, ToProjector } from './protocol.ts';

const port = parentPort;
if (port === null) throw new TypeError('this is the code of a thread');
const { file, retention, log: address, logLevel, aside } = workerData as ProjectorSettings;
const stop = new AbortController();
port.on('message', (message: ToProjector) => {
  if (message.type === 'stop') stop.abort();
});
const log = openEventLog<Message>({ ...address, name: 'pouch-api-projector', logger: createLogger({ service: 'api', level: logLevel }) });
try {
  await runFollower({ file, aside, retention, log, clock: systemClock, post: (message) => port.postMessage(message) }, stop.signal);
} finally {
  await log.close();
  port.close();
}
