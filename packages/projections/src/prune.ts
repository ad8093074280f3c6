// Keeps the history within its bounds, a small step at a time so that applying never waits long. What is left answers "as of" exactly for every
// instant after the floor: up to it, the last message of each living subject stays, however old.
import type { Orm } from './database.ts';
import type { Projector } from './projector.ts';

export interface Retention {
  /** Messages older than this may go; null: no bound. */
  readonly maxAgeMs: number | null;
  /** Newest sequences that stay; null: no bound. */
  readonly maxMessages: number | null;
  /** Ended execs, and placements that led to nothing that is left, stay in the present for this long. */
  readonly endedMs: number;
}

export interface Pruned {
  readonly deleted: number;
  /** Call again soon. */
  readonly more: boolean;
}

/** Sequences that one step looks at. */
const windowSize = 500;

/** One step of pruning, in a transaction of its own. `nowMs` is compared with the log's clock. */
export function prune(projector: Projector, retention: Retention, nowMs: number): Pruned {
  const { checkpoint, orm } = projector;
  if (checkpoint === null) return { deleted: 0, more: false };
  const sqlite = orm.$client;
  const floor = Math.min(floorOf(orm, checkpoint.seq, retention, nowMs), checkpoint.seq);
  const from = checkpoint.prunedSeq;
  // The next window begins at a row that exists: sequences may have wide gaps.
  const next = sqlite.prepare('SELECT min(seq) AS seq FROM history WHERE seq > ? AND seq <= ?').get(from, floor) as { seq: number | null };
  const to = next.seq === null ? from : Math.min(floor, next.seq + windowSize - 1);
  const deleted = sqlite.transaction(() => {
    let changes = expireEnded(orm, nowMs - retention.endedMs);
    if (to > from) changes += pruneWindow(orm, from, to);
    return changes;
  }).immediate();
  if (to > from || deleted > 0) projector.reread();
  return { deleted, more: to < floor && next.seq !== null };
}

/** Highest sequence that is outside of the bounds; 0: none. */
function floorOf(orm: Orm, seq: number, { maxAgeMs, maxMessages }: Retention, nowMs: number): number {
  const byCount = maxMessages === null ? 0 : seq - maxMessages;
  const byAge = maxAgeMs === null ? 0 : seqAt(orm, nowMs - maxAgeMs);
  return Math.max(0, byCount, byAge);
}

/** Last sequence at an instant of the log's clock; 0 before the first. */
export function seqAt(orm: Orm, ms: number): number {
  const row = orm.$client.prepare('SELECT seq FROM history WHERE stored_at_ms <= ? ORDER BY stored_at_ms DESC, seq DESC LIMIT 1').get(ms) as { seq: number } | undefined;
  return row?.seq ?? 0;
}

function pruneWindow(orm: Orm, from: number, to: number): number {
  const sqlite = orm.$client;
  const { ms: storedAtMs } = sqlite.prepare('SELECT coalesce(max(stored_at_ms), 0) AS ms FROM history WHERE seq > ? AND seq <= ?').get(from, to) as { ms: number };
  const keys = sqlite.prepare('SELECT DISTINCT subject_key AS key FROM history WHERE seq > ? AND seq <= ?').all(from, to) as { key: number }[];
  const superseded = sqlite.prepare('DELETE FROM history WHERE subject_key = @key AND seq < (SELECT max(seq) FROM history WHERE subject_key = @key AND seq <= @to)');
  const ended = sqlite.prepare('DELETE FROM history WHERE subject_key = @key AND seq <= @to AND (SELECT gone_seq FROM subjects WHERE key = @key) <= @to');
  const empty = sqlite.prepare('DELETE FROM subjects WHERE key = @key AND NOT EXISTS (SELECT 1 FROM history WHERE subject_key = @key)');
  // Rows of the present that pointed to the ended subject's last message: of an ended exec, a placement that is done.
  const dangling = ['execs', 'placements'].map((table) =>
    sqlite.prepare(`DELETE FROM ${table} WHERE id = (SELECT aggregate_id FROM subjects WHERE key = @key) AND NOT EXISTS (SELECT 1 FROM history WHERE history.seq = ${table}.seq)`),
  );
  const first = sqlite.prepare('UPDATE subjects SET first_seq = (SELECT min(seq) FROM history WHERE subject_key = @key) WHERE key = @key');
  let deleted = 0;
  for (const { key } of keys) {
    deleted += superseded.run({ key, to }).changes;
    const end = ended.run({ key, to }).changes;
    if (end > 0) for (const statement of dangling) statement.run({ key });
    deleted += end;
    if (empty.run({ key }).changes === 0) first.run({ key });
  }
  sqlite.prepare('UPDATE checkpoint SET pruned_seq = ?, pruned_ms = max(pruned_ms, ?)').run(to, storedAtMs);
  return deleted;
}

function expireEnded(orm: Orm, beforeMs: number): number {
  const before = seqAt(orm, beforeMs);
  if (before === 0) return 0;
  const sqlite = orm.$client;
  return (
    sqlite.prepare("DELETE FROM execs WHERE status = 'exited' AND seq <= ?").run(before).changes +
    sqlite.prepare("DELETE FROM placements WHERE status <> 'requested' AND seq <= ? AND NOT EXISTS (SELECT 1 FROM containers WHERE containers.id = placements.id)").run(before).changes
  );
}
