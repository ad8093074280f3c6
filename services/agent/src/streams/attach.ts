// `docker attach`: follows a container's output from now on and carries input to it. It registers before a start as well as during a run,
// belongs to one run, and ends with it. It reads the log, not the container, so nothing is lost while the agent is down.
import { setTimeout as delay } from 'node:timers/promises';
import { isContainerdError } from '@pouch/containerd';
import type { HostPipes } from '@pouch/contracts';
import type { Container } from '@pouch/domain';
import type { LogRecord } from '@pouch/native';
import type { ServerPipe } from '@pouch/pipes';
import { OperatingError } from '@pouch/process';
import type { Rooms } from '../rooms.ts';
import { follow } from './follow.ts';
import { frame, StreamClosedError, write } from './frames.ts';
import { endOfLog, LogCursor } from './log-files.ts';
import { openFifoWriter, pumpInput } from './stdin.ts';

type AttachParams = HostPipes['container.attach']['params'];

const writerGraceMs = 2_000;
const stdinOpenTries = 1_200;
const stdinOpenMs = 50;
const startLookMs = 5;

/** Returns when the run has ended and all of its output is written, or when the client has gone (`signal`). */
export async function attach(rooms: Rooms, params: AttachParams, client: ServerPipe, signal: AbortSignal): Promise<void> {
  const { containerId: id } = params;
  const container = rooms.book.local(id);
  if (container === null || container.status === 'removed') throw new OperatingError('not-found', `No such container: ${id}`);
  await rooms.layout.whileReading(id, () => attachTo(rooms, container, params, client, signal));
}

async function attachTo(rooms: Rooms, container: Container, params: AttachParams, client: ServerPipe, signal: AbortSignal): Promise<void> {
  const { id } = container;
  const dir = rooms.layout.log(id);
  // In this order: a start that begins in between is then one that the log shows.
  const current = currentRun(rooms, id);
  const cursor = new LogCursor(dir, params.logs ? 0 : await endOfLog(dir), { hold: params.stream });
  await cursor.open();
  const run = new AttachedRun(rooms, id, current);
  // From here on nothing is missed: whoever waits for that may now start the container.
  client.accept();
  const done = new AbortController();
  const both = AbortSignal.any([signal, done.signal]);
  const input = params.stdin && params.stream && container.spec.openStdin ? carryInput(rooms, container, run, client, both) : Promise.resolve();
  if (!(params.stdin && params.stream && container.spec.openStdin)) client.resume();
  try {
    await carryOutput(params, { dir, cursor, raw: container.spec.tty }, run, client, signal);
  } catch (error) {
    if (!(error instanceof StreamClosedError) && !signal.aborted) throw error;
  } finally {
    done.abort();
    await input;
    await cursor.close();
  }
}

async function carryOutput(params: AttachParams, log: { dir: string; cursor: LogCursor; raw: boolean }, run: AttachedRun, client: ServerPipe, signal: AbortSignal): Promise<void> {
  const over = (): boolean => !params.stream || run.over();
  for await (const records of follow({ dir: log.dir, cursor: log.cursor, signal, over })) {
    for (const record of records) {
      run.see(record);
      const wanted = (record.kind === 'stdout' && params.stdout) || (record.kind === 'stderr' && params.stderr);
      if (wanted && (await run.isUp(signal))) await write(client, frame(record.kind, record.data, log.raw), signal);
      if (params.stream && run.ended) return;
    }
  }
}

/** The start that is under way or runs now; null: none, so the next one is meant. */
function currentRun({ starts, tasks, book }: Rooms, id: string): string | null {
  const local = book.local(id);
  const running = local?.status === 'running' || local?.status === 'paused' ? local.run.startId : null;
  const task = tasks.get(id);
  // A task that has ended stays for a moment, and whoever attaches then means the next start: the end has been told already.
  return starts.of(id) ?? (task === null ? running : task.status === 'stopped' ? null : task.startId);
}

/** The one run that a client is attached to. */
class AttachedRun {
  readonly #rooms: Rooms;
  readonly #id: string;
  #startId: string | null;
  #quietSinceMs: number | null = null;
  /** Its beginning was read, and not yet whether it came up. */
  #unsure = false;
  #begun = Promise.withResolvers<string>();
  /** Its end stands in the log, after its last byte. */
  ended = false;

