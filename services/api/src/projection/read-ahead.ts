// Reading far ahead while a projection catches up: the log is read and its messages are taken apart in a thread of its own, so that the projector's has
// nothing to do but to write. It is only a help: whatever goes wrong with it, it ends, and the follower goes on by itself from where it has come to.
import { Worker } from 'node:worker_threads';
import type { LogLevel } from '@pouch/process';
import { distill, type Distilled, type LogEntry, type RowChange } from '@pouch/projections';
import type { LogAddress } from './protocol.ts';

/** What the thread is started with. */
export interface ReadingSettings {
  readonly log: LogAddress;
  readonly logLevel: LogLevel;
  readonly streamId: string;
  readonly fromSeq: number;
}

/** What the thread says: a batch, by columns, for handing over an object for each message takes as long as making it. */
export interface ReadBatch {
  /** Four of each message: seq, storedAtMs, atMs, and the length of its payload. */
  readonly numbers: Float64Array<ArrayBuffer>;
  /** Four of each message: subject, messageId, actor, types. */
  readonly texts: readonly string[];
  readonly changes: readonly (RowChange | null)[];
  readonly faults: readonly (string | null)[];
  /** Payloads, one behind the other. */
  readonly bytes: ArrayBuffer;
}

/** What it is told: one batch more may come. */
export type ToReading = 'more';

/** Batches that are under way or wait, of a thousand messages at most each: some 2 MB. */
export const maxBatchesAhead = 4;

/** Batches in ascending order without a gap, until the end that the log had, or until something fails. Ends its thread whenever it is left. */
export async function* readAhead(settings: ReadingSettings, signal: AbortSignal): AsyncGenerator<readonly Distilled[]> {
  const worker = new Worker(new URL('./reading.ts', import.meta.url), { workerData: settings, name: 'log reader' });
  const batches: ReadBatch[] = [];
  let ended = false;
  let wake = (): void => undefined;
  const end = (): void => {
    ended = true;
    wake();
  };
  worker.on('message', (batch: ReadBatch) => {
    batches.push(batch);
    wake();
  });
  worker.on('error', end);
  worker.on('exit', end);
  signal.addEventListener('abort', end, { once: true });
  try {
    while (!signal.aborted) {
      const batch = batches.shift();
      if (batch !== undefined) {
        const more: ToReading = 'more';
        worker.postMessage(more);
        yield unpacked(batch);
      } else if (ended) return;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    signal.removeEventListener('abort', end);
    await worker.terminate();
  }
}

/** The payloads are copied, once, into a buffer that can be handed over. */
export function packed(entries: readonly LogEntry[]): ReadBatch {
  const numbers = new Float64Array(4 * entries.length);
  const texts: string[] = [];
  const changes: (RowChange | null)[] = [];
  const faults: (string | null)[] = [];
  const bytes = new Uint8Array(entries.reduce((sum, { payload }) => sum + payload.length, 0));
  let at = 0;
  entries.forEach((entry, index) => {
    const { seq, storedAtMs, atMs, payload, subject, messageId, actor, types, change, fault } = distill(entry);
    numbers.set([seq, storedAtMs, atMs, payload.length], 4 * index);
    texts.push(subject, messageId, actor, types);
    changes.push(change);
    faults.push(fault);
    bytes.set(payload, at);
    at += payload.length;
  });
  return { numbers, texts, changes, faults, bytes: bytes.buffer };
}

function unpacked({ numbers, texts, changes, faults, bytes }: ReadBatch): Distilled[] {
  let at = 0;
  return changes.map((change, index) => {
    const [seq = 0, storedAtMs = 0, atMs = 0, length = 0] = numbers.subarray(4 * index, 4 * index + 4);
    const [subject = '', messageId = '', actor = '', types = ''] = texts.slice(4 * index, 4 * index + 4);
    at += length;
    return { seq, subject, storedAtMs, atMs, messageId, actor, types, payload: new Uint8Array(bytes, at - length, length), change, fault: faults[index] ?? null };
  });
}
