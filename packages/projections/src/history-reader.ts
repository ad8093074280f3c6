// Answers what happened, and what was the case at an instant of the past. Every call looks at a bounded number of rows: whoever wants more
// calls again and lets others run in between.
import { toMessage, type Message } from '@pouch/contracts';
import type { Container } from '@pouch/domain';
import type { Orm } from './database.ts';
import type { Stored } from './present-reader.ts';
import { seqAt } from './prune.ts';

/** A message of the log as the history keeps it. */
export interface HistoryRow {
  readonly seq: number;
  readonly subject: string;
  readonly kind: string;
  readonly hostId: string | null;
  readonly aggregateId: string;
  /** Of an exec: its container. */
  readonly parentId: string | null;
  readonly storedAtMs: number;
  readonly atMs: number;
  /** Empty: malformed. */
  readonly messageId: string;
  readonly actor: string;
  /** Event types, each between commas. */
  readonly types: string;
  /** The log's own bytes. */
  readonly message: Buffer;
}

/** All that are given must hold; the values of each are alternatives. */
export interface HistoryFilter {
  readonly kinds?: readonly string[];
  readonly hostIds?: readonly string[];
  /** Ids of aggregates; an exec counts to its container too. */
  readonly aggregateIds?: readonly string[];
  readonly types?: readonly string[];
  readonly actors?: readonly string[];
  /** The log's clock, inclusive. */
  readonly sinceMs?: number;
  readonly untilMs?: number;
}

/** `scannedTo`: go on after it. `done`: nothing lies between it and the end of the range. */
export interface HistoryPage {
  readonly rows: HistoryRow[];
  readonly scannedTo: number;
  readonly done: boolean;
}

/** A container's state and the message that it stands in. */
export interface PastContainer extends Stored<Container> {
  readonly storedAtMs: number;
}

/** Up to `seq` the history holds only what was then the present; instants before `ms` cannot be answered. */
export interface HistoryFloor {
  readonly seq: number;
  readonly ms: number;
}

/** A subject and its last message that could be read. */
export interface SubjectHead {
  readonly key: number;
  readonly subject: string;
  readonly kind: string;
  readonly hostId: string | null;
  readonly aggregateId: string;
  /** Of the last message, whether it could be read or not. */
  readonly lastSeq: number;
  readonly goneSeq: number | null;
  /** Of the last that could. */
  readonly seq: number;
  readonly message: Buffer;
}

const maxRows = 1_000;
/** Rows that one call passes at most when hardly any of them match. */
const maxScanned = 5_000;

export class HistoryReader {
  readonly #statements: ReturnType<typeof prepare>;
  readonly #orm: Orm;

  constructor(orm: Orm) {
    this.#orm = orm;
    this.#statements = prepare(orm);
  }

  floor(): HistoryFloor {
    const row = this.#statements.floor.get() as { seq: number; ms: number } | undefined;
    return row ?? { seq: 0, ms: 0 };
  }