  constructor(rooms: Rooms, id: string, startId: string | null) {
    this.#rooms = rooms;
    this.#id = id;
    this.#startId = startId;
    if (startId !== null) this.#begun.resolve(startId);
  }

  /** The start's id, once there is a start. */
  get begun(): Promise<string> {
    return this.#begun.promise;
  }

  see(record: LogRecord): void {
    this.#quietSinceMs = null;
    if (record.kind === 'start' && this.#startId === null) {
      this.#startId = record.startId;
      this.#begun.resolve(record.startId);
    }
    if (record.kind === 'start' && record.startId === this.#startId) this.#unsure = true;
    if (record.kind === 'end' && record.startId === this.#startId) this.ended = true;
  }

  /**
   * Whether what follows the run's beginning is the container's output: a runtime that cannot start a container writes its own complaint
   * there, which is told to whoever asked for the start. Waits while the start is under way.
   */
  async isUp(signal: AbortSignal): Promise<boolean> {
    const { starts, tasks, book } = this.#rooms;
    for (; this.#unsure && !signal.aborted; await delay(startLookMs)) {
      const task = tasks.get(this.#id);
      if (task?.startId === this.#startId && task.status !== 'created') this.#unsure = false;
      else if (starts.of(this.#id) !== this.#startId) {
        const local = book.local(this.#id);
        const exit = local !== null && 'lastExit' in local && local.lastExit?.startId === this.#startId ? local.lastExit : null;
        // A start that failed took no time.
        if (exit !== null && exit.error !== null && exit.startedAtMs === exit.finishedAtMs) return false;
        this.#unsure = false;
      }
    }
    return true;
  }

  /** Asked when there is nothing to read: whether nothing can come any more, though no end stands in the log (its writer was killed, or it never started). */
  over(): boolean {
    const { starts, tasks, book, now } = this.#rooms;
    const local = book.local(this.#id);
    if (this.#startId === null) return local === null || local.status === 'removed';
    const present = starts.of(this.#id) === this.#startId || tasks.get(this.#id)?.startId === this.#startId;
    if (present) {
      this.#quietSinceMs = null;
      return false;
    }
    this.#quietSinceMs ??= now();
    return now() - this.#quietSinceMs >= writerGraceMs;
  }
}

async function carryInput(rooms: Rooms, container: Container, run: AttachedRun, client: ServerPipe, signal: AbortSignal): Promise<void> {
  const { id, spec } = container;
  const gone = new Promise<null>((resolve) => { signal.addEventListener('abort', () => resolve(null), { once: true }); });
  const startId = await Promise.race([run.begun, gone]);
  if (startId === null || signal.aborted) return;
  try {
    const { stdin } = rooms.layout.startIo(id, startId);
    const fifo = await openFifoWriter(stdin);
    // A FIFO that nobody has open forgets what is in it, and the shim may not have come yet.
    const held = await openFifoWriter(stdin);
    try {
      const ended = await pumpInput(client, fifo, signal);
      const up = await hasComeUp(rooms, id, startId);
      // Docker's rule: the first client's end of input is the container's where it asked for that; a terminal has no end.
      const hungUp = !ended && !run.ended && !rooms.stopping.active;
      if (up && (ended || hungUp) && spec.stdinOnce && !spec.tty) await closeStdin(rooms, id);
    } finally {
      held.destroy();
    }
  } catch (error) {
    rooms.logger.warn({ containerId: id, err: error }, 'input to a container ended');
  }
}

/** Input can end before its container has come up: whether that has, once it is decided. */
async function hasComeUp({ tasks, starts, stopping }: Rooms, id: string, startId: string): Promise<boolean> {
  for (let tried = 0; tried < stdinOpenTries; tried++) {
    const task = tasks.get(id);
    if (task?.startId === startId && task.status !== 'created') return true;
    if ((task?.startId !== startId && starts.of(id) !== startId) || stopping.active) return false;
    await delay(stdinOpenMs);
  }
  return false;
}

async function closeStdin({ containerd }: Rooms, id: string): Promise<void> {
  try {
    await containerd.tasks.closeStdin(id);
  } catch (error) {
    if (!isContainerdError(error, 'not-found')) throw error; // it has ended by itself
  }
}
