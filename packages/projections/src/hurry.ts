// How a file is written that nobody relies on before it is whole: without waiting for the disk, without a log of its own changes on the disk, and
// without the indexes that only readers need. A kill meanwhile, or a power cut, may break the file.
import type { Sqlite } from './database.ts';

/** KiB of pages in memory. What is looked up by id is all over the file, and each page that is pushed out is written once more. */
const cacheKib = 65_536;

export interface Hurry {
  /** Ends it: everything is on the disk, with all indexes, when it returns. */
  settle(): void;
}

/** Begins it. Nobody else may have the file open, nor open it before `settle`. */
export function hurry(sqlite: Sqlite): Hurry {
  const cacheSize = sqlite.pragma('cache_size', { simple: true }) as number;
  sqlite.pragma('synchronous = OFF');
  // Rolling back must still work, for one batch may fail; what it needs for that stays in memory.
  sqlite.pragma('journal_mode = MEMORY');
  sqlite.pragma(`cache_size = -${cacheKib}`);
  // Those that hold keys unique have no statement, and stay.
  const indexes = sqlite.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL").all() as { readonly name: string; readonly sql: string }[];
  for (const { name } of indexes) sqlite.exec(`DROP INDEX ${name}`);
  return {
    settle: () => {
      // This transaction waits for the disk, and so for all that was written before it.
      sqlite.pragma('synchronous = FULL');
      sqlite.transaction(() => {
        for (const { sql } of indexes) sqlite.exec(sql);
      }).immediate();
      sqlite.pragma('journal_mode = WAL');
      sqlite.pragma('synchronous = NORMAL');
      sqlite.pragma(`cache_size = ${cacheSize}`);
    },
  };
}
