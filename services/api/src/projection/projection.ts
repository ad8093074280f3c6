// The projection as the rest of the api sees it: questions to it, its sequence, and waiting for it to show something. The writing is done by
// a thread of its own, which is started again when it dies; here nothing is ever written. See ARCHITECTURE.md, "Projections".
import type { ProjectionHealth, RebuildProgress } from '@pouch/contracts';
import type { AggregateKind, Container, Placement } from '@pouch/domain';
import { messageOf, type LogLevel, type Logger } from '@pouch/process';
import { ProjectionReader, type HistoryReader, type PresentReader, type Retention } from '@pouch/projections';
import { ProjectionFiles } from './files.ts';
import type { FromProjector, LogAddress } from './protocol.ts';
import { Rebuild, RebuildRunningError, type Build } from './rebuild.ts';
import { Remembered } from './remembered.ts';
import { ProjectorThread } from './thread.ts';
import { HistoryTail } from './tail.ts';
import { ProjectionBehindError, Waiters, WaitTimeoutError, type ContainerWaitOptions, type WaitOptions } from './waiters.ts';

export interface ProjectionOptions {
  /** Directory of its files; made when it is not there. One process only may use it. */
  readonly directory: string;
  readonly log: LogAddress;
  readonly retention: Retention;
  readonly logger: Logger;
  /** Pause before a dead projector thread is started again, doubled at each further death up to 5 s. Default 100 ms. */
  readonly restartDelayMs?: number;
}

export interface Committed {
  /** The projection shows everything up to here. */
  readonly seq: number;
  /** Subjects that changed; null: any may have. */
  readonly subjects: readonly string[] | null;
  /** What containers and placements among them came to, by the same index; null of others. */
  readonly statuses: readonly (string | null)[];
}

/** What was read last for those who wait. */
interface WaitedFor {
  readonly id: string;
  readonly seq: number;
  readonly reader: ProjectionReader;
  readonly container: Container | null;
  readonly placement: Placement | null;
}

const seqKey = 'seq';
const containerKey = (id: string) => `container ${id}`;
/** Deaths in a row without a batch in between, after which the file itself is doubted and built anew. */
const deathsUntilNewFile = 6;

export class Projection {
  readonly tail: HistoryTail;
  readonly #options: ProjectionOptions;
  readonly #files: ProjectionFiles;
  readonly #waiters = new Waiters();
  readonly #remembered = new Remembered();
  readonly #listeners = new Set<(committed: Committed) => void>();
  #reader: ProjectionReader;
  #build: Build;
  #rebuilding: Rebuild | null = null;
  #state: ProjectionHealth['state'] = 'starting';
  #logSeq: number | null = null;
  #error: string | null = null;
  #restarts = 0;
  #deaths = 0;
  #malformed = 0;
  #unknown = 0;
  #waitedFor: WaitedFor | null = null;
  #stopped = false;
  /** The file was begun anew and has not come to the log's end: that it does not know a container says nothing. */
  #anew = false;
  #restartTimer: NodeJS.Timeout | undefined;

  /** Opens what is there and starts to follow the log. Does not wait for the log: see `whenCurrent`. */
  static open(options: ProjectionOptions): Projection {
    return new Projection(options);
  }

  private constructor(options: ProjectionOptions) {
    this.#options = options;
    this.#files = new ProjectionFiles(options.directory);
    const file = this.#files.open();
    this.#reader = ProjectionReader.open(file);
    const checkpoint = this.#reader.checkpoint();
    this.#malformed = checkpoint?.malformed ?? 0;
    this.#unknown = checkpoint?.unknown ?? 0;
    this.tail = new HistoryTail(() => this.history, () => this.seq);
    this.#build = this.#startBuild(file, checkpoint?.seq ?? 0);
  }

  /** What is there now. Not to be kept: ask for it each time, a rebuild replaces it. */
  get present(): PresentReader {
    return this.#reader.present;
  }

