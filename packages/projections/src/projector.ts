// Applies messages of the log to the projection's file: present, history and checkpoint in one transaction, so that a kill at any point equals
// a clean replay. The one writer of its file. It neither follows the log nor knows how: batches are handed to it.
import { eq, sql } from 'drizzle-orm';
import { openWriter, type Migrations, type Orm } from './database.ts';
import type { Distilled } from './distill.ts';
import { bufferOf, type Origin } from './entry.ts';
import { hurry, type Hurry } from './hurry.ts';
import { PresentChanges, type RowChange } from './present.ts';
import { PresentTables } from './present-tables.ts';
import { checkpoint, containers, history, subjects } from './schema.ts';
import { writing } from './writing.ts';

/** Subjects whose keys are kept in memory; the others are looked up again. */
const maxCachedSubjects = 100_000;

/** How far a projection has come. `messageId` is '' where the message there was malformed. */
export interface Checkpoint {
  readonly stream: string;
  readonly seq: number;
  readonly messageId: string;
  readonly malformed: number;
  readonly unknown: number;
  readonly prunedSeq: number;
  readonly prunedMs: number;
}

export interface AppliedMessage {
  readonly seq: number;
  readonly messageId: string;
}

/** What one batch did. `subjects`: those that had messages, each once; `statuses`: of containers and placements among them, by the same index, what they came to, else null. */
export interface Applied {
  readonly seq: number;
  readonly subjects: readonly string[];
  readonly statuses: readonly (string | null)[];
  readonly messages: number;
  /** Why each malformed message of the batch was so. */
  readonly malformed: readonly { readonly seq: number; readonly subject: string; readonly reason: string }[];
}

interface SubjectChange {
  readonly key: number;
  readonly isNew: boolean;
  readonly subject: string;
  readonly origin: Origin;
  readonly firstSeq: number;
  lastSeq: number;
  /** Of an exec: its container. */
  parentId: string | null;
  /** Undefined: no message of this batch says whether it has ended. */
  goneSeq: number | null | undefined;
  /** Of a container or a placement. */
  status: string | null;
}

export class Projector {
  readonly #orm: Orm;
  readonly #tables: PresentTables;
  readonly #keys = new Map<string, number>();
  readonly #statements: ReturnType<typeof prepare>;
  #nextKey: number;
  #hurry: Hurry | null = null;
  #checkpoint: Checkpoint | null;

  /** Opens or makes `file`. Throws ProjectionFileError when it was made by another version or is damaged: remove it and build again. */
  static open(file: string, migrations?: Migrations): Projector {
    return new Projector(openWriter(file, migrations));
  }

  private constructor(orm: Orm) {
    this.#orm = orm;
    this.#tables = new PresentTables(orm);
    this.#statements = prepare(orm);
    this.#nextKey = (orm.select({ key: sql<number | null>`max(${subjects.key})` }).from(subjects).get()?.key ?? 0) + 1;
    this.#checkpoint = orm.select().from(checkpoint).get() ?? null;
  }

  /** Null: a new file that has not been told its stream yet. */
  get checkpoint(): Checkpoint | null {
    return this.#checkpoint;
  }

  /** For pruning, which belongs to the same writer. */
  get orm(): Orm {
    return this.#orm;
  }

  /** Applies as fast as can be until `settle`: for a file that nobody relies on or opens before. */
  hurry(): void {
    this.#hurry ??= hurry(this.#orm.$client);
  }

  /** Ends a hurry: everything applied is on the disk when it returns. */
  settle(): void {
    this.#hurry?.settle();
    this.#hurry = null;
  }

  /** Binds a new file to a stream, by its identity. Nothing is applied before. */
  begin(stream: string): void {
    if (this.#checkpoint !== null) throw new TypeError('the projection belongs to a stream already');
    const row: Checkpoint = { stream, seq: 0, messageId: '', malformed: 0, unknown: 0, prunedSeq: 0, prunedMs: 0 };
    this.#orm.insert(checkpoint).values({ id: 1, ...row }).run();
    this.#checkpoint = row;
  }

  /**
   * Messages to be compared with what the log holds at their sequences: the newest applied, then the last ones of what lives, at most `limit` of
   * each and the newest first. The log forgets what has ended, so of the newest perhaps none is left there. Malformed ones are left out.
   */
  *recent(limit: number): Generator<AppliedMessage> {
    const sqlite = this.#orm.$client;
    yield* sqlite.prepare("SELECT seq, message_id AS messageId FROM history WHERE message_id <> '' ORDER BY seq DESC LIMIT ?").all(limit) as AppliedMessage[];
    // Looks at every subject: only where the first answer was not enough.
    yield* sqlite
      .prepare("SELECT h.seq, h.message_id AS messageId FROM subjects s JOIN history h ON h.seq = s.last_seq WHERE s.gone_seq IS NULL AND h.message_id <> '' ORDER BY h.seq DESC LIMIT ?")
      .all(limit) as AppliedMessage[];
  }

  /** Applies a batch in ascending order; what was applied before is passed over. Operating errors of SQLite leave everything as it was. */
  apply(entries: readonly Distilled[]): Applied {
    const before = this.#checkpoint;
    if (before === null) throw new TypeError('the projection belongs to no stream yet');
    const news = entries.filter((entry) => entry.seq > before.seq);
    const last = news.at(-1);
    if (last === undefined) return { seq: before.seq, subjects: [], statuses: [], messages: 0, malformed: [] };
    const malformed: { seq: number; subject: string; reason: string }[] = [];
    const changes = new Map<string, SubjectChange>();
    const nextKey = this.#nextKey;
    let after = before;
    const transaction = this.#orm.$client.transaction(() => {
      const present = new PresentChanges((id) => this.#statements.standing.get({ id }) ?? null);
      let unknown = 0;
      let lastId = '';
      for (const entry of news) {
        const subject = this.#subject(changes, entry);
        this.#remember(entry, subject.key);
        lastId = entry.messageId;
        const { change } = entry;
        if (entry.fault !== null) malformed.push({ seq: entry.seq, subject: entry.subject, reason: entry.fault });
        else if (change === null) unknown += 1;
        else {
          subject.goneSeq = present.take(change, entry.seq) ? entry.seq : null;
          subject.status = statusOf(change);
          if (change.table === 'execs') subject.parentId = change.containerId;
        }
      }
      this.#writeSubjects(changes);
      this.#tables.write(present);
      after = { ...before, seq: last.seq, messageId: lastId, malformed: before.malformed + malformed.length, unknown: before.unknown + unknown };
      this.#statements.advance.run({ seq: after.seq, messageId: after.messageId, malformed: after.malformed, unknown: after.unknown });
    });
    try {
      transaction.immediate();
    } catch (error) {
      this.#keys.clear();
      this.#nextKey = nextKey;
      throw error;
    }
    this.#checkpoint = after;
    return { seq: last.seq, subjects: [...changes.keys()], statuses: [...changes.values()].map(({ status }) => status), messages: news.length, malformed };
  }

