// Opens the projection's file: for the one writer, who makes its tables, and for readers, who cannot write. Knows nothing of what is in them.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { drizzle, type BetterSQLite3Database } from 'drizzle-orm/better-sqlite3';
import { OperatingError } from '@pouch/process';

export type Sqlite = Database.Database;
export type Orm = BetterSQLite3Database & { $client: Sqlite };

const migrationsDirectory = fileURLToPath(new URL('../../../migrations/', import.meta.url));

/** The file cannot be opened, or was made by other statements than this version's; it is to be built again. `retryable` is false. */
export class ProjectionFileError extends OperatingError {
  constructor(message: string, cause?: unknown) {
    super('projection-file', message, { retryable: false, cause });
  }
}

export interface Migrations {
  readonly sql: string;
  /** Digest of the statements; it stands in every file that they made. */
  readonly digest: string;
}

/** The statements of migrations/, in order of their names. */
export function readMigrations(directory: string = migrationsDirectory): Migrations {
  const files = readdirSync(directory).filter((name) => name.endsWith('.sql')).sort();
  const sql = files.map((name) => readFileSync(join(directory, name), 'utf8')).join('\n');
  return { sql, digest: createHash('sha256').update(sql).digest('hex') };
}

/**
 * Opens `file` for writing and makes its tables when it is new. A file of another version or a damaged one is refused with ProjectionFileError;
 * what may pass (disk full, locked) is thrown as SQLite says it.
 * `synchronous=NORMAL` in WAL mode: a power cut can lose the last transactions, each whole and with its checkpoint, so they are applied again.
 */
export function openWriter(file: string, migrations: Migrations = readMigrations()): Orm {
  const sqlite = openFile(file, {});
  try {
    // Messages are about 2 KB: the default page would hold one and waste the rest.
    sqlite.pragma('page_size = 8192');
    sqlite.pragma('journal_mode = WAL');
    sqlite.pragma('synchronous = NORMAL');
    sqlite.pragma('journal_size_limit = 67108864');
    // 32 MB: a rebuild is a tenth faster than with SQLite's thousand pages.
    sqlite.pragma('wal_autocheckpoint = 4000');
    sqlite.pragma('cache_size = -16384');
    sqlite.pragma('temp_store = MEMORY');
    sqlite.transaction(() => {
      const version = schemaOf(sqlite);
      if (version === migrations.digest) return;
      if (version !== null) throw new ProjectionFileError(`${file} was made by another version`);
      sqlite.exec(migrations.sql);
      sqlite.exec('CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID');
      sqlite.prepare("INSERT INTO meta (key, value) VALUES ('schema', ?)").run(migrations.digest);
    }).immediate();
    return drizzle({ client: sqlite });
  } catch (error) {
    sqlite.close();
    throw explained(error, `${file} is damaged`);
  }
}

/** Opens `file` for reading only. One that is not there, of another version or damaged is refused with ProjectionFileError. */
export function openReadOnly(file: string, migrations: Migrations = readMigrations()): Orm {
  const sqlite = openFile(file, { readonly: true, fileMustExist: true });
  try {
    if (schemaOf(sqlite) !== migrations.digest) throw new ProjectionFileError(`${file} was made by another version`);
    // More, or mapped memory, made lists of 20,000 no faster and the process larger by all of it.
    sqlite.pragma('cache_size = -16384');
    return drizzle({ client: sqlite });
  } catch (error) {
    sqlite.close();
    throw explained(error, `${file} is damaged`);
  }
}

/** Removes a projection's file and what SQLite keeps beside it. Nobody may have it open for writing. */
export function removeFiles(file: string): void {
  for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(`${file}${suffix}`, { force: true });
}

function openFile(file: string, options: Database.Options): Sqlite {
  try {
    return new Database(file, { timeout: 5_000, ...options });
  } catch (error) {
    if (options.fileMustExist === true && !existsSync(file)) throw new ProjectionFileError(`${file} is not there`, error);
    throw explained(error, `${file} is damaged`);
  }
}

/** Whether SQLite says that the file itself is broken, which no retry mends. */
export function isDamage(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' && (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB');
}

function explained(error: unknown, damaged: string): unknown {
  return isDamage(error) ? new ProjectionFileError(damaged, error) : error;
}

/** Digest of the statements that made the file; null when it has no table yet. */
function schemaOf(sqlite: Sqlite): string | null {
  const tables = sqlite.prepare("SELECT count(*) AS count FROM sqlite_schema WHERE type = 'table'").get() as { count: number };
  if (tables.count === 0) return null;
  const meta = sqlite.prepare("SELECT count(*) AS count FROM sqlite_schema WHERE type = 'table' AND name = 'meta'").get() as { count: number };
  if (meta.count === 0) return '';
  const row = sqlite.prepare("SELECT value FROM meta WHERE key = 'schema'").get() as { value: string } | undefined;
  return row?.value ?? '';
}
