// Shows the progress of pull and load: on a terminal a bar per layer that is redrawn in place, elsewhere a plain line per step. Reads lines, asks nothing.
import { ApiError } from '../errors.ts';
import type { ProgressLine } from '../engine/shapes.ts';
import { humanSize } from '../format/sizes.ts';

const redrawMs = 80;
const barWidth = 30;
/** Layers kept for redrawing; what goes beyond is counted in one line. */
const maxRows = 200;

export interface ProgressOutput {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
}

/** Follows `lines` to the end. Returns the lines without an id (the summary: digest, status, what was loaded). Throws ApiError where a line says that it failed. */
export async function showProgress(lines: AsyncIterable<ProgressLine>, output: ProgressOutput, quiet: boolean): Promise<string[]> {
  const summary: string[] = [];
  const view = quiet ? null : output.isTTY === true ? new BarView(output) : new PlainView(output);
  try {
    for await (const line of lines) {
      const error = line.errorDetail?.message ?? line.error;
      if (error !== undefined) throw new ApiError(500, error);
      const text = (line.stream ?? (line.id === undefined ? line.status : undefined))?.trimEnd();
      if (text !== undefined && text !== '') {
        summary.push(text);
        view?.text(text);
      } else if (line.id !== undefined) view?.layer(line.id, line.status ?? '', line.progressDetail?.current ?? null, line.progressDetail?.total ?? null);
    }
  } finally {
    view?.end();
  }
  return summary;
}

/** `[=====>    ]  3.1MB/12MB`, or the bytes alone where the total is not known. Pure. */
export function progressBar(current: number | null, total: number | null): string {
  if (current === null || current === 0) return '';
  if (total === null || total <= 0) return humanSize(current);
  const filled = Math.min(barWidth, Math.floor((current / total) * barWidth));
  const bar = `${'='.repeat(filled)}${filled < barWidth ? '>' : ''}`.padEnd(barWidth);
  return `[${bar}] ${humanSize(Math.min(current, total))}/${humanSize(total)}`;
}

class PlainView {
  private readonly last = new Map<string, string>();
  private readonly output: ProgressOutput;
  constructor(output: ProgressOutput) {
    this.output = output;
  }
  text(text: string): void {
    this.output.write(`${text}\n`);
  }
  layer(id: string, status: string): void {
    if (this.last.get(id) === status) return;
    this.last.set(id, status);
    this.output.write(`${id}: ${status}\n`);
  }
  end(): void {
    // Every line was written as it came.
  }
}

class BarView {
  private readonly rows = new Map<string, string>();
  private drawn = 0;
  private timer: NodeJS.Timeout | null = null;
  private readonly above: string[] = [];
  private readonly output: ProgressOutput;
  constructor(output: ProgressOutput) {
    this.output = output;
  }
  text(text: string): void {
    this.above.push(text);
    this.schedule();
  }
  layer(id: string, status: string, current: number | null, total: number | null): void {
    if (!this.rows.has(id) && this.rows.size >= maxRows) return;
    this.rows.set(id, `${id}: ${status} ${progressBar(current, total)}`.trimEnd());
    this.schedule();
  }
  end(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.draw();
  }
  private schedule(): void {
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.draw();
    }, redrawMs);
  }
  /** Goes up over what it drew, writes what is above for good, and draws again what fits on the screen. */
  private draw(): void {
    const { columns = 80, rows = 24 } = this.output;
    const fit = (line: string) => (line.length < columns ? line : line.slice(0, Math.max(1, columns - 1)));
    const shown = [...this.rows.values()].slice(-Math.max(1, rows - 2));
    const up = this.drawn === 0 ? '' : `\x1b[${this.drawn}A`;
    this.output.write(`${up}${[...this.above.splice(0), ...shown].map((line) => `\x1b[2K${fit(line)}\n`).join('')}\x1b[J`);
    this.drawn = shown.length;
  }
}
