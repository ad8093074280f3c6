// Further processes in running containers: start, stdio, end. An exec goes on without its client and dies with its container; while
// the agent is down its output waits in the FIFOs, its end is told afterwards.
import { mkdir, rm } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { ContainerdError, isContainerdError, type TaskExit, type TaskProcess, type TaskStdio } from '@pouch/containerd';
import { execSubject, type HostPipes } from '@pouch/contracts';
import type { Container, ExecId } from '@pouch/domain';
import { messageOf, OperatingError } from '@pouch/process';
import { startFailure } from '../containers/failures.ts';
import { makeFifos } from '../containers/stdio.ts';
import type { StdioPaths } from '../containers/layout.ts';
import type { Rooms } from '../rooms.ts';
import { frame, write } from '../streams/frames.ts';
import { openFifoWriter, pumpInput } from '../streams/stdin.ts';
import { FifoReader } from './fifo-reader.ts';

type ExecParams = HostPipes['exec.start']['params'];
type ExecTrailer = HostPipes['exec.start']['trailer'];

const maxLiveExecs = 1_024;
/** Docker's: output of children that outlive the exec's process is not waited for longer. */
const drainMs = 2_000;
const drainLookMs = 100;
/** containerd may go away this often while one exec is started, and be away this long. */
const beginTries = 4;
const waitTries = 10;
const containerdReadyMs = 30_000;
/** Exit code of a process whose end nobody saw. */
const unseenExit = 255;

export class Execs {
  readonly #rooms: Rooms;
  readonly #live = new Set<string>();

  constructor(rooms: Rooms) {
    this.#rooms = rooms;
  }

