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
