// One read-only connection to the projection's file and all questions to it. Usable beside the writer, in any thread.
import type { Migrations } from './database.ts';
import { openReadOnly, type Orm } from './database.ts';
import { HistoryReader } from './history-reader.ts';
import { PresentReader } from './present-reader.ts';
import type { Checkpoint } from './projector.ts';

export class ProjectionReader {
  readonly present: PresentReader;
  readonly history: HistoryReader;
  readonly #orm: Orm;
  readonly #instant: (questions: () => unknown) => unknown;
  readonly #checkpoint: { get(): unknown };

  /** Throws ProjectionFileError when the file is not there or of another version. */
  static open(file: string, migrations?: Migrations): ProjectionReader {
    return new ProjectionReader(openReadOnly(file, migrations));
  }

  private constructor(orm: Orm) {
    this.#orm = orm;
    // Once: making one costs more than what it runs.
    this.#instant = orm.$client.transaction((questions: () => unknown) => questions());
    this.present = new PresentReader(orm);
    this.history = new HistoryReader(orm);
    this.#checkpoint = orm.$client.prepare('SELECT stream, seq, message_id AS messageId, malformed, unknown, pruned_seq AS prunedSeq, pruned_ms AS prunedMs FROM checkpoint');
  }

  /** Null before the projection has been bound to a stream. */
  checkpoint(): Checkpoint | null {
    return (this.#checkpoint.get() as Checkpoint | undefined) ?? null;
  }

  /** Runs several questions against one instant. `questions` must be synchronous. */
  atOneInstant<T>(questions: () => T): T {
    return this.#instant(questions) as T;
  }

  close(): void {
    this.#orm.$client.close();
  }
}