  /** What happened. Not to be kept either. */
  get history(): HistoryReader {
    return this.#reader.history;
  }

  /** For what nearly every request asks: `read` is called once until a message of `kind` became visible. Its answer must follow from that kind only, and is not to be changed. */
  remembered<T>(kind: AggregateKind, question: string, read: (present: PresentReader) => T): T {
    return this.#remembered.answer(kind, question, () => read(this.present));
  }

  /** The log's sequence that the answers are of. */
  get seq(): number {
    return this.#build.seq;
  }

  /** Waiters at this moment. */
  get waiting(): number {
    return this.#waiters.count;
  }

  /** Calls `listener` after each batch that became visible; the answer ends that. Listeners must be quick and must not throw. */
  onCommitted(listener: (committed: Committed) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Until the projection shows `seq`. Rejects with ProjectionBehindError after the time. */
  async waitForSeq(seq: number, options: WaitOptions): Promise<void> {
    if (this.seq >= seq) return;
    await this.#waiters.wait(seqKey, () => (this.seq >= seq ? true : undefined), options, () =>
      new ProjectionBehindError(`the projection shows the log up to ${this.seq}, ${seq} was asked for${this.#error === null ? '' : `: ${this.#error}`}`),
    );
  }

  /**
   * Until `look` answers other than undefined; it is asked now and whenever a message of the container or its placement became visible, but for what the options leave out.
   * It sees the last state, `removed` included; null when the history knows no such container (any more). The placement is read only where no
   * container lives, else it is null. What `look` throws rejects the wait.
   * Rejects with WaitTimeoutError after the time.
   */
  async waitForContainer<T>(containerId: string, look: (container: Container | null, placement: Placement | null) => T | undefined, options: ContainerWaitOptions<T>): Promise<T> {
    const { afterSeq = 0, onStatus = () => 'look' } = options;
    const shows = (): boolean => !this.#anew && this.seq >= afterSeq;
    return await this.#waiters.wait(containerKey(containerId), () => {
      if (!shows()) return undefined;
      const { container, placement } = this.#stateOf(containerId);
      return look(container, placement);
    }, { ...options, onStatus: (status) => (shows() ? onStatus(status) : 'sleep') }, () =>
      new WaitTimeoutError(`container ${containerId.slice(0, 12)} is not there after ${options.timeoutMs} ms`),
    );
  }

  /** Until the projection follows the log live. Rejects with ProjectionBehindError after the time, e.g. when the log is away: what is there can be served. */
  async whenCurrent(options: WaitOptions): Promise<void> {
    await this.#waiters.wait(seqKey, () => (this.#state === 'following' ? true : undefined), options, () => new ProjectionBehindError(this.#error ?? `the projection is ${this.#state}`));
  }

