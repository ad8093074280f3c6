// Reads a container's log across its rotated files, by position. It follows nothing by itself and writes nothing.
import { constants } from 'node:fs';
import { open, readdir, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeRecords, recordMaxBytes, type LogRecord } from '@pouch/native';

const readBytes = 8 * recordMaxBytes;
const tailBytes = 2 * recordMaxBytes;

interface LogFile {
  readonly path: string;
  /** Position of its first record; null: it holds none. */
  readonly first: number | null;
}

/** Files of a log, oldest first. A missing directory is an empty log. */
async function logFiles(dir: string): Promise<LogFile[]> {
  const names = await readdir(dir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const numbers = names.map((name) => /^log\.(\d+)$/.exec(name)?.[1]).filter((number) => number !== undefined).map(Number);
  const files: LogFile[] = [];
  for (const number of numbers.toSorted((a, b) => b - a)) {
    const path = join(dir, `log.${number}`);
    const first = await withFile(path, async (file) => (await readAt(file, 0, recordMaxBytes)).records[0]?.position ?? null);
    if (first !== undefined) files.push({ path, first });
  }
  return files;
}

/** Undefined: the file has been rotated away meanwhile. */
async function withFile<T>(path: string, work: (file: FileHandle) => Promise<T>): Promise<T | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return await work(file);
  } finally {
    await file.close();
  }
}

async function readAt(file: FileHandle, offset: number, bytes: number): Promise<ReturnType<typeof decodeRecords>> {
  const buffer = Buffer.allocUnsafe(bytes);
  const { bytesRead } = await file.read(buffer, 0, bytes, offset);
  return decodeRecords(buffer.subarray(0, bytesRead));
}

/** Position at which the next record will stand. */
export async function endOfLog(dir: string): Promise<number> {
  for (const { path } of (await logFiles(dir)).toReversed()) {
    const end = await withFile(path, async (file) => {
      const { size } = await file.stat();
      return (await readAt(file, Math.max(0, size - tailBytes), tailBytes)).records.at(-1)?.nextPosition;
    });
    if (end !== undefined) return end;
  }
  return 0;
}

/** A file that is open for writing, too, is not rotated away by pouch-log before it has been read (log-file.c, `held`). */
const holding = constants.O_RDWR | constants.O_APPEND;
const modeOfLog = 0o600;
/** Before a gap counts as one. */
const openTries = 5;

/** Reads on from a position; records before what is still kept are skipped. Its owner calls `close`. */
export class LogCursor {
  readonly #dir: string;
  readonly #hold: boolean;
  #position: number;
  #file: FileHandle | null = null;
  #offset = 0;

  /** `hold`: nothing from here on is rotated away unread; the container waits for this reader, within pouch-log's patience. */
  constructor(dir: string, position = 0, { hold = false }: { readonly hold?: boolean } = {}) {
    this.#dir = dir;
    this.#position = position;
    this.#hold = hold;
  }

