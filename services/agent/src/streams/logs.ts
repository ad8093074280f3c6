// `docker logs`: what a container wrote, from its log files, and what it goes on to write. It reads only.
import type { HostPipes } from '@pouch/contracts';
import type { Container } from '@pouch/domain';
import type { LogRecord } from '@pouch/native';
import type { ServerPipe } from '@pouch/pipes';
import { OperatingError } from '@pouch/process';
import type { Rooms } from '../rooms.ts';
import { follow } from './follow.ts';
import { frame, write } from './frames.ts';
import { LineAssembler, timestamp, type Line } from './lines.ts';
import { LogCursor, tailOf } from './log-files.ts';

type LogsParams = HostPipes['container.logs']['params'];

/** Writes the log to `output` as docker's clients expect it; returns when it has ended, or with `follow` when the container's run has. */
export async function logs(rooms: Rooms, params: LogsParams, output: ServerPipe, signal: AbortSignal): Promise<void> {
  const { containerId: id } = params;
  const container = rooms.book.local(id);
  if (container === null || container.status === 'removed') throw new OperatingError('not-found', `No such container: ${id}`);
  if (container.spec.log.driver === 'none') throw new OperatingError('unsupported', 'configured logging driver does not support reading');
  await rooms.layout.whileReading(id, () => writeLogs(rooms, container, params, output, signal));
}

async function writeLogs(rooms: Rooms, container: Container, params: LogsParams, output: ServerPipe, signal: AbortSignal): Promise<void> {
  const { id } = container;
  const dir = rooms.layout.log(id);
  const wants = (record: LogRecord): boolean => (record.kind === 'stdout' && params.stdout) || (record.kind === 'stderr' && params.stderr);
  const tail = params.tail === null ? { position: 0, skipLines: 0 } : await tailOf(dir, params.tail, wants);
  const writer = new LogWriter(params, { raw: container.spec.tty && params.framed !== true, byLine: params.tail !== null, skipLines: tail.skipLines, wants }, output, signal);
  const runs = new OpenRun(rooms, id);
  output.accept();
  output.resume();
  const past = new LogCursor(dir, tail.position);
  let next = tail.position;
  try {
    for (let records = await past.read(); records.length > 0; records = await past.read()) {
      for (const record of records) {
        runs.see(record);
        if (!(await writer.write(record))) return;
      }
    }
    next = past.position;
  } finally {
    await past.close();
  }
  if (!params.follow) return writer.end();
  await writer.goLive();
  for await (const records of follow({ dir, cursor: new LogCursor(dir, next), signal, over: () => runs.over() })) {
    for (const record of records) {
      runs.see(record);
      if (!(await writer.write(record))) return;
    }
  }
  await writer.end();
}

/** Time for a log writer to write the last bytes after its container has gone. One that was killed never says that it has. */
const writerGraceMs = 2_000;

/** Whether more output is to be expected: the container runs, starts, or its last output is still being written. */
class OpenRun {
  readonly #rooms: Rooms;
  readonly #id: string;
  #open = false;
  #quietSinceMs: number | null = null;

  constructor(rooms: Rooms, id: string) {
    this.#rooms = rooms;
    this.#id = id;
  }

  see(record: LogRecord): void {
    if (record.kind === 'start') this.#open = true;
    if (record.kind === 'end') this.#open = false;
    this.#quietSinceMs = null;
  }

  over(): boolean {
    const { tasks, starts, book, now } = this.#rooms;
    const { status, requests = [] } = book.local(this.#id) ?? {};
    const isToStart = (status === 'assigned' || status === 'created') && requests.some(({ action }) => action.kind === 'start');
    if (tasks.get(this.#id) !== null || starts.of(this.#id) !== undefined || isToStart || status === 'running' || status === 'paused' || status === 'restarting') {
      this.#quietSinceMs = null;
      return false;
    }
    this.#quietSinceMs ??= now();
    return !this.#open || now() - this.#quietSinceMs >= writerGraceMs;
  }
}

interface Shape {
  readonly raw: boolean;
  /** Lines have to be told apart, at least in what is there already. */
  readonly byLine: boolean;
  readonly skipLines: number;
  readonly wants: (record: LogRecord) => boolean;
}

class LogWriter {
  readonly #timestamps: boolean;
  readonly #shape: Shape;
  readonly #output: ServerPipe;
  readonly #signal: AbortSignal;
  readonly #lines = new LineAssembler();
  readonly #sinceNs: bigint | null;
  readonly #untilNs: bigint | null;
  #skipLines: number;
  /** Chunks go out as they are: nothing has to be known about lines. */
  #plain: boolean;

  constructor({ timestamps, sinceNs, untilNs }: LogsParams, shape: Shape, output: ServerPipe, signal: AbortSignal) {
    this.#timestamps = timestamps;
    this.#sinceNs = nanoseconds('since', sinceNs);
    this.#untilNs = nanoseconds('until', untilNs);
    this.#shape = shape;
    this.#output = output;
    this.#signal = signal;
    this.#skipLines = shape.skipLines;
    this.#plain = !shape.byLine && this.#linesDoNotMatter();
  }

  /** False: everything after it is too late to be wanted. */
  async write(record: LogRecord): Promise<boolean> {
    if (record.kind !== 'stdout' && record.kind !== 'stderr') {
      // One run's unfinished line is not continued by the next.
      if (record.kind === 'end') await this.end();
      return true;
    }
    if (!this.#shape.wants(record)) return true;
    if (this.#plain) {
      await write(this.#output, frame(record.kind, record.data, this.#shape.raw), this.#signal);
      return true;
    }
    for (const line of this.#lines.push(record)) if (!(await this.#line(line))) return false;
    return true;
  }

  /** The past has been written; from here on chunks go out as they come, where lines do not matter. */
  async goLive(): Promise<void> {
    if (this.#plain || !this.#linesDoNotMatter()) return;
    await this.end();
    this.#skipLines = 0;
    this.#plain = true;
  }

  async end(): Promise<void> {
    for (const line of this.#lines.end()) await this.#line(line);
  }

  #linesDoNotMatter(): boolean {
    return !this.#timestamps && this.#sinceNs === null && this.#untilNs === null;
  }

  async #line({ stream, timeNs, data }: Line): Promise<boolean> {
    if (this.#skipLines > 0) {
      if (data.at(-1) === 10) this.#skipLines--;
      return true;
    }
    if (this.#untilNs !== null && timeNs > this.#untilNs) return false;
    if (this.#sinceNs !== null && timeNs < this.#sinceNs) return true;
    const stamped = this.#timestamps ? Buffer.concat([Buffer.from(`${timestamp(timeNs)} `), data]) : data;
    await write(this.#output, frame(stream, stamped, this.#shape.raw), this.#signal);
    return true;
  }
}

function nanoseconds(name: string, text: string | null): bigint | null {
  if (text === null) return null;
  if (!/^\d{1,20}$/.test(text)) throw new OperatingError('bad-parameter', `${name}: ${JSON.stringify(text)} is not a number of nanoseconds`);
  return BigInt(text);
}
