// Statements that drizzle words and SQLite runs by itself: filling in placeholders by drizzle costs a tenth of the whole projector's time.
import type { Query } from 'drizzle-orm';
import type { Orm } from './database.ts';

export interface Writing {
  /** Values by the names of the query's placeholders, as SQLite takes them: numbers, texts, bytes, null. Others of the row are passed over. */
  run(row: object): void;
}

/** Prepares a query all of whose parameters are placeholders. */
export function writing(orm: Orm, query: { toSQL(): Query }): Writing {
  const { sql, params } = query.toSQL();
  const statement = orm.$client.prepare(sql);
  const names = params.map(nameOf);
  return { run: (row) => void statement.run(names.map((name) => (row as Readonly<Record<string, unknown>>)[name])) };
}

/** A parameter is a placeholder, or the column's own wrapping of one. */
function nameOf(parameter: unknown): string {
  const { name, value } = parameter as { readonly name?: unknown; readonly value?: { readonly name?: unknown } };
  const found = name ?? value?.name;
  if (typeof found !== 'string') throw new TypeError('a parameter of the statement has no name');
  return found;
}
