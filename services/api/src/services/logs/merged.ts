// The output of several replicas as one stream of lines: what is there by its time, then what comes as it comes, of replicas that come and go. One line of each
// replica waits at most, so that a client that reads slowly slows the hosts down. Knows neither HTTP nor the projection.
import { messageOf } from '@pouch/process';
import type { LogsAsked } from '../../containers/log-query.ts';
import type { Hosts } from '../../deps.ts';
import { stampOf, type StampedLine } from './lines.ts';
import { ReplicaLog } from './replica-log.ts';

/** Replicas read at once for one stream; each is a pipe with a window of its own. */
export const maxReplicasRead = 256;

export interface Source {
  readonly containerId: string;
  /** E.g. `web.1.0123456789ab`. */
  readonly name: string;
  readonly hostId: string;
  /** It has been started: before that there is nothing to be read, only to be waited for. */
  readonly begun: boolean;
  /** Its host was lost: what is there is not asked for. */
  readonly lost: boolean;
}

/** What is to be read, as it is now. */
export interface Sources {
  /** Those that have written something, or may yet. */
  list(): readonly Source[];
  /** No further one can come. */
  over(): boolean;
  /** Resolves when either may have changed, or the signal is aborted; never rejects. */
  changed(signal: AbortSignal): Promise<void>;
}

/** Places for replicas that are read by all streams of this process. */
export class ReadingPlaces {
  #free: number;

  constructor(places: number) {
    this.#free = places;
  }

  take(): boolean {
    if (this.#free === 0) return false;
    this.#free -= 1;
    return true;
  }

  give(): void {
    this.#free += 1;
  }
}

export interface MergeDeps {
  readonly hosts: Pick<Hosts, 'open'>;
  readonly sources: Sources;
  readonly asked: LogsAsked;
  readonly places: ReadingPlaces;
  /** Resolves when there is room for more. */
  readonly write: (line: StampedLine, source: Source) => Promise<void>;
  readonly nowMs: () => number;
  /** Ms; resolves early when the signal is aborted. */
  readonly pause: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly signal: AbortSignal;
}

const firstRetryMs = 1_000;
const maxRetryMs = 15_000;
const unknownRetryMs = 100;
const maxUnknown = 20;

interface Reading {
  readonly source: Source;
  readonly log: ReplicaLog;
}

export class MergedLogs {
  readonly #deps: MergeDeps;
  readonly #readings = new Map<string, Reading>();
  /** Read to their end; forgotten when they are listed no more. */
  readonly #drained = new Set<string>();
  #saidFull = false;
  /** Resolved when one has been read to its end. */
  #ended = Promise.withResolvers<void>();
  /** The line that is being written: they go out one by one. */
  #writing: Promise<void> = Promise.resolve();

  constructor(deps: MergeDeps) {
    this.#deps = deps;
  }

