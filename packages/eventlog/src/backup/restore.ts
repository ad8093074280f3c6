// Puts a checked backup into NATS servers that have no log. The log comes last: until it is there nobody acts on anything. What fails leaves nothing behind.
import { streamName } from '@pouch/contracts';
import { OperatingError, type Logger } from '@pouch/process';
import { connectNats, type NatsAddress, type NatsLink } from '../connection.ts';
import { LogUnavailable, type Outcome } from '../errors.ts';
import { deleteStream, streamInfo, updateStream, type StreamConfig } from '../jetstream-api.ts';
import { restoredMetadata } from '../stream-setup.ts';
import type { CheckedBackup } from './check.ts';
import { stateStreams, type SavedStream } from './format.ts';
import { putSnapshot } from './snapshot.ts';

export interface RestoreOptions {
  readonly backup: CheckedBackup;
  readonly address: NatsAddress;
  readonly logger: Logger;
  readonly nowMs: number;
  readonly onProgress?: (done: number, total: number) => void;
}

const connectMs = 10_000;
const askMs = 3_000;
const requestMs = 30_000;
/** Servers of a cluster that has just been started elect a leader first. */
const readyMs = 60_000;
const readyPauseMs = 500;

/** Rejects with `log-is-there` where something would have to be overwritten, with LogUnavailable, JetStreamError. */
export async function restoreBackup({ backup, address, logger, nowMs, onProgress = () => undefined }: RestoreOptions): Promise<void> {
  const link = connectNats({ ...address, name: 'restore', logger });
  try {
    if (!(await link.whenConnected(connectMs))) throw new LogUnavailable(`no NATS server takes a connection at ${String(address.servers)} within ${connectMs / 1_000} s`);
    await mustBeEmpty(link);
    // Without a log nothing refers to them: leftovers of a restore that was cut short.
    for (const name of stateStreams) await deleteStream(link, name, requestMs);
    const { streams } = backup.manifest;
    const total = streams.reduce((sum, { bytes }) => sum + bytes, 0);
    const clustered = (await link.connection()).info?.cluster !== undefined;
    const made: string[] = [];
    let done = 0;
    try {
      for (const stream of streams.toSorted((a, b) => Number(a.name === streamName) - Number(b.name === streamName))) {
        const config = configOf(stream, clustered, nowMs);
        made.push(stream.name);
        await patiently(() => putSnapshot(link, config, counted(backup.snapshot(stream), (bytes) => onProgress(done += bytes, total)), requestMs));
        await settle(link, stream, config);
      }
    } catch (error) {
      for (const name of made) await deleteStream(link, name, requestMs).catch((cause: unknown) => logger.error({ err: cause, stream: name }, 'what was restored could not be taken away again'));
      throw error;
    }
  } finally {
    await link.close();
  }
}

async function mustBeEmpty(link: NatsLink): Promise<void> {
  // Asking twice does no harm, and of several servers none answers before they have a leader.
  const there = await patiently(() => streamInfo(link, streamName, askMs), ['not-sent', 'unknown']);
  if (there !== null) throw new OperatingError('log-is-there', `there is a log already, with ${there.state.messages} messages, begun at ${there.created}: a backup is restored only where there is none`);
}

/** Tries again while the servers are not ready: by default where they cannot have begun on it. */
async function patiently<T>(work: () => Promise<T>, outcomes: readonly Outcome[] = ['not-sent']): Promise<T> {
  for (const untilMs = performance.now() + readyMs; ;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof LogUnavailable) || !outcomes.includes(error.outcome) || performance.now() > untilMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, readyPauseMs));
    }
  }
}

/** One server keeps everything once; how often several do is theirs to change when api and scheduler start. */
function configOf({ name, config }: SavedStream, clustered: boolean, nowMs: number): StreamConfig {
  return { ...config, num_replicas: clustered ? config.num_replicas : 1, ...(name === streamName ? { metadata: { ...config.metadata, ...restoredMetadata(nowMs) } } : {}) };
}

/** The server may have taken the configuration that the snapshot has. */
async function settle(link: NatsLink, { name, lastSeq }: SavedStream, config: StreamConfig): Promise<void> {
  const there = await streamInfo(link, name, requestMs);
  if (there === null || there.state.last_seq < lastSeq) throw new LogUnavailable(`the stream ${name} ends at ${there?.state.last_seq ?? 'nothing'} after it was restored, and ${lastSeq} was saved`);
  const same = there.config.num_replicas === config.num_replicas && Object.entries(config.metadata ?? {}).every(([key, value]) => there.config.metadata?.[key] === value);
  if (!same) await updateStream(link, { ...there.config, num_replicas: config.num_replicas, ...(config.metadata === undefined ? {} : { metadata: config.metadata }) }, requestMs);
}

async function* counted(pieces: AsyncIterable<Buffer>, onBytes: (bytes: number) => void): AsyncGenerator<Buffer> {
  for await (const piece of pieces) {
    yield piece;
    onBytes(piece.length);
  }
}
