// One run of a benchmark: its temporary directory, its lines, and what has to be undone at the end, whatever the end is.
// It knows no benchmark and no side.
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';

/** A line of output. `side` is who was measured, `ratio` that side against another. */
export type Figure = {
  readonly figure: string;
  readonly unit: string;
  readonly side?: string;
  readonly [more: string]: unknown;
};

export class Session {
  /** Directory for CPU profiles of the services that a benchmark starts. */
  readonly profiles: string | undefined;
  readonly #bench: string;
  readonly #undo: { readonly what: string; readonly work: () => Promise<void> | void }[] = [];
  #ending: Promise<void> | undefined;
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.say(`${signal}: cleaning up`);
    void this.end().finally(() => process.exit(signal === 'SIGINT' ? 130 : 143));
  };

  constructor(bench: string, profiles?: string) {
    this.#bench = bench;
    this.profiles = profiles;
    process.on('SIGINT', this.#onSignal);
    process.on('SIGTERM', this.#onSignal);
  }

  /** One JSON line on stdout. */
  tell(figure: Figure): void {
    process.stdout.write(`${JSON.stringify({ bench: this.#bench, ...figure })}\n`);
  }

  /** Progress for a person. */
  say(words: string): void {
    process.stderr.write(`bench ${this.#bench}: ${words}\n`);
  }

  /** What else used the machine bears on every figure. */
  tellMachine(): void {
    this.tell({ figure: 'machine', unit: 'load', cpus: availableParallelism(), value: Math.round((loadavg()[0] ?? 0) * 100) / 100 });
  }

  /** To be done at the end, the latest first; a failure is told and does not keep the others from being done. */
  undo(what: string, work: () => Promise<void> | void): void {
    this.#undo.push({ what, work });
  }

  /** A directory that goes at the end. Short, because socket paths are. */
  async directory(name: string): Promise<string> {
    const path = await mkdtemp(join(tmpdir(), `pouch-bench-${name}-`));
    this.undo(`remove ${path}`, () => rm(path, { recursive: true, force: true, maxRetries: 5 }));
    return path;
  }

  /** Runs one part and undoes at its end what was begun in it: the next part finds the machine as this one did. */
  async part(work: () => Promise<void>): Promise<void> {
    const before = this.#undo.length;
    try {
      await work();
    } finally {
      // With the session ending already, it is undone there.
      if (this.#ending === undefined) await this.#undoDownTo(before);
    }
  }

  async end(): Promise<void> {
    this.#ending ??= (async () => {
      await this.#undoDownTo(0);
      process.off('SIGINT', this.#onSignal);
      process.off('SIGTERM', this.#onSignal);
    })();
    await this.#ending;
  }

  async #undoDownTo(length: number): Promise<void> {
    while (this.#undo.length > length) {
      const { what, work } = this.#undo.pop()!;
      try {
        await work();
      } catch (error) {
        this.say(`cleaning up (${what}): ${String(error)}`);
        process.exitCode = 1;
      }
    }
  }
}
