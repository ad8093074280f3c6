// The agent's own SQLite file: what must survive a kill -9 of the agent and is not in the log yet, or is needed while the log is away.
// It holds no truth of its own: everything in it is either on its way to the log or a copy from it.
import Database from 'better-sqlite3';
import type { Container, NetworkAttachment } from '@pouch/domain';

/** A report that is not acknowledged by the log yet. `subject` is its aggregate's; reports of one subject go in the order of `position`. */
export interface OutboxRow {
  readonly position: number;
  readonly id: string;
  readonly kind: 'container' | 'exec';
  readonly subject: string;
  /** The domain's command, as JSON. */
  readonly command: string;
  /** Agent's clock when it was observed, in ms since 1970. */
  readonly atMs: number;
}

/** The last state of a container that the log told. */
export interface HeadRow {
  readonly containerId: string;
  readonly seq: number;
  readonly snapshot: Container;
}

/** What a start was given, kept until its container is removed or started anew. */
export interface RunRow {
  readonly containerId: string;
  readonly startId: string;
  readonly startedAtMs: number;
  readonly network: NetworkAttachment;
}

/** Something of a container that is on this host and that the log does not know. It is left alone. */
export interface UnknownRow {
  readonly containerId: string;
  /** What was last known of it; null: nothing. */
  readonly snapshot: Container | null;
}

/** An exec that was started and whose end has not been reported. */
export interface ExecRow {
  readonly execId: string;
  readonly containerId: string;
}

const schema = `
  CREATE TABLE IF NOT EXISTS outbox (position INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, subject TEXT NOT NULL, command TEXT NOT NULL, at_ms INTEGER NOT NULL);
  CREATE TABLE IF NOT EXISTS heads (container_id TEXT PRIMARY KEY, seq INTEGER NOT NULL, snapshot TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS attempts (container_id TEXT NOT NULL, command_id TEXT NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (container_id, command_id)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS runs (container_id TEXT PRIMARY KEY, start_id TEXT NOT NULL, started_at_ms INTEGER NOT NULL, network TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS execs (exec_id TEXT PRIMARY KEY, container_id TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS ended_execs (position INTEGER PRIMARY KEY AUTOINCREMENT, exec_id TEXT NOT NULL UNIQUE);
  CREATE TABLE IF NOT EXISTS log (only INTEGER PRIMARY KEY CHECK (only = 1), stream_id TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS unknown (container_id TEXT PRIMARY KEY, snapshot TEXT) WITHOUT ROWID;
`;

/** So many ended execs are remembered: whoever asks for a start again may not have heard of the end. */
const rememberedEnds = 1_024;

/**
 * Bytes that the file, and its WAL, keep for themselves on the disk: with them an agent notes what it does and what it saw also while others have
 * filled the disk. A container takes a few kilobytes, at most two messages of the log.
 */
const roomBytes = 4 * 1024 * 1024;

/** Version of `schema`, in the file's user_version. */
const schemaVersion = 1;

/** Opens the file, makes the tables where they are missing. WAL with synchronous=NORMAL: kill -9 loses nothing, a power cut may lose the last reports (their containers end with it anyway). */
export class Store {
  readonly #db: Database.Database;
  readonly #statements;

