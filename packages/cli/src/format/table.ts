// Lays rows out in aligned columns. Pure.

/** Columns of text that a terminal shows: wide (East Asian) characters and emoji take two, combining marks none. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const char of text) {
    const code = char.codePointAt(0) as number;
    if (/\p{Mark}/u.test(char) || code === 0x200d || (code >= 0xfe00 && code <= 0xfe0f)) continue;
    width += (code >= 0x1100 && code <= 0x115f) || (code >= 0x2e80 && code <= 0xa4cf) || (code >= 0xac00 && code <= 0xd7a3) || (code >= 0xf900 && code <= 0xfaff) || (code >= 0xfe30 && code <= 0xfe6f) || (code >= 0xff00 && code <= 0xff60) || (code >= 0x1f300 && code <= 0x1faff) ? 2 : 1;
  }
  return width;
}

/** Control characters as JSON writes them, so that nothing that somebody named can forge a line or drive the terminal. */
export const visible = (text: string): string => text.replaceAll(/[\p{Cc}]/gu, (char) => JSON.stringify(char).slice(1, -1));

/** One line a row, with three spaces between columns and none at the end; control characters are made visible. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows].map((row) => row.map(visible));
  const widths = header.map((_, column) => Math.max(...lines.map((row) => displayWidth(row[column] ?? ''))));
  return `${lines.map((row) => row.map((cell, column) => (column === row.length - 1 ? cell : cell + ' '.repeat((widths[column] as number) - displayWidth(cell)))).join('   ').trimEnd()).join('\n')}\n`;
}

/** Shortens to `width` characters with an ellipsis. */
export const shortened = (text: string, width: number): string => ([...text].length <= width ? text : `${[...text].slice(0, width - 1).join('')}…`);
