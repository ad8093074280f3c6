// Between messages and their JSON in the log. Checks only what is asked for.
import type { Logger } from '@pouch/process';
import { MalformedEntryError } from './errors.ts';
import type { Identified, LogEntry, Recorded } from './event-log.ts';

type Check<M> = ((value: unknown) => M) | undefined;

export function encodeMessage(message: Identified): Uint8Array {
  if (message.id === '') throw new TypeError('a message needs an id');
  return Buffer.from(JSON.stringify(message));
}

/** Throws MalformedEntryError. */
export function decodeEntry<M extends Identified>(entry: LogEntry, check?: Check<M>): Recorded<M> {
  const { seq, subject, storedAtMs, payload } = entry;
  try {
    const value: unknown = JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8'));
    return { seq, subject, storedAtMs, message: check === undefined ? withId<M>(value) : check(value) };
  } catch (error) {
    throw new MalformedEntryError(subject, seq, error);
  }
}

function withId<M extends Identified>(value: unknown): M {
  if (typeof value !== 'object' || value === null || typeof (value as Partial<Identified>).id !== 'string') throw new TypeError('it has no id');
  return value as M;
}

/** Leaves out, with a line in the log, what cannot be decoded: anyone with access to NATS can publish anything. */
export function decodeKnown<M extends Identified>(entries: readonly LogEntry[], check: Check<M>, logger: Logger): Recorded<M>[] {
  return entries.flatMap((entry) => {
    try {
      return [decodeEntry(entry, check)];
    } catch (error) {
      logger.error({ err: error, seq: entry.seq, subject: entry.subject }, 'a message of the log cannot be read and is passed over');
      return [];
    }
  });
}
