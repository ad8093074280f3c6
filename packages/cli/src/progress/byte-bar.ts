// One line on a terminal that says how far something of known size is; nothing elsewhere. It goes to stderr: stdout may be the thing itself.
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

  show(done: number, total: number): void {
    if (!this.#shown || Date.now() - this.#drawnAtMs < redrawMs) return;
    this.#drawnAtMs = Date.now();
    process.stderr.write(`\r\x1b[2K${this.#label} ${progressBar(done, total)}`);
  }

  /** Wipes the line. */
  end(): void {
    if (this.#drawnAtMs > 0) process.stderr.write('\r\x1b[2K');
  }
}
