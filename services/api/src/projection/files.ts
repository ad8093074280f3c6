// Which file the projection is in. Each build has a file of its own, and one small file names the present one: a new build takes over by the
// renaming of that small file, so that a crash at any moment leaves the old one or the new one.
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { lockDirectory, openWriter, ProjectionFileError, removeFiles } from '@pouch/projections';

const pointerName = 'projection.json';
const fileName = (generation: number) => `projection-${generation}.db`;
const filePattern = /^projection-(\d{1,15})\.db(-wal|-shm|-journal)?$/;

export class ProjectionFiles {
  readonly #directory: string;
  readonly #lock: { release(): void };
  #latest: number;

  /** Takes the directory for this process until `close` or its end, however that comes. Throws DirectoryInUseError. */
  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.#lock = lockDirectory(directory);
    this.#latest = Math.max(0, ...this.#generations());
  }

  close(): void {
    this.#lock.release();
  }

  /** Path of the present file, with its tables made. A file that cannot be used is left out for a new one. */
  open(): string {
    const named = this.#pointed();
    if (named !== null) {
      const file = join(this.#directory, fileName(named));
      if (usable(file)) {
        this.#removeOthers(named);
        return file;
      }
    }
    const file = this.create();
    this.point(file);
    return file;
  }

  /** A new file beside the present one, with its tables made; it counts for nothing until `point`. */
  create(): string {
    this.#latest += 1;
    const file = join(this.#directory, fileName(this.#latest));
    removeFiles(file);
    openWriter(file).$client.close();
    return file;
  }

  /** Makes `file` the present one, durably. */
  point(file: string): void {
    const generation = Number(filePattern.exec(file.slice(this.#directory.length + 1))?.[1]);
    const path = join(this.#directory, pointerName);
    const descriptor = openSync(`${path}.new`, 'w', 0o600);
    try {
      writeSync(descriptor, JSON.stringify({ generation }));
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(`${path}.new`, path);
  }

  /** Removes a file that is not the present one. */
  remove(file: string): void {
    removeFiles(file);
  }

  #pointed(): number | null {
    try {
      const { generation } = JSON.parse(readFileSync(join(this.#directory, pointerName), 'utf8')) as { generation?: unknown };
      return typeof generation === 'number' && Number.isSafeInteger(generation) ? generation : null;
    } catch {
      // Absent at the first start; unreadable is treated alike: the projection can always be built again.
      return null;
    }
  }

  #generations(): number[] {
    return readdirSync(this.#directory).flatMap((name) => {
      const match = filePattern.exec(name);
      return match === null ? [] : [Number(match[1])];
    });
  }

  #removeOthers(generation: number): void {
    for (const other of new Set(this.#generations())) if (other !== generation) removeFiles(join(this.#directory, fileName(other)));
  }
}

/** Opening for writing also recovers what a kill left in the WAL. */
function usable(file: string): boolean {
  try {
    openWriter(file).$client.close();
    return true;
  } catch (error) {
    // Of another version or damaged: a new one is built from the log. Anything else (no space, no right) would meet the new one too.
    if (error instanceof ProjectionFileError) return false;
    throw error;
  }
}
