// What guests tell of their use of things, by `runv events`: one process for each machine that is watched, ended when nobody asks any more, so that
// a watched machine does not cost the start of a program every second. It reads and never changes a machine.
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { OperatingError } from '@pouch/process';
import type { RunvOptions } from './runv.ts';

/** Watched at once; of others each reading is a program of its own. */
const maxWatched = 64;
const intervalMs = 800;
/** Without a question a watch ends. */
const idleMs = 15_000;
const answerMs = 10_000;
const maxLineBytes = 256 * 1024;
const maxWords = 1_000;

interface Watch {
  readonly child: ChildProcess;
  /** The last reading; null before the first. */
  latest: unknown;
  /** Those who wait for the first one. */
  readonly first: PromiseWithResolvers<unknown>;
  idle: NodeJS.Timeout;
}

export class Readings {
  readonly #options: RunvOptions;
  readonly #watches = new Map<string, Watch>();

  constructor(options: RunvOptions) {
    this.#options = options;
  }

  /** `data` of runv's stats event, at most about a second old. Fails with `not-running` or runv's words. */
  async read(id: string): Promise<unknown> {
    const watch = this.#watches.get(id) ?? this.#watch(id, this.#watches.size >= maxWatched);
    watch.idle.refresh();
    if (watch.latest !== null) return watch.latest;
    const timer = setTimeout(() => watch.first.reject(new OperatingError('unavailable', `the machine of ${id} did not tell its figures within ${answerMs / 1_000} s`)), answerMs);
    try {
      return await watch.first.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends every watch. */
  close(): void {
    for (const { child } of this.#watches.values()) child.kill('SIGKILL');
  }

  #watch(id: string, once: boolean): Watch {
    const { path, root, searchPath } = this.#options;
    const child = spawn(path, ['--root', root, 'events', ...(once ? ['--stats'] : ['--interval', `${intervalMs}ms`]), id], { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: searchPath }, cwd: '/' });
    const watch: Watch = { child, latest: null, first: Promise.withResolvers<unknown>(), idle: setTimeout(() => child.kill('SIGKILL'), idleMs) };
    watch.idle.unref();
    watch.first.promise.catch(() => undefined); // whoever waits is told
    let words = '';
    child.stderr?.on('data', (piece: Buffer) => { words = (words + piece.toString('utf8')).slice(-maxWords); });
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      const data = line.length > maxLineBytes ? undefined : statsOf(line);
      if (data === undefined) return;
      watch.latest = data;
      watch.first.resolve(data);
    });
    const over = (reason: string): void => {
      clearTimeout(watch.idle);
      if (this.#watches.get(id) === watch) this.#watches.delete(id);
      watch.first.reject(new OperatingError(/not running|does not exist/.test(reason) || reason === '' ? 'not-running' : 'runv', reason === '' ? `Container ${id} is not running` : reason));
    };
    child.once('error', (error) => over(error.message));
    child.once('close', () => over(words.trim().split('\n').at(-1) ?? ''));
    if (!once) this.#watches.set(id, watch);
    return watch;
  }
}

function statsOf(line: string): unknown {
  try {
    const { type, data } = JSON.parse(line) as { type?: unknown; data?: unknown };
    return type === 'stats' && typeof data === 'object' && data !== null ? data : undefined;
  } catch {
    return undefined; // not ours to judge: the next line is a reading again
  }
}