  /** Last sequence at an instant of the log's clock; 0 before the first. */
  seqAt(ms: number): number {
    return seqAt(this.#orm, ms);
  }

  /** First sequence at or after an instant of the log's clock, or null when there is none yet. */
  firstSeqSince(ms: number): number | null {
    return (this.#statements.firstSince.get(ms) as { seq: number } | undefined)?.seq ?? null;
  }

  /** Messages after `afterSeq` up to and with `untilSeq`, ascending. At most 1000 rows; fewer although more match is ordinary: look at `done`. */
  scan(range: { readonly afterSeq: number; readonly untilSeq: number; readonly limit?: number }, filter: HistoryFilter = {}): HistoryPage {
    const limit = Math.min(range.limit ?? maxRows, maxRows);
    const end = (this.#statements.windowEnd.get(range.afterSeq, range.untilSeq, maxScanned) as { seq: number | null }).seq;
    if (end === null) return { rows: [], scannedTo: Math.max(range.afterSeq, 0), done: true };
    const rows = this.#statements.scan.all({ ...filterValues(filter), after: range.afterSeq, until: end, limit }) as HistoryRow[];
    const last = rows.at(-1);
    const scannedTo = rows.length === limit && last !== undefined ? last.seq : end;
    return { rows, scannedTo, done: scannedTo >= range.untilSeq || (this.#statements.windowEnd.get(scannedTo, range.untilSeq, 1) as { seq: number | null }).seq === null };
  }

  /** Messages of the given aggregates (and of the execs of containers among them) after `afterSeq`, ascending, by their index. */
  ofAggregate(id: string, range: { readonly afterSeq: number; readonly limit: number; readonly sinceMs?: number; readonly untilMs?: number }): HistoryRow[] {
    const { afterSeq, limit, sinceMs = null, untilMs = null } = range;
    return this.#statements.ofAggregate.all({ id, after: afterSeq, since: sinceMs, until: untilMs, limit: Math.min(limit, 10_001) }) as HistoryRow[];
  }

  /** The container's state before the message at `seq` of its subject; null where there was none or history holds it no more. */
  containerBefore(row: Pick<HistoryRow, 'seq' | 'subject'>): Container | null {
    const before = this.#statements.before.get({ subject: row.subject, seq: row.seq }) as { seq: number; storedAtMs: number; message: Buffer } | undefined;
    return before === undefined ? null : (pastContainer(before)?.state ?? null);
  }

  /** Every subject with its last message, by pages: for the comparison with the log. `afterKey`: 0, then the last row's key. */
  heads(afterKey: number, limit = 500): SubjectHead[] {
    return this.#statements.heads.all({ after: afterKey, limit }) as SubjectHead[];
  }

  /** Ids of containers, also of those that are gone, whose id begins so. At most `limit`. */
  containerIds(prefix: string, limit: number): string[] {
    return (this.#statements.containerIds.all(prefix, `${prefix}g`, limit) as { id: string }[]).map((row) => row.id);
  }

  /** The last state of a container, also after its end; null if the history knows none. */
  lastContainer(id: string): PastContainer | null {
    return this.containerAt(id, Number.MAX_SAFE_INTEGER);
  }

  /** State of one container after `seq`, by whole id. A removed one is told as removed. */
  containerAt(id: string, seq: number): PastContainer | null {
    const rows = this.#statements.containerAt.all({ id, seq }) as { seq: number; storedAtMs: number; message: Buffer }[];
    const states = rows.map(pastContainer).filter((past) => past !== null);
    return states.reduce<PastContainer | null>((latest, past) => (latest === null || past.seq > latest.seq ? past : latest), null);
  }

  /** One page of the containers that existed after `seq`, in order of their subjects' first messages. `afterKey`: 0, then `nextKey`, until that is null. */
  containersAt(seq: number, afterKey: number, limit = 500): { containers: PastContainer[]; nextKey: number | null } {
    const rows = this.#statements.containersAt.all({ seq, after: afterKey, limit }) as { key: number; seq: number; storedAtMs: number; message: Buffer }[];
    const containers = rows.map(pastContainer).filter((past) => past !== null && past.state.status !== 'removed') as PastContainer[];
    const last = rows.at(-1);
    return { containers, nextKey: rows.length < limit || last === undefined ? null : last.key };
  }

  /** Messages that the history holds. Walks an index: not for every request. */
  size(): number {
    return (this.#statements.size.get() as { count: number }).count;
  }
}

/** The message of a row; null when it is malformed or of a version that is not known. */
export function messageOf(row: Pick<HistoryRow, 'message' | 'messageId'>): Message | null {
  return row.messageId === '' ? null : toMessage(JSON.parse(row.message.toString('utf8')));
}

function pastContainer(row: { seq: number; storedAtMs: number; message: Buffer }): PastContainer | null {
  const message = messageOf({ message: row.message, messageId: 'known' });
  return message === null ? null : { seq: row.seq, messageId: message.id, storedAtMs: row.storedAtMs, state: message.snapshot as Container };
}

function filterValues(filter: HistoryFilter) {
  const list = (values: readonly string[] | undefined) => (values === undefined ? null : JSON.stringify(values));
  return {
    kinds: list(filter.kinds), hostIds: list(filter.hostIds), ids: list(filter.aggregateIds), types: list(filter.types), actors: list(filter.actors),
    since: filter.sinceMs ?? null, untilMs: filter.untilMs ?? null,
  };
}

function prepare({ $client: sqlite }: Orm) {
  const columns = `h.seq, s.subject, s.kind, s.host_id AS hostId, s.aggregate_id AS aggregateId, s.parent_id AS parentId, h.stored_at_ms AS storedAtMs,
    h.at_ms AS atMs, h.message_id AS messageId, h.actor, h.types, h.message`;
  const lastOf = (seq: string) => `(SELECT max(x.seq) FROM history x WHERE x.subject_key = s.key AND x.seq <= ${seq} AND x.message_id <> '')`;
  return {
    floor: sqlite.prepare('SELECT pruned_seq AS seq, pruned_ms AS ms FROM checkpoint'),
    firstSince: sqlite.prepare('SELECT seq FROM history WHERE stored_at_ms >= ? ORDER BY stored_at_ms, seq LIMIT 1'),
    windowEnd: sqlite.prepare('SELECT max(seq) AS seq FROM (SELECT seq FROM history WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?)'),
    scan: sqlite.prepare(`SELECT ${columns} FROM history h CROSS JOIN subjects s ON s.key = h.subject_key
      WHERE h.seq > @after AND h.seq <= @until
        AND (@since IS NULL OR h.stored_at_ms >= @since) AND (@untilMs IS NULL OR h.stored_at_ms <= @untilMs)
        AND (@actors IS NULL OR h.actor IN (SELECT value FROM json_each(@actors)))
        AND (@types IS NULL OR EXISTS (SELECT 1 FROM json_each(@types) t WHERE instr(h.types, ',' || t.value || ',') > 0))
        AND (@kinds IS NULL OR s.kind IN (SELECT value FROM json_each(@kinds)))
        AND (@hostIds IS NULL OR s.host_id IN (SELECT value FROM json_each(@hostIds)))
        AND (@ids IS NULL OR s.aggregate_id IN (SELECT value FROM json_each(@ids)) OR s.parent_id IN (SELECT value FROM json_each(@ids)))
      ORDER BY h.seq LIMIT @limit`),
    ofAggregate: sqlite.prepare(`SELECT ${columns} FROM subjects s CROSS JOIN history h ON h.subject_key = s.key
      WHERE (s.aggregate_id = @id OR s.parent_id = @id) AND h.seq > @after
        AND (@since IS NULL OR h.stored_at_ms >= @since) AND (@until IS NULL OR h.stored_at_ms <= @until)
      ORDER BY h.seq LIMIT @limit`),
    containerIds: sqlite.prepare("SELECT DISTINCT aggregate_id AS id FROM subjects WHERE aggregate_id >= ? AND aggregate_id < ? AND kind = 'container' LIMIT ?"),
    containerAt: sqlite.prepare(`SELECT h.seq, h.stored_at_ms AS storedAtMs, h.message FROM subjects s JOIN history h ON h.seq = ${lastOf('@seq')} WHERE s.aggregate_id = @id AND s.kind = 'container'`),
    containersAt: sqlite.prepare(`SELECT s.key, h.seq, h.stored_at_ms AS storedAtMs, h.message FROM subjects s CROSS JOIN history h ON h.seq = ${lastOf('@seq')}
      WHERE s.kind = 'container' AND s.key > @after AND s.first_seq <= @seq AND (s.gone_seq IS NULL OR s.gone_seq > @seq) ORDER BY s.key LIMIT @limit`),
    before: sqlite.prepare(`SELECT h.seq, h.stored_at_ms AS storedAtMs, h.message FROM history h
      WHERE h.subject_key = (SELECT key FROM subjects WHERE subject = @subject) AND h.seq < @seq AND h.message_id <> '' ORDER BY h.seq DESC LIMIT 1`),
    heads: sqlite.prepare(`SELECT s.key, s.subject, s.kind, s.host_id AS hostId, s.aggregate_id AS aggregateId, s.last_seq AS lastSeq, s.gone_seq AS goneSeq, h.seq, h.message
      FROM subjects s CROSS JOIN history h ON h.seq = ${lastOf('s.last_seq')} WHERE s.key > @after ORDER BY s.key LIMIT @limit`),
    size: sqlite.prepare('SELECT count(*) AS count FROM history'),
  };
}
