// Whether a projection is of the log that is there: by the stream's identity, its end, and the ids of the messages where the projection stopped.
// A server that lost its tail hands out the same sequences again, so a number alone proves nothing.
import type { AppliedMessage, Checkpoint } from './projector.ts';

/** What must be known of the log. */
export interface LogFacts {
  /** Different for every stream that was ever made, also under the same name. */
  readonly identity: string;
  readonly lastSeq: number;
  /** Id of the message at a sequence; null where retention has taken it. */
  messageIdAt(seq: number): Promise<string | null>;
}

export type LogCheck = { readonly same: true } | { readonly same: false; readonly reason: string };

/** Messages that are tried before the comparison is given up: those that retention has taken cannot be compared. */
export const maxCompared = 64;

/** `recent`: as `Projector.recent(maxCompared)` gives it. The first that the log still has decides. */
export async function checkAgainstLog(checkpoint: Checkpoint, recent: Iterable<AppliedMessage>, log: LogFacts): Promise<LogCheck> {
  if (checkpoint.stream !== log.identity) return { same: false, reason: 'the projection is of another stream than the log' };
  if (checkpoint.seq === 0) return { same: true };
  if (log.lastSeq < checkpoint.seq) return { same: false, reason: `the log ends at ${log.lastSeq}, before the projection's ${checkpoint.seq}: the log has lost its end` };
  for (const { seq, messageId } of recent) {
    const there = await log.messageIdAt(seq);
    if (there === null) continue;
    if (there === messageId) return { same: true };
    return { same: false, reason: `message ${seq} of the log is not the one that was applied: the log has lost its end and gone on` };
  }
  return { same: false, reason: 'none of the messages last applied is in the log any more, so nothing can be compared' };
}
