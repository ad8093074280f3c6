// A host's lines of progress as Docker's clients read them. Pure, but for the splitting of a stream into lines.
import type { ImageProgress } from '@pouch/contracts';

const maxLineChars = 65_536;
const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** A JSON line, with its line end. */
export function progressLine({ id, status, current, total }: ImageProgress): string {
  const named = id === null ? {} : { id };
  // Headings have no measure: clients show a bar for whatever has one.
  if (id === null || status.startsWith('Pulling from ')) return `${JSON.stringify({ status, ...named })}\n`;
  const moving = current !== null && total !== null && total > 0 && (status === 'Downloading' || status === 'Extracting' || status === 'Loading layer');
  return `${JSON.stringify(moving ? { status, progressDetail: { current, total }, progress: bar(current, total), ...named } : { status, progressDetail: {}, ...named })}\n`;
}

export const streamLine = (text: string): string => `${JSON.stringify({ stream: `${text}\n` })}\n`;
export const statusLine = (status: string): string => `${JSON.stringify({ status })}\n`;
/** How a stream that has begun says that it failed. */
export const errorLine = (message: string): string => `${JSON.stringify({ errorDetail: { message }, error: message })}\n`;

/** `[===>   ]  1.2MB/4.5MB`: fifty steps. */
export function bar(current: number, total: number): string {
  const steps = Math.min(50, Math.max(0, Math.floor((current / total) * 50)));
  return `[${'='.repeat(steps)}>${' '.repeat(50 - steps)}] ${size(current).padStart(8)}/${size(total)}`;
}

function size(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${Number(value.toPrecision(4))}${units[unit] ?? ''}`;
}

/** The lines of a host's answer. Rejects with what the stream fails with. */
export async function* progressOf(source: AsyncIterable<Buffer>): AsyncGenerator<ImageProgress> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of source) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > maxLineChars) throw new Error('a host sent a line of progress without an end');
    for (const line of lines) if (line !== '') yield JSON.parse(line) as ImageProgress;
  }
}
