// Prints lists in the form that `--format` asks for: a table for people, one JSON object a line for programs, a template for scripts.
import { table } from './table.ts';
import { toTemplate } from './template.ts';

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string;
}

export type Row = Readonly<Record<string, unknown>>;

/** `table`, `json`, a template, or `table <template>` whose fields become the columns. Undefined is `table`. */
export function render<R extends Row>(format: string | undefined, columns: readonly Column<R>[], rows: readonly R[]): string {
  if (format === undefined || format === 'table' || format === '') return table(columns.map(({ title }) => title), rows.map((row) => columns.map(({ value }) => value(row))));
  if (format === 'json') return rows.map((row) => `${JSON.stringify(row)}\n`).join('');
  if (format.startsWith('table ')) {
    const cells = format.slice('table '.length).split(/\\t|\t/);
    const templates = cells.map(toTemplate);
    const titles = cells.map((cell) => /\.(\w+)\s*\}\}/.exec(cell)?.[1]?.toUpperCase() ?? '');
    return table(titles, rows.map((row) => templates.map((template) => template(row))));
  }
  const template = toTemplate(format);
  return rows.map((row) => `${template(row)}\n`).join('');
}

/** What `inspect` shows: one JSON array for people, with `json` an object a line, else a template's line for each. */
export function inspected(format: string | undefined, values: readonly object[]): string {
  if (format === undefined) return `${JSON.stringify(values, null, 4)}\n`;
  const text: (value: Row) => string = format === 'json' ? JSON.stringify : toTemplate(format);
  return values.map((value) => `${text(value as Row)}\n`).join('');
}