  health(): ProjectionHealth {
    const rebuilding = this.#rebuilding;
    return {
      state: this.#state,
      seq: this.seq,
      logSeq: this.#logSeq,
      behind: Math.max(0, (this.#logSeq ?? 0) - this.seq),
      malformed: this.#malformed,
      unknown: this.#unknown,
      restarts: this.#restarts,
      rebuild: rebuilding === null ? null : { seq: rebuilding.build.seq, targetSeq: rebuilding.targetSeq, startedAtMs: rebuilding.startedAtMs },
      error: this.#error,
    };
  }

  /**
   * Builds the projection again from the log, beside the old one, which serves until the new one has come as far. Yields how far it is, a few
   * times a second; the last is `done` or `failed`. Ends early, and leaves the old one, when the reader stops reading. Throws RebuildRunningError.
   */
  async *rebuild(): AsyncGenerator<RebuildProgress> {
    if (this.#rebuilding !== null) throw new RebuildRunningError();
    const rebuild = new Rebuild(this.#startBuild(this.#files.create(), 0, true), Math.max(this.#logSeq ?? 0, this.seq));
    this.#rebuilding = rebuild;
    try {
      yield* rebuild.progress();
    } finally {
      if (this.#rebuilding === rebuild) this.#giveUpRebuild('whoever asked for it has gone');
    }
  }

  /** Ends the threads; what waits is rejected. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    clearTimeout(this.#restartTimer);
    this.#giveUpRebuild('the api is closing');
    this.#waiters.failAll(new ProjectionBehindError('the api is closing'));
    this.tail.reset();
    await this.#build.thread.stop();
    this.#reader.close();
    this.#files.close();
  }

  /** Those who wait for one container are woken together: it is read once for all of them. */
  #stateOf(id: string): WaitedFor {
    const { seq } = this;
    const reader = this.#reader;
    if (this.#waitedFor?.id !== id || this.#waitedFor.seq !== seq || this.#waitedFor.reader !== reader) {
      const container = (this.present.container(id) ?? this.history.lastContainer(id))?.state ?? null;
      const lives = container !== null && container.status !== 'removed';
      this.#waitedFor = { id, seq, reader, container, placement: lives ? null : (this.present.placement(id)?.state ?? null) };
    }
    return this.#waitedFor;
  }

  /** `aside`: another build serves until this one has caught up. */
  #startBuild(file: string, seq: number, aside = false): Build {
    const build: Build = { file, seq, thread: this.#startThread(file, () => build, aside) };
    return build;
  }

  #startThread(file: string, build: () => Build, aside = false): ProjectorThread {
    const { log, retention, logger } = this.#options;
    return new ProjectorThread({ file, aside, log, retention, logLevel: logger.level as LogLevel }, {
      onMessage: (message) => this.#heard(build(), message),
      onDeath: (error) => this.#died(build(), error),
    });
  }

  #heard(build: Build, message: FromProjector): void {
    if (this.#stopped) return;
    if (build === this.#rebuilding?.build) return this.#heardOfRebuild(this.#rebuilding, message);
    if (build !== this.#build) return;
    switch (message.type) {
      case 'committed':
        this.#deaths = 0;
        build.seq = message.seq;
        this.#logSeq = Math.max(this.#logSeq ?? 0, message.seq);
        this.#tell(message);
        break;
      case 'following':
      case 'catching-up':
        this.#error = null;
        this.#logSeq = Math.max(message.logSeq, build.seq);
        this.#setState(message.type);
        break;
      case 'log-unavailable':
        this.#error = message.error;
        this.#setState('log-unavailable');
        break;
      case 'counted':
        this.#malformed = message.malformed;
        this.#unknown = message.unknown;
        break;
      case 'malformed':
        this.#options.logger.warn({ seq: message.seq, subject: message.subject, reason: message.reason }, 'a message of the log cannot be read');
        break;
      case 'pruned':
        this.#options.logger.debug({ deleted: message.deleted }, 'history pruned');
        break;
      case 'unusable':
        this.#options.logger.warn({ reason: message.reason }, 'projection does not fit the log and is built again');
        this.#beginAnew();
        break;
    }
  }

  #setState(state: ProjectionHealth['state']): void {
    if (this.#state === state) return;
    this.#options.logger.info({ from: this.#state, to: state, seq: this.seq, logSeq: this.#logSeq, error: this.#error }, 'projection state');
    this.#state = state;
    if (state !== 'following') return;
    this.#waiters.wake(seqKey);
    if (!this.#anew) return;
    this.#anew = false;
    this.#waiters.wakeAll();
  }

  #tell(committed: Committed): void {
    this.#remembered.changed(committed.subjects);
    this.#waiters.wake(seqKey);
    // What all who wait read of a batch is one reading: SQLite forgets its pages at each commit of the projector between two of them.
    if (this.#waiters.count > 0) this.#reader.atOneInstant(() => this.#wakeConcerned(committed));
    this.tail.committed();
    for (const listener of this.#listeners) listener(committed);
  }

  #wakeConcerned({ subjects, statuses }: Committed): void {
    if (subjects === null) return this.#waiters.wakeAll();
    for (const [at, subject] of subjects.entries()) {
      // The container's own subject or its placement's.
      if (subject.startsWith('evt.container.') || subject.startsWith('evt.placement.')) this.#waiters.wake(containerKey(subject.slice(subject.lastIndexOf('.') + 1)), statuses[at]);
    }
  }

  #died(build: Build, error: string): void {
    if (this.#stopped) return;
    if (build === this.#rebuilding?.build) return this.#giveUpRebuild(`its thread ended: ${error}`);
    if (build !== this.#build) return;
    this.#deaths += 1;
    this.#restarts += 1;
    this.#error = `the projector's thread ended: ${error}`;
    this.#setState('failed');
    const delayMs = Math.min(5_000, (this.#options.restartDelayMs ?? 100) * 2 ** (this.#deaths - 1));
    this.#options.logger.error({ error, deaths: this.#deaths, delayMs }, 'projector thread ended and is started again');
    this.#restartTimer = setTimeout(() => {
      if (this.#deaths >= deathsUntilNewFile) {
        this.#deaths = 0;
        return this.#beginAnew();
      }
      build.thread = this.#startThread(build.file, () => build);
    }, delayMs);
  }

  /** The present file is of no use: a new, empty one takes its place at once, and fills. */
  #beginAnew(): void {
    const old = this.#build;
    const made = this.#attempt(() => {
      const file = this.#files.create();
      this.#files.point(file);
      return { file, reader: ProjectionReader.open(file) };
    });
    // E.g. no space left: counts as a further death of the thread, so it is tried again later.
    if ('error' in made) return this.#died(old, made.error);
    const { file, reader } = made;
    this.#reader.close();
    this.#reader = reader;
    this.#remembered.changed(null);
    this.#build = this.#startBuild(file, 0);
    this.#anew = true;
    this.#setState('catching-up');
    this.tail.reset();
    void old.thread.stop().then(() => this.#files.remove(old.file));
  }

  /** Work on files that may fail for reasons outside; the reason is answered, in words. */
  #attempt<T extends object>(work: () => T): T | { readonly error: string } {
    try {
      return work();
    } catch (error) {
      return { error: messageOf(error) };
    }
  }

  #heardOfRebuild(rebuild: Rebuild, message: FromProjector): void {
    const { build } = rebuild;
    const failure = rebuild.heard(message);
    if (failure !== null) return this.#giveUpRebuild(failure);
    if (message.type === 'counted') {
      this.#malformed = message.malformed;
      this.#unknown = message.unknown;
    }
    if (rebuild.following && build.seq >= this.seq) this.#swap(rebuild);
  }

  /** The new build has come as far as the old one: it takes over. */
  #swap(rebuild: Rebuild): void {
    const { build } = rebuild;
    const old = this.#build;
    const made = this.#attempt(() => {
      const opened = ProjectionReader.open(build.file);
      this.#files.point(build.file);
      return { reader: opened };
    });
    if ('error' in made) return this.#giveUpRebuild(made.error);
    const { reader } = made;
    this.#reader.close();
    this.#reader = reader;
    this.#build = build;
    this.#rebuilding = null;
    this.#error = null;
    this.#setState('following');
    this.#tell({ seq: build.seq, subjects: null, statuses: [] });
    this.#options.logger.info({ seq: build.seq }, 'projection rebuilt');
    rebuild.done();
    void old.thread.stop().then(() => this.#files.remove(old.file));
  }

  #giveUpRebuild(reason: string): void {
    const rebuild = this.#rebuilding;
    if (rebuild === null) return;
    this.#rebuilding = null;
    rebuild.failed(reason);
    void rebuild.build.thread.stop().then(() => this.#files.remove(rebuild.build.file));
  }
}
