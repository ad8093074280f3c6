// Follows a container's log as it grows. A slow reader slows only itself, unless its cursor holds the log.
import { watch, type FSWatcher } from 'node:fs';
import type { LogRecord } from '@pouch/native';
import type { LogCursor } from './log-files.ts';

/** Looks again after this long even if the file system said nothing: events can be missed where the watch limit is reached. */
const lookMs = 500;

export interface FollowOptions {
  readonly dir: string;
  /** Where to begin; it is closed at the end. */
  readonly cursor: LogCursor;
  readonly signal: AbortSignal;
  /** Asked whenever there is nothing to read: true ends the following, once everything has been read. */
  readonly over: () => boolean;
}

/** The records that follow, in batches, until `over` or `signal`. */
export async function* follow({ dir, cursor, signal, over }: FollowOptions): AsyncGenerator<readonly LogRecord[], void, undefined> {
  const changes = new Changes(dir);
  try {
    while (!signal.aborted) {
      changes.reset();
      // Asked before reading: what was written up to the end is then read before it counts as the end.
      const last = over();
      const records = await cursor.read();
      if (records.length > 0) yield records;
      else if (last) return;
      else await changes.wait(signal);
    }
  } finally {
    changes.close();
    await cursor.close();
  }
}

/** Changes of a directory, as something to wait for. */
class Changes {
  readonly #dir: string;
  #watcher: FSWatcher | null = null;
  #changed = false;
  #resolve: (() => void) | null = null;

  constructor(dir: string) {
    this.#dir = dir;
  }

  reset(): void {
    this.#changed = false;
    // It may only come to be: its container has yet to start.
    this.#watcher ??= open(this.#dir, () => { this.#change(); });
  }

  async wait(signal: AbortSignal): Promise<void> {
    if (this.#changed || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        this.#resolve = null;
        resolve();
      };
      const timer = setTimeout(done, lookMs);
      signal.addEventListener('abort', done, { once: true });
      this.#resolve = done;
    });
  }

  close(): void {
    this.#watcher?.close();
  }

  #change(): void {
    this.#changed = true;
    this.#resolve?.();
  }
}

function open(dir: string, onChange: () => void): FSWatcher | null {
  try {
    const watcher = watch(dir, { persistent: false }, onChange);
    watcher.on('error', () => { watcher.close(); onChange(); });
    return watcher;
  } catch {
    return null; // the limit of watches is reached, or the directory is not there: looking now and then does as well
  }
}