  /** Until everything has been written; when following, until no further replica can come. Rejects when the client has gone. */
  async run(): Promise<void> {
    const { sources, asked, signal } = this.#deps;
    try {
      await this.#admit(sources.list(), true);
      await this.#past([...this.#readings.values()]);
      if (!asked.follow) return;
      for (const reading of this.#readings.values()) void this.#follow(reading);
      while (!signal.aborted && (await this.#round()));
      signal.throwIfAborted();
    } finally {
      for (const id of this.#readings.keys()) this.#end(id);
    }
  }

  /** Joins who has come and waits for the next change; false: everything has been read that there can be. */
  async #round(): Promise<boolean> {
    const { sources, signal } = this.#deps;
    const round = new AbortController();
    // Both are listened for before it is looked.
    this.#ended = Promise.withResolvers();
    const changed = sources.changed(AbortSignal.any([signal, round.signal]));
    try {
      const listed = sources.list();
      const ids = new Set(listed.map(({ containerId }) => containerId));
      for (const id of this.#drained) if (!ids.has(id)) this.#drained.delete(id);
      for (const reading of await this.#admit(listed)) void this.#follow(reading);
      if (sources.over() && this.#readings.size === 0) return false;
      await Promise.race([changed, this.#ended.promise]);
      return true;
    } finally {
      round.abort();
    }
  }

  /** Begins with those that are not read yet, as far as there is room. Answers with them. */
  async #admit(listed: readonly Source[], atFirst = false): Promise<Reading[]> {
    const { hosts, asked, places, signal } = this.#deps;
    const fresh = listed.filter(({ containerId }) => !this.#readings.has(containerId) && !this.#drained.has(containerId));
    const begun: Reading[] = [];
    for (const source of fresh) {
      const { containerId, hostId } = source;
      // The tail is of what was there when it was asked for; who comes later is wanted whole.
      const tail = atFirst && source.begun ? asked.tail : null;
      if (this.#readings.size >= maxReplicasRead || !places.take()) {
        if (!this.#saidFull) await this.#notice(source, `${fresh.length - begun.length} replicas cannot be read beside so many others; ask for them alone`);
        this.#saidFull = true;
        break;
      }
      const reading = { source, log: new ReplicaLog({ hosts, hostId, containerId, asked: { ...asked, tail }, signal }) };
      this.#readings.set(containerId, reading);
      begun.push(reading);
    }
    return begun;
  }

  #end(id: string): void {
    if (this.#readings.delete(id)) this.#deps.places.give();
    this.#ended.resolve();
  }

  /** What is there, the oldest line first. */
  async #past(readings: readonly Reading[]): Promise<void> {
    const { asked, signal } = this.#deps;
    const heads: { readonly line: StampedLine; readonly source: Source; readonly rest: AsyncGenerator<StampedLine> }[] = [];
    const advance = async (source: Source, rest: AsyncGenerator<StampedLine>): Promise<void> => {
      try {
        const next = await rest.next();
        if (next.done !== true) heads.push({ line: next.value, source, rest });
      } catch (error) {
        signal.throwIfAborted();
        // Else it is told by whoever follows it next.
        if (!asked.follow) await this.#cannotRead(source, error);
      }
    };
    try {
      await Promise.all(readings.filter(({ source }) => source.begun && !source.lost).map(({ source, log }) => advance(source, log.lines(false))));
      for (const { source } of readings) if (source.lost && !asked.follow) await this.#notice(source, `its output cannot be read: host ${source.hostId} was lost`);
      while (heads.length > 0) {
        let first = 0;
        for (const [at, { line }] of heads.entries()) if (line.stamp < (heads[first] as (typeof heads)[number]).line.stamp) first = at;
        const [{ line, source, rest }] = heads.splice(first, 1) as [(typeof heads)[number]];
        await this.#write(line, source);
        await advance(source, rest);
      }
    } finally {
      await Promise.allSettled(heads.map(async ({ rest }) => await rest.return(undefined)));
    }
  }

  /** Until it has ended; a host that cannot be reached is asked again, for as long as the replica is listed. Never rejects. */
  async #follow({ source, log }: Reading): Promise<void> {
    const { signal, sources, pause } = this.#deps;
    const { containerId } = source;
    let failures = 0;
    let unknown = 0;
    try {
      while (!signal.aborted) {
        try {
          for await (const line of log.lines(true)) {
            failures = unknown = 0;
            await this.#write(line, source);
          }
          return;
        } catch (error) {
          if (signal.aborted) return;
          // Gone with its container: nothing more is to be had.
          if (!sources.list().some((listed) => listed.containerId === containerId)) return;
          // A host that has read less of the log than we have will know the replica in a moment.
          if ((error as { code?: unknown }).code === 'not-found' && unknown++ < maxUnknown) {
            await pause(unknownRetryMs, signal);
            continue;
          }
          if (failures++ === 0) await this.#cannotRead(source, error, '; it is tried again');
          await pause(Math.min(maxRetryMs, firstRetryMs * 2 ** Math.min(failures - 1, 6)), signal);
        }
      }
    } catch {
      // The client has gone.
    } finally {
      this.#end(containerId);
      this.#drained.add(containerId);
    }
  }

  async #cannotRead(source: Source, error: unknown, further = ''): Promise<void> {
    await this.#notice(source, `its output cannot be read: ${messageOf(error)}${further}`);
  }

  /** In the place of the replica's lines. */
  async #notice(source: Source, text: string): Promise<void> {
    await this.#write({ stream: 'stderr', stamp: stampOf(this.#deps.nowMs()), data: Buffer.from(`pouch: ${source.name}: ${text}\n`) }, source);
  }

  async #write(line: StampedLine, source: Source): Promise<void> {
    const turn = this.#writing.then(async () => await this.#deps.write(line, source));
    this.#writing = turn.catch(() => undefined);
    await turn;
  }
}