  /** `file`: its path, or a database that is open already and that `close` closes. */
  constructor(file: string | Database.Database) {
    const db = typeof file === 'string' ? new Database(file) : file;
    db.pragma('locking_mode = EXCLUSIVE'); // two agents on one directory would do everything twice
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = NORMAL');
    const version = db.pragma('user_version', { simple: true }) as number;
    if (version > schemaVersion) throw new Error(`${db.name} was written by a newer agent (schema ${version}, this one knows ${schemaVersion})`);
    db.exec(schema);
    if (version !== schemaVersion) db.pragma(`user_version = ${schemaVersion}`);
    if (typeof file === 'string') makeRoom(db);
    this.#db = db;
    this.#statements = {
      enqueue: db.prepare('INSERT OR IGNORE INTO outbox (id, kind, subject, command, at_ms) VALUES (?, ?, ?, ?, ?)'),
      dequeue: db.prepare('DELETE FROM outbox WHERE id = ?'),
      outbox: db.prepare('SELECT position, id, kind, subject, command, at_ms AS atMs FROM outbox ORDER BY position'),
      saveHead: db.prepare('INSERT INTO heads VALUES (?, ?, ?) ON CONFLICT (container_id) DO UPDATE SET seq = excluded.seq, snapshot = excluded.snapshot'),
      dropHead: db.prepare('DELETE FROM heads WHERE container_id = ?'),
      heads: db.prepare('SELECT container_id AS containerId, seq, snapshot FROM heads'),
      attempt: db.prepare('INSERT OR IGNORE INTO attempts VALUES (?, ?, ?)'),
      attempts: db.prepare('SELECT container_id AS containerId, command_id AS commandId, at_ms AS atMs FROM attempts'),
      dropAttempts: db.prepare('DELETE FROM attempts WHERE container_id = ?'),
      saveRun: db.prepare('INSERT INTO runs VALUES (?, ?, ?, ?) ON CONFLICT (container_id) DO UPDATE SET start_id = excluded.start_id, started_at_ms = excluded.started_at_ms, network = excluded.network'),
      run: db.prepare('SELECT container_id AS containerId, start_id AS startId, started_at_ms AS startedAtMs, network FROM runs WHERE container_id = ?'),
      dropRun: db.prepare('DELETE FROM runs WHERE container_id = ?'),
      saveExec: db.prepare('INSERT OR IGNORE INTO execs VALUES (?, ?)'),
      dropExec: db.prepare('DELETE FROM execs WHERE exec_id = ?'),
      noteEnded: db.prepare('INSERT OR IGNORE INTO ended_execs (exec_id) VALUES (?)'),
      forgetEnded: db.prepare('DELETE FROM ended_execs WHERE position <= ? - ?'),
      hasExec: db.prepare('SELECT EXISTS (SELECT 1 FROM execs WHERE exec_id = @execId) OR EXISTS (SELECT 1 FROM ended_execs WHERE exec_id = @execId)').pluck(),
      execs: db.prepare('SELECT exec_id AS execId, container_id AS containerId FROM execs'),
      log: db.prepare('SELECT stream_id AS streamId FROM log'),
      saveLog: db.prepare('INSERT INTO log VALUES (1, ?) ON CONFLICT (only) DO UPDATE SET stream_id = excluded.stream_id'),
      saveUnknown: db.prepare('INSERT INTO unknown VALUES (?, ?) ON CONFLICT (container_id) DO UPDATE SET snapshot = coalesce(excluded.snapshot, snapshot)'),
      dropUnknown: db.prepare('DELETE FROM unknown WHERE container_id = ?'),
      unknown: db.prepare('SELECT container_id AS containerId, snapshot FROM unknown ORDER BY container_id'),
    };
  }

  enqueue(row: Omit<OutboxRow, 'position'>): void {
    this.#statements.enqueue.run(row.id, row.kind, row.subject, row.command, row.atMs);
  }

  dequeue(ids: readonly string[]): void {
    for (const id of ids) this.#statements.dequeue.run(id);
  }

  outbox(): OutboxRow[] {
    return this.#statements.outbox.all() as OutboxRow[];
  }

  saveHead({ containerId, seq, snapshot }: HeadRow): void {
    this.#statements.saveHead.run(containerId, seq, JSON.stringify(snapshot));
  }

  heads(): HeadRow[] {
    const rows = this.#statements.heads.all() as { containerId: string; seq: number; snapshot: string }[];
    return rows.map(({ containerId, seq, snapshot }) => ({ containerId, seq, snapshot: JSON.parse(snapshot) as Container }));
  }

  /** Notes that something is about to be done for a command, so that it is not done twice. */
  attempt(containerId: string, commandId: string, atMs: number): void {
    this.#statements.attempt.run(containerId, commandId, atMs);
  }

  attempts(): { containerId: string; commandId: string; atMs: number }[] {
    return this.#statements.attempts.all() as { containerId: string; commandId: string; atMs: number }[];
  }

  dropAttempts(containerId: string): void {
    this.#statements.dropAttempts.run(containerId);
  }

  saveRun(run: RunRow): void {
    this.#statements.saveRun.run(run.containerId, run.startId, run.startedAtMs, JSON.stringify(run.network));
  }

  run(containerId: string): RunRow | null {
    const row = this.#statements.run.get(containerId) as (Omit<RunRow, 'network'> & { network: string }) | undefined;
    return row === undefined ? null : { ...row, network: JSON.parse(row.network) as NetworkAttachment };
  }

  saveExec({ execId, containerId }: ExecRow): void {
    this.#statements.saveExec.run(execId, containerId);
  }

  /** Its end has been reported. */
  endExec(execId: string): void {
    this.#db.transaction(() => {
      const { lastInsertRowid } = this.#statements.noteEnded.run(execId);
      this.#statements.forgetEnded.run(lastInsertRowid, rememberedEnds);
      this.#statements.dropExec.run(execId);
    })();
  }

  /** Whether it was started here, also if it has ended since. */
  hasExec(execId: string): boolean {
    return this.#statements.hasExec.get({ execId }) === 1;
  }

  /** Those whose end has not been reported. */
  execs(): ExecRow[] {
    return this.#statements.execs.all() as ExecRow[];
  }

  /** The log that what is on this host was last held against; null: none yet. */
  log(): string | null {
    return (this.#statements.log.get() as { streamId: string } | undefined)?.streamId ?? null;
  }

  saveLog(streamId: string): void {
    this.#statements.saveLog.run(streamId);
  }

  /** Its run stays noted: a log that knows it may come yet. */
  saveUnknown({ containerId, snapshot }: UnknownRow): void {
    this.#statements.saveUnknown.run(containerId, snapshot === null ? null : JSON.stringify(snapshot));
    this.#statements.dropHead.run(containerId);
    this.#statements.dropAttempts.run(containerId);
  }

  dropUnknown(containerId: string): void {
    this.#statements.dropUnknown.run(containerId);
  }

  unknown(): UnknownRow[] {
    const rows = this.#statements.unknown.all() as { containerId: string; snapshot: string | null }[];
    return rows.map(({ containerId, snapshot }) => ({ containerId, snapshot: snapshot === null ? null : JSON.parse(snapshot) as Container }));
  }

  /** Forgets all about a container but its reports, which still have to reach the log. */
  forget(containerId: string): void {
    this.#statements.dropHead.run(containerId);
    this.#statements.dropAttempts.run(containerId);
    this.#statements.dropRun.run(containerId);
  }

  close(): void {
    this.#db.close();
  }
}

/** What was written and deleted stays the file's: SQLite fills freed pages first, and writes a WAL from its beginning again. Where the disk is full already, there is what there is. */
function makeRoom(db: Database.Database): void {
  try {
    db.exec(`DROP TABLE IF EXISTS room; BEGIN IMMEDIATE; CREATE TABLE room (bytes BLOB); INSERT INTO room VALUES (zeroblob(${roomBytes})); COMMIT; DROP TABLE room`);
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'SQLITE_FULL') throw error;
    if (db.inTransaction) db.exec('ROLLBACK');
  }
}
