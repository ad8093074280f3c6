// The output of one replica, read from its host as often as that is needed: what was there, what comes, what was missed while the host could not be
// reached. Each line is given once: it knows how far it has come. Writes nothing.
import type { Hosts } from '../../deps.ts';
import type { LogsAsked } from '../../containers/log-query.ts';
import { stampedLines, stampNs, type StampedLine } from './lines.ts';

const newline = 10;
/** A host that does not take the pipe within this time cannot be reached. */
const openTimeoutMs = 5_000;

/** The last line that was given of a stream; `count`: lines of that very time, for what is written at once has one time. */
interface Position {
  readonly stamp: string;
  readonly count: number;
}

export interface ReplicaLogDeps {
  readonly hosts: Pick<Hosts, 'open'>;
  readonly hostId: string;
  readonly containerId: string;
  readonly asked: LogsAsked;
  readonly signal: AbortSignal;
}

export class ReplicaLog {
  readonly #deps: ReplicaLogDeps;
  readonly #positions = new Map<'stdout' | 'stderr', Position>();
  /** It has been read to an end: what came later is wanted whole. */
  #begun = false;

  constructor(deps: ReplicaLogDeps) {
    this.#deps = deps;
  }

  /**
   * The lines not given yet. `follow`: until the replica's run ends; else what is there, but for unfinished lines if they are followed after. Rejects with what the host refuses it with, HostUnreachable or PipeBroken, and can be asked again.
   */
  async *lines(follow: boolean): AsyncGenerator<StampedLine, void, undefined> {
    const { hosts, hostId, containerId, asked, signal } = this.#deps;
    const reached = this.#reached();
    const tail = this.#begun || reached !== null ? null : asked.tail;
    // The last line tells where it ends, also where none is wanted.
    const pipe = await hosts.open(hostId, 'container.logs', { ...asked, containerId, follow, timestamps: true, framed: true, tail: tail === 0 ? 1 : tail, sinceNs: reached ?? asked.sinceNs }, { signal, timeoutMs: openTimeoutMs });
    const already = new Map(this.#positions);
    const wanted = (line: StampedLine | undefined): line is StampedLine => line !== undefined && this.#isNew(line, already) && tail !== 0;
    const unfinished = new Map<'stdout' | 'stderr', StampedLine>();
    try {
      pipe.end();
      for await (const line of stampedLines(pipe)) {
        const before = unfinished.get(line.stream);
        unfinished.delete(line.stream);
        if (wanted(before)) yield before;
        if (line.data.at(-1) !== newline) unfinished.set(line.stream, line);
        else if (wanted(line)) yield line;
      }
      await pipe.trailer;
      this.#begun = true;
      if (asked.follow && !follow) return;
      for (const line of unfinished.values()) if (wanted(line)) yield line;
    } finally {
      pipe.destroy();
    }
  }

  /** Ns since 1970 of the last line that was given; null: none was. */
  #reached(): string | null {
    const [last] = [...this.#positions.values()].map(({ stamp }) => stamp).sort().reverse();
    return last === undefined ? null : String(stampNs(last));
  }

  /** Counts it in. `already`: where this reading began. */
  #isNew({ stream, stamp }: StampedLine, already: Map<'stdout' | 'stderr', Position>): boolean {
    const given = already.get(stream);
    if (given !== undefined && stamp < given.stamp) return false;
    if (given !== undefined && stamp === given.stamp && given.count > 0) {
      already.set(stream, { stamp, count: given.count - 1 });
      return false;
    }
    const last = this.#positions.get(stream);
    this.#positions.set(stream, { stamp, count: last?.stamp === stamp ? last.count + 1 : 1 });
    return true;
  }
}