  /** Holds on to the log from now on, though there be nothing in it yet. */
  async open(): Promise<void> {
    if (this.#file === null) await this.#open();
  }

  /** Position of the next record to be read. */
  get position(): number {
    return this.#position;
  }

  /** The records that follow, in order; empty when there are none now. */
  async read(): Promise<LogRecord[]> {
    for (;;) {
      if (this.#file === null && !(await this.#open())) return [];
      const records = await this.#readFile();
      if (records.length > 0) return records;
      if (!(await this.#rotated())) return [];
      // Nothing is appended to a file once it has been rotated: what came before that is read now.
      const last = await this.#readFile();
      if (last.length > 0) return last;
      if (!(await this.#openNext())) return [];
      const next = await this.#readFile();
      if (next.length > 0) return next;
      if (!(await this.#rotated())) return [];
    }
  }

  /** The file that was read to its end is let go once the next one is held, and not before. */
  async #openNext(): Promise<boolean> {
    const [finished, offset] = [this.#file, this.#offset];
    this.#file = null;
    let opened = false;
    try {
      opened = await this.#open();
    } finally {
      if (!opened) {
        await this.close();
        [this.#file, this.#offset] = [finished, offset];
      }
    }
    if (opened) await finished?.close();
    return opened;
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = null;
    await file?.close();
  }

  async #readFile(): Promise<LogRecord[]> {
    const file = this.#file as FileHandle;
    for (;;) {
      const { records, consumedBytes } = await readAt(file, this.#offset, readBytes);
      this.#offset += consumedBytes;
      const news = records.filter((record) => record.position >= this.#position);
      const last = news.at(-1);
      if (last !== undefined) this.#position = last.nextPosition;
      if (news.length > 0 || consumedBytes === 0) return news;
    }
  }

  /** Opens the file in which the position stands, or the oldest one after it. */
  async #open(): Promise<boolean> {
    for (let tries = 1; ; tries++) {
      const opened = await this.#openOnce();
      if (opened === 'none') return false;
      // A rotation while it was looked for shows a gap where there is none.
      if (opened === 'there' || tries === openTries) return this.#file !== null;
      await this.close();
    }
  }

  async #openOnce(): Promise<'none' | 'there' | 'moved'> {
    const files = await logFiles(this.#dir);
    const filled = files.filter((file): file is LogFile & { first: number } => file.first !== null);
    const chosen = filled.findLast(({ first }) => first <= this.#position) ?? filled[0] ?? files.at(-1);
    if (chosen === undefined && !this.#hold) return 'none';
    try {
      // A log that is to be held before it begins is begun here: its writer could be ahead by whole files otherwise.
      if (chosen === undefined) this.#file = await open(join(this.#dir, 'log.0'), holding | constants.O_CREAT, modeOfLog);
      else this.#file = await open(chosen.path, this.#hold ? holding : constants.O_RDONLY);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'moved';
      throw error;
    }
    this.#offset = 0;
    // Positions within one file follow each other without a gap.
    const first = (await readAt(this.#file, 0, recordMaxBytes)).records[0]?.position;
    if (first !== undefined && first < this.#position) this.#offset = this.#position - first;
    const { size } = await this.#file.stat();
    if (this.#offset > size) this.#offset = 0;
    const other = chosen !== undefined && chosen.first !== null && first !== chosen.first;
    return other || (first !== undefined && first > this.#position) ? 'moved' : 'there';
  }

  /** Whether the file being read is no longer the newest one. */
  async #rotated(): Promise<boolean> {
    const file = this.#file as FileHandle;
    const [own, newest] = await Promise.all([file.stat(), stat(join(this.#dir, 'log.0')).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null; // between the two renames of a rotation, or the log was removed
      throw error;
    })]);
    return newest !== null && newest.ino !== own.ino;
  }
}

export interface Tail {
  readonly position: number;
  /** Lines from there on that are too many. */
  readonly skipLines: number;
}

/**
 * Where the last `lines` lines of the wanted records begin, read backwards from the end in windows, so that the tail of a large log
 * costs no more than what it shows. An unfinished line counts as one.
 */
export async function tailOf(dir: string, lines: number, wanted: (record: LogRecord) => boolean): Promise<Tail> {
  if (lines <= 0) return { position: await endOfLog(dir), skipLines: 0 };
  let seen = 0;
  const ended = new Set<string>();
  for (const { path, first } of (await logFiles(dir)).toReversed()) {
    if (first === null) continue;
    const position = await withFile(path, async (file) => {
      let end = (await file.stat()).size;
      while (end > 0) {
        const start = Math.max(0, end - readBytes);
        const { records, consumedBytes } = await readAt(file, start, end - start);
        for (const record of records.toReversed()) {
          if ((record.kind !== 'stdout' && record.kind !== 'stderr') || !wanted(record)) continue;
          if (!ended.has(record.kind)) {
            ended.add(record.kind);
            if (record.data.at(-1) !== 10) seen++;
          }
          for (let at = record.data.indexOf(10); at !== -1; at = record.data.indexOf(10, at + 1)) seen++;
          if (seen > lines) return record.position;
        }
        const [earliest, last] = [records[0], records.at(-1)];
        // Where the first whole record of this window begins, the window before it ends.
        end = earliest === undefined || last === undefined || start === 0 ? start : start + Math.max(0, consumedBytes - (last.nextPosition - earliest.position));
      }
      return undefined;
    });
    if (position !== undefined) return { position, skipLines: seen - lines };
  }
  return { position: 0, skipLines: 0 };
}
