// Puts lines together from the chunks that the log holds, each with the time its first byte was read. Bounded: a longer line is cut as Docker cuts it.
import type { OutputRecord } from '@pouch/native';

/** Docker's limit of one log entry. */
export const maxLineBytes = 16 * 1024;

export interface Line {
  readonly stream: 'stdout' | 'stderr';
  readonly timeNs: bigint;
  /** With its newline, unless it was cut or is the unfinished end of the output. */
  readonly data: Buffer;
}

interface Part {
  timeNs: bigint;
  chunks: Buffer[];
  bytes: number;
}

export class LineAssembler {
  readonly #parts = new Map<'stdout' | 'stderr', Part>();

  /** The lines that `record` completes. */
  push({ kind: stream, timeNs, data }: Pick<OutputRecord, 'kind' | 'timeNs' | 'data'>): Line[] {
    const lines: Line[] = [];
    let at = 0;
    while (at < data.length) {
      const part = this.#parts.get(stream) ?? { timeNs, chunks: [], bytes: 0 };
      const newline = data.indexOf(10, at);
      const end = Math.min(newline === -1 ? data.length : newline + 1, at + maxLineBytes - part.bytes);
      part.chunks.push(data.subarray(at, end));
      part.bytes += end - at;
      at = end;
      if (data[end - 1] === 10 || part.bytes >= maxLineBytes) {
        lines.push({ stream, timeNs: part.timeNs, data: Buffer.concat(part.chunks) });
        this.#parts.delete(stream);
      } else {
        this.#parts.set(stream, part);
      }
    }
    return lines;
  }

  /** What is unfinished, oldest first: the output has ended. */
  end(): Line[] {
    const lines = [...this.#parts].map(([stream, { timeNs, chunks }]) => ({ stream, timeNs, data: Buffer.concat(chunks) }));
    this.#parts.clear();
    return lines.toSorted((a, b) => (a.timeNs < b.timeNs ? -1 : 1));
  }
}

/** RFC 3339 in UTC with nine digits, as Docker stamps lines. */
export function timestamp(timeNs: bigint): string {
  const seconds = new Date(Number(timeNs / 1_000_000_000n) * 1_000).toISOString().slice(0, 19);
  return `${seconds}.${(timeNs % 1_000_000_000n).toString().padStart(9, '0')}Z`;
}