  /** Starts an exec and carries its stdio until it has ended; the client's end (`signal`) does not end it. */
  async start(params: ExecParams, client: Duplex, signal: AbortSignal): Promise<ExecTrailer> {
    const { containerId, execId } = params;
    if (!/^[0-9a-f]{64}$/.test(execId)) throw new OperatingError('bad-parameter', 'an exec id has 64 lower-case hex digits');
    const container = this.#running(containerId);
    if (this.#live.size >= maxLiveExecs) throw new OperatingError('unavailable', `${maxLiveExecs} execs run on this host: no more are taken`);
    if (this.#startedBefore(execId)) throw new OperatingError('conflict', `exec ${execId} has been started already`);
    this.#live.add(execId);
    const live = new LiveExec(this.#rooms, params, container);
    try {
      await live.prepare();
    } catch (error) {
      this.#live.delete(execId);
      await live.dispose();
      throw error;
    }
    const ended = live.run(client, signal).finally(() => this.#live.delete(execId));
    if (!params.detach) return await ended;
    ended.catch((error: unknown) => this.#rooms.logger.error({ containerId, execId, err: error }, 'a detached exec failed'));
    return await Promise.race([live.started, ended]);
  }

  /** Takes up execs that an earlier life of the agent started: waits for their ends and tells them. */
  resume(): void {
    for (const { execId, containerId } of this.#rooms.store.execs()) {
      if (this.#live.has(execId)) continue;
      this.#live.add(execId);
      void this.#resume(containerId, execId).finally(() => this.#live.delete(execId));
    }
  }

  /** Also by an earlier life of the agent, and if it is over: what the log knows by now may not have come to every api yet. */
  #startedBefore(execId: string): boolean {
    return this.#live.has(execId) || this.#rooms.store.hasExec(execId);
  }

  async #resume(containerId: string, execId: string): Promise<void> {
    const { logger, layout } = this.#rooms;
    const paths = layout.execIo(containerId, execId);
    // Its output has no reader any more; it is read into nothing, so that the process does not stand still.
    const readers = await Promise.all([paths.stdout, paths.stderr].map((path) => FifoReader.open(path).catch(() => null)));
    for (const reader of readers) {
      reader?.socket.resume();
      reader?.release();
    }
    try {
      await removeUnstarted(this.#rooms, containerId, execId);
      await endOf(this.#rooms, containerId, execId);
      takeAway(this.#rooms, containerId, execId);
    } catch (error) {
      logger.warn({ containerId, execId, err: error }, 'the end of an exec could not be seen');
    } finally {
      for (const reader of readers) reader?.close();
      if (!this.#rooms.stopping.active) await rm(paths.dir, { recursive: true, force: true });
    }
  }

  #running(id: string): Container {
    const container = this.#rooms.book.local(id);
    if (container === null || container.status === 'removed') throw new OperatingError('not-found', `No such container: ${id}`);
    if (container.status === 'paused') throw new OperatingError('conflict', `Container ${container.name} is paused, unpause the container before exec`);
    if (container.status !== 'running') throw new OperatingError('not-running', `Container ${id} is not running`);
    return container;
  }
}

/** Nobody knows whether the process has run. */
class UnseenError extends OperatingError {
  constructor(message: string) {
    super('unavailable', message);
  }
}

function nullIfMissing(error: unknown): TaskProcess | null {
  if (isContainerdError(error, 'not-found')) return null;
  throw error;
}

/** Takes away an exec that was added but not started when the agent died: nobody will start it, and it would be waited for as long as its container runs. */
async function removeUnstarted({ containerd }: Rooms, containerId: string, execId: string): Promise<void> {
  try {
    const { status } = await containerd.tasks.get(containerId, { execId });
    if (status === 'CREATED') await containerd.tasks.deleteProcess(containerId, execId);
  } catch (error) {
    if (!isContainerdError(error)) throw error; // the wait that follows tells it
  }
}

/** Waits for the end of an exec and reports it. `waiting`: the wait for it, where it has begun. */
async function endOf(rooms: Rooms, containerId: string, execId: string, waiting?: Promise<TaskExit>): Promise<{ exitCode: number; told: Promise<number | null> }> {
  const { containerd, outbox, store, config } = rooms;
  let exitCode = unseenExit;
  let error: string | null = null;
  for (let tried = 1, wait = waiting; ; tried++) {
    try {
      ({ exitStatus: exitCode } = await (wait ?? containerd.tasks.wait(containerId, { execId })));
      break;
    } catch (cause) {
      // The agent ends, not the exec: its next life waits for it.
      if (rooms.stopping.active) throw cause;
      if (isContainerdError(cause, 'not-found')) {
        if (rooms.tasks.get(containerId)?.status !== 'running') exitCode = 137; // it died with its container
        break;
      }
      if (tried === waitTries) {
        error = messageOf(cause);
        break;
      }
      wait = undefined; // containerd was restarted: it is asked again once it is there
      await containerd.waitForReady(containerdReadyMs).catch(() => { /* the next wait tells it */ });
    }
  }
  const told = outbox.add({ kind: 'exec', subject: execSubject(config.hostId, execId as ExecId), command: { type: 'ReportExecExited', exitCode, error } });
  store.endExec(execId);
  return { exitCode, told };
}

/** Takes an ended exec away in containerd. Its shim then cuts, after 2 s, what it has not passed on yet: to be done when the output has been read. */
function takeAway({ containerd, logger }: Rooms, containerId: string, execId: string): void {
  containerd.tasks.deleteProcess(containerId, execId).catch((cause: unknown) => {
    if (!isContainerdError(cause, 'not-found')) logger.warn({ containerId, execId, err: cause }, 'an ended exec could not be removed');
  });
}

/** One exec that this agent started. */
class LiveExec {
  readonly #rooms: Rooms;
  readonly #params: ExecParams;
  readonly #container: Container;
  readonly #paths: StdioPaths;
  readonly #started = Promise.withResolvers<ExecTrailer>();
  #stdout: FifoReader | null = null;
  #stderr: FifoReader | null = null;
  /** Writes that wait for the client. */
  #writing = 0;

  constructor(rooms: Rooms, params: ExecParams, container: Container) {
    this.#rooms = rooms;
    this.#params = params;
    this.#container = container;
    this.#paths = rooms.layout.execIo(container.id, params.execId);
  }

  /** Settles when the process runs, for a detached client. */
  get started(): Promise<ExecTrailer> {
    return this.#started.promise;
  }

  /** The FIFOs. */
  async prepare(): Promise<void> {
    const { spec } = this.#params;
    const { stdin, stdout, stderr, dir } = this.#paths;
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await makeFifos(this.#rooms.sys, [...(this.#hasInput() ? [stdin] : []), stdout, ...(spec.tty ? [] : [stderr])]);
    this.#stdout = await FifoReader.open(stdout);
    if (!spec.tty) this.#stderr = await FifoReader.open(stderr);
  }

  async run(client: Duplex, signal: AbortSignal): Promise<ExecTrailer> {
    const { containerId, execId, spec, created } = this.#params;
    const { logger, outbox, config } = this.#rooms;
    const subject = execSubject(config.hostId, execId as ExecId);
    const unstarted = new AbortController();
    try {
      this.#rooms.store.saveExec({ execId, containerId });
      if (created !== undefined) this.#rooms.execCreated({ status: 'created', id: execId as ExecId, hostId: config.hostId, containerId: this.#container.id, spec, createdAtMs: created.atMs }, created.seq);
      const { stdin, stdout, stderr } = this.#paths;
      const stdio = { ...(this.#hasInput() ? { stdin } : {}), stdout, ...(spec.tty ? { terminal: true } : { stderr }) };
      const { pid, waiting } = await this.#begin(stdio, unstarted.signal);
      const told = outbox.add({ kind: 'exec', subject, command: { type: 'ReportExecStarted', pid } });
      logger.info({ containerId, execId, pid }, 'exec started');
      void outbox.seqUnlessAway(told).then((seq) => this.#started.resolve({ exitCode: null, seq }));
      this.#stdout?.release();
      this.#stderr?.release();
      return await this.#carry(waiting, client, signal);
    } catch (error) {
      unstarted.abort();
      if (this.#rooms.stopping.active) throw error;
      return await this.#failed(error, subject, client, signal);
    } finally {
      // Nobody need wait for it; what a dying agent leaves goes with the container.
      this.dispose().catch((error: unknown) => logger.warn({ containerId, execId, err: error }, 'FIFOs of an exec could not be removed'));
    }
  }

  async dispose(): Promise<void> {
    this.#stdout?.close();
    this.#stderr?.close();
    if (!this.#rooms.stopping.active) await rm(this.#paths.dir, { recursive: true, force: true });
  }

  /**
   * Adds and starts the process, at most once, also where containerd goes away meanwhile: its shim tells afterwards how far it came. Where the
   * start itself was cut, a process that does not show may have run: UnseenError.
   */
  async #begin(stdio: TaskStdio, signal: AbortSignal): Promise<{ pid: number; waiting: Promise<TaskExit> }> {
    const { containerId, execId, spec, consoleSize } = this.#params;
    const { containerd, logger, stopping, specs } = this.#rooms;
    const { tasks } = containerd;
    let starting = false;
    for (let tried = 1; ; tried++) {
      try {
        const reached = tried === 1 ? null : await tasks.get(containerId, { execId }).catch(nullIfMissing);
        const runs = reached !== null && reached.status !== 'CREATED';
        if (starting && !runs) throw new UnseenError('containerd ended while the exec was started: whether it has run is not known');
        // A user that the container does not have is told as a command that it does not have: Docker's clients expect both in the stream.
        if (reached === null) await tasks.exec({ containerId, execId, process: await specs.process(this.#container, spec, consoleSize), ...stdio });
        // Before the start, so that the end of a short one is not asked for but comes.
        const waiting = tasks.wait(containerId, { execId, signal });
        waiting.catch(() => undefined); // looked at once it has started
        if (runs) return { pid: reached.pid, waiting };
        starting = true;
        return { pid: (await tasks.startExec(containerId, execId)).pid, waiting };
      } catch (error) {
        if (tried === beginTries || !isContainerdError(error, 'unavailable', 'deadline') || stopping.active) throw error;
        logger.warn({ containerId, execId, err: error }, 'containerd went away while an exec was started');
        await containerd.waitForReady(containerdReadyMs);
      }
    }
  }

  #hasInput(): boolean {
    return this.#params.spec.attach.stdin && !this.#params.detach;
  }

  async #carry(waiting: Promise<TaskExit>, client: Duplex, signal: AbortSignal): Promise<ExecTrailer> {
    const { containerId, execId, spec, consoleSize, detach } = this.#params;
    const { containerd, logger } = this.#rooms;
    const over = new AbortController();
    if (spec.tty && consoleSize !== null) {
      containerd.tasks.resizePty(containerId, { width: consoleSize.columns, height: consoleSize.rows }, { execId }).catch((error: unknown) => logger.debug({ execId, err: error }, 'resize failed'));
    }
    const input = this.#hasInput() ? this.#carryInput(client, AbortSignal.any([signal, over.signal])) : Promise.resolve();
    if (!this.#hasInput()) client.resume();
    const outputs = [
      this.#carryOutput(this.#stdout, 'stdout', spec.attach.stdout && !detach, client, signal),
      this.#carryOutput(this.#stderr, 'stderr', spec.attach.stderr && !detach, client, signal),
    ];
    const { exitCode, told } = await endOf(this.#rooms, containerId, execId, waiting);
    over.abort();
    await this.#drained(Promise.all(outputs));
    takeAway(this.#rooms, containerId, execId);
    await input;
    logger.info({ containerId, execId, exitCode }, 'exec exited');
    return { exitCode, seq: await this.#rooms.outbox.seqUnlessAway(told) };
  }

  /** Resolves when all output has been read, or children of the ended process have held it open for too long. Time that a slow client takes does not count. */
  async #drained(outputs: Promise<unknown>): Promise<void> {
    let done = false;
    const all = outputs.then(() => { done = true; });
    for (let waitedMs = 0; !done && waitedMs < drainMs; waitedMs += this.#writing === 0 ? drainLookMs : 0) {
      let timer: NodeJS.Timeout | undefined;
      await Promise.race([all, new Promise((resolve) => { timer = setTimeout(resolve, drainLookMs); })]);
      clearTimeout(timer);
    }
  }

  /** Copies to the client while it is there, into nothing afterwards, until the FIFO ends. */
  async #carryOutput(reader: FifoReader | null, stream: 'stdout' | 'stderr', wanted: boolean, client: Duplex, signal: AbortSignal): Promise<void> {
    if (reader === null) return;
    let listening = wanted;
    try {
      for await (const chunk of reader.socket as AsyncIterable<Buffer>) {
        if (!listening || signal.aborted) continue;
        try {
          this.#writing++;
          await write(client, frame(stream, chunk, this.#params.spec.tty), signal);
        } catch {
          listening = false; // the client has gone; the process has not
        } finally {
          this.#writing--;
        }
      }
    } catch (error) {
      // Closed by us while children of the ended process still held it open.
      this.#rooms.logger.debug({ execId: this.#params.execId, err: error }, 'output of an exec was cut');
    }
  }

  async #carryInput(client: Duplex, signal: AbortSignal): Promise<void> {
    const { containerId, execId, spec } = this.#params;
    try {
      const fifo = await openFifoWriter(this.#paths.stdin);
      await pumpInput(client, fifo, signal);
      if (!spec.tty && !this.#rooms.stopping.active) await this.#rooms.containerd.tasks.closeStdin(containerId, { execId });
    } catch (error) {
      if (!isContainerdError(error, 'not-found')) this.#rooms.logger.debug({ execId, err: error }, 'input of an exec ended');
    }
  }

  /** The process could not be started: Docker tells the client in the stream, and as an exit code. */
  async #failed(error: unknown, subject: string, client: Duplex, signal: AbortSignal): Promise<ExecTrailer> {
    const { execId, containerId, spec, detach } = this.#params;
    const { outbox, store, containerd, logger } = this.#rooms;
    const detail = error instanceof ContainerdError ? error.detail : messageOf(error);
    const failure = startFailure(error);
    const exitCode = error instanceof UnseenError ? unseenExit : failure.exitCode === 127 ? 127 : 126; // Docker's: an exec has no 128
    logger.warn({ containerId, execId, exitCode, err: error }, 'exec could not be started');
    store.endExec(execId);
    const told = outbox.add({ kind: 'exec', subject, command: { type: 'ReportExecExited', exitCode, error: detail } });
    containerd.tasks.deleteProcess(containerId, execId).catch(() => { /* most often it was never added */ });
    const seq = await this.#rooms.outbox.seqUnlessAway(told);
    const refusal = new OperatingError(error instanceof UnseenError || isContainerdError(error, 'unavailable') ? 'unavailable' : 'bad-parameter', detail);
    this.#started.reject(refusal);
    this.#started.promise.catch(() => undefined); // nobody waits for it unless detached
    if (detach) throw refusal;
    await write(client, frame('stderr', Buffer.from(`${detail}\r\n`), spec.tty), signal).catch(() => { /* the client has gone */ });
    return { exitCode, seq };
  }
}
