// The `at`, `since` and `until` of the routes under /cluster/: an instant, and the sequence of the log that stood then.
import { HttpError, badField } from '../errors.ts';
import { parseInstant } from '../events/time.ts';
import type { Projection } from '../projection/projection.ts';

export function instant(field: string, text: string, nowMs: number): number {
  const ms = parseInstant(text, nowMs);
  if (ms === null) throw badField(field, `${JSON.stringify(text.slice(0, 64))} is no time: give RFC 3339, unix seconds, or a duration ago such as 10m`);
  return ms;
}

/** The sequence that stood at an instant. 410 for one that the history does not reach back to: an answer would be wrong, not merely old. */
export function seqAtInstant(projection: Projection, atMs: number): number {
  const floor = projection.history.floor();
  if (atMs < floor.ms) throw new HttpError(410, `at: the history reaches back to ${new Date(floor.ms).toISOString()} only`);
  return projection.history.seqAt(Math.floor(atMs));
}
