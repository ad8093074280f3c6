// One line on a terminal that says how far something is; nothing elsewhere. It goes to stderr: stdout may be the thing itself.
import { humanSize } from '../format/sizes.ts';
import { progressBar } from './progress.ts';

const redrawMs = 100;

export class ByteBar {
  readonly #label: string;
  readonly #shown: boolean;
  #drawnAtMs = 0;

  constructor(label: string, quiet: boolean) {
    this.#label = label;
    this.#shown = !quiet && process.stderr.isTTY;
  }

  /** Bytes; `total` null: not known. */
  show(done: number, total: number | null): void {
    if (!this.#shown || Date.now() - this.#drawnAtMs < redrawMs) return;
    this.#drawnAtMs = Date.now();
    process.stderr.write(`\r\x1b[2K${this.#label} ${total === null ? humanSize(done) : progressBar(done, total)}`);
  }

  /** Wipes the line. */
  end(): void {
    if (this.#drawnAtMs > 0) process.stderr.write('\r\x1b[2K');
  }
}