  /** After pruning: the checkpoint's row says how far, and subjects may have gone. */
  reread(): void {
    this.#checkpoint = this.#orm.select().from(checkpoint).get() ?? null;
    this.#keys.clear();
  }

  close(): void {
    this.#orm.$client.close();
  }

  #subject(changes: Map<string, SubjectChange>, entry: Distilled): SubjectChange {
    const known = changes.get(entry.subject);
    if (known !== undefined) {
      known.lastSeq = entry.seq;
      return known;
    }
    const standing = this.#keys.get(entry.subject) ?? this.#statements.subjectKey.get({ subject: entry.subject })?.key;
    const key = standing ?? this.#nextKey++;
    if (this.#keys.size >= maxCachedSubjects) this.#keys.clear();
    this.#keys.set(entry.subject, key);
    const change: SubjectChange = { key, isNew: standing === undefined, subject: entry.subject, origin: entry.origin, firstSeq: entry.seq, lastSeq: entry.seq, parentId: null, goneSeq: undefined, status: null };
    changes.set(entry.subject, change);
    return change;
  }

  #remember({ seq, storedAtMs, atMs, messageId, actor, types, payload }: Distilled, subjectKey: number): void {
    this.#statements.remember.run({ seq, subjectKey, storedAtMs, atMs, messageId, actor, types, message: bufferOf(payload) });
  }

  #writeSubjects(changes: ReadonlyMap<string, SubjectChange>): void {
    const { addSubject, moveSubject, endSubject } = this.#statements;
    for (const { key, isNew, subject, origin, firstSeq, lastSeq, parentId, goneSeq } of changes.values()) {
      if (isNew) addSubject.run({ key, subject, kind: origin.kind, hostId: origin.hostId, aggregateId: origin.id, parentId, firstSeq, lastSeq, goneSeq: goneSeq ?? null });
      else if (goneSeq === undefined) moveSubject.run({ key, lastSeq });
      else endSubject.run({ key, lastSeq, parentId, goneSeq });
    }
  }
}

function statusOf(change: RowChange): string | null {
  return change.table === 'containers' || change.table === 'placements' ? change.status : null;
}

function prepare(orm: Orm) {
  const p = sql.placeholder;
  return {
    subjectKey: orm.select({ key: subjects.key }).from(subjects).where(eq(subjects.subject, p('subject'))).prepare(),
    standing: orm.select({ hostId: containers.hostId, name: containers.name, nameSeq: containers.nameSeq }).from(containers).where(eq(containers.id, p('id'))).prepare(),
    addSubject: writing(orm, orm.insert(subjects).values({ key: p('key'), subject: p('subject'), kind: p('kind'), hostId: p('hostId'), aggregateId: p('aggregateId'), parentId: p('parentId'), firstSeq: p('firstSeq'), lastSeq: p('lastSeq'), goneSeq: p('goneSeq') })),
    moveSubject: writing(orm, orm.update(subjects).set({ lastSeq: sql`${p('lastSeq')}` }).where(eq(subjects.key, p('key')))),
    endSubject: writing(
      orm,
      orm
        .update(subjects)
        .set({ lastSeq: sql`${p('lastSeq')}`, parentId: sql`coalesce(${subjects.parentId}, ${p('parentId')})`, goneSeq: sql`${p('goneSeq')}` })
        .where(eq(subjects.key, p('key'))),
    ),
    remember: writing(orm, orm.insert(history).values({ seq: p('seq'), subjectKey: p('subjectKey'), storedAtMs: p('storedAtMs'), atMs: p('atMs'), messageId: p('messageId'), actor: p('actor'), types: p('types'), message: p('message') })),
    advance: writing(orm, orm.update(checkpoint).set({ seq: sql`${p('seq')}`, messageId: sql`${p('messageId')}`, malformed: sql`${p('malformed')}`, unknown: sql`${p('unknown')}` })),
  };
}
