// One stream out of JetStream and into it, as its server writes it down: `STREAM.SNAPSHOT` and `STREAM.RESTORE` of the JetStream API. Sequences, subjects, headers,
// times and gaps stay as they are. Consumers are left out: whoever follows makes a new one.
import type { Msg } from 'nats';
import type { NatsLink } from '../connection.ts';
import { LogUnavailable } from '../errors.ts';
import { beginRestore, beginSnapshot, endRestore, sendRestored, streamInfo, type StreamConfig, type StreamInfo } from '../jetstream-api.ts';

/** Nothing for this long: whoever sent has gone. */
const silenceMs = 15_000;
/** The server sends on when it is not answered for a while; more than this is not kept for a slow disk. */
const maxWaitingBytes = 64 * 1024 * 1024;

/** Hands the pieces of a stream's snapshot to `take`, one after the other; each is acknowledged when it has been taken. Answers with what the stream was as it began; null: there is none. */
export async function takeSnapshot(link: NatsLink, stream: string, take: (piece: Uint8Array) => Promise<void>, timeoutMs: number): Promise<StreamInfo | null> {
  // Of several servers none answers a request for what is not there.
  if ((await streamInfo(link, stream, timeoutMs)) === null) return null;
  const nc = await link.connection(timeoutMs);
  const inbox = link.inbox();
  const waiting: Msg[] = [];
  let waitingBytes = 0;
  let wake = Promise.withResolvers<void>();
  let broken: Error | null = null;
  const subscription = nc.subscribe(inbox, {
    callback: (error, message) => {
      if (error !== null) broken ??= error;
      else {
        waiting.push(message);
        waitingBytes += message.data.length;
        if (waitingBytes > maxWaitingBytes) broken ??= new LogUnavailable(`the snapshot of ${stream} comes faster than it can be written down`);
      }
      wake.resolve();
    },
  });
  const forget = link.onChange((connected) => {
    if (connected) return;
    broken ??= new LogUnavailable('the connection to NATS broke');
    wake.resolve();
  });
  try {
    const info = await beginSnapshot(link, stream, inbox, timeoutMs);
    for (;;) {
      const message = waiting.shift();
      if (broken !== null) throw broken as Error;
      if (message === undefined) {
        wake = Promise.withResolvers<void>();
        const timer = setTimeout(() => {
          broken ??= new LogUnavailable(`nothing came of the snapshot of ${stream} for ${silenceMs / 1_000} s`);
          wake.resolve();
        }, silenceMs);
        await wake.promise;
        clearTimeout(timer);
        continue;
      }
      waitingBytes -= message.data.length;
      if (message.data.length === 0) {
        const { code, description } = message.headers ?? { code: 0, description: '' };
        if (code !== 0 && code !== 204) throw new LogUnavailable(`the snapshot of ${stream} was broken off: ${code} ${description}`);
        return info;
      }
      await take(message.data);
      message.respond();
    }
  } finally {
    forget();
    subscription.unsubscribe();
  }
}

/** Makes the stream of a snapshot. Rejects with LogUnavailable or JetStreamError; then it is not there. */
export async function putSnapshot(link: NatsLink, config: StreamConfig, pieces: AsyncIterable<Uint8Array>, timeoutMs: number): Promise<void> {
  const subject = await beginRestore(link, config, timeoutMs);
  for await (const piece of pieces) await sendRestored(link, subject, piece, timeoutMs);
  await endRestore(link, config.name, subject, timeoutMs);
}
