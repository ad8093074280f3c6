// The newest rows of the history in memory, read once for all who follow it live, and the one natural path for every stream: past rows from
// the file in pages, then live ones from here, without a gap or a repeat. Pulled by its readers, so a slow one costs no memory.
import { setImmediate as turn } from 'node:timers/promises';
import { OperatingError } from '@pouch/process';
import type { HistoryFilter, HistoryReader, HistoryRow } from '@pouch/projections';

/** Streams at once in one process; each costs about 12 KB. */
export const maxFollowers = 10_000;

/** More streams than one process serves. */
export class TooManyFollowersError extends OperatingError {
  constructor() {
    super('too-many-streams', `${maxFollowers} streams of events are open already`, { retryable: true });
  }
}

/** Rows that are kept; whoever is further behind reads from the file. */
const kept = 2_048;

export interface FollowOptions {
  readonly afterSeq: number;
  /** False: end where the history ends now. */
  readonly live: boolean;
  /** Narrows what is read of the past; live rows come all, so the reader filters them itself. */
  readonly filter?: HistoryFilter;
  readonly signal: AbortSignal;
}

/** `caughtUp`: these rows are the newest that there are. `scannedTo`: everything up to here has been told. */
export interface FollowedRows {
  readonly rows: readonly HistoryRow[];
  readonly scannedTo: number;
  readonly caughtUp: boolean;
}

export class HistoryTail {
  readonly #history: () => HistoryReader;
  readonly #seq: () => number;
  #rows: HistoryRow[] = [];
  /** Everything after this sequence, up to `#to`, is in `#rows`. */
  #from = 0;
  #to = 0;
  #followers = 0;
  /** Counts streams that the projection has belonged to: followers of an earlier one end. */
  #epoch = 0;
  readonly #wakes = new Set<() => void>();

  constructor(history: () => HistoryReader, seq: () => number) {
    this.#history = history;
    this.#seq = seq;
  }

  get followers(): number {
    return this.#followers;
  }

  /** Throws TooManyFollowersError where one more is too many: asked before an answer is begun. */
  requireRoom(): void {
    if (this.#followers >= maxFollowers) throw new TooManyFollowersError();
  }

  /** The projection has come further. */
  committed(): void {
    for (const wake of [...this.#wakes]) wake();
  }

  /** The projection is of another stream now: sequences begin again, and all followers end. */
  reset(): void {
    this.#epoch += 1;
    this.#rows = [];
    this.#from = 0;
    this.#to = 0;
    this.committed();
  }

  /** Rows after `afterSeq` in order, page by page; ends by the signal, at the end of the past unless `live`, or at `reset`. */
  async *follow({ afterSeq, live, filter, signal }: FollowOptions): AsyncGenerator<FollowedRows, 'ended' | 'reset'> {
    const epoch = this.#epoch;
    this.#followers += 1;
    let wake = () => {};
    const onAbort = () => wake();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      let at = afterSeq;
      const end = this.#seq();
      while (!signal.aborted) {
        if (epoch !== this.#epoch) return 'reset';
        const head = live ? this.#seq() : end;
        if (at < head) {
          const page = this.#newest(at, head) ?? this.#past(at, head, filter);
          at = page.scannedTo;
          yield page;
          // Pages of the past are synchronous reads: others get their turn between them.
          if (!page.caughtUp) await turn();
          continue;
        }
        if (!live) return 'ended';
        await new Promise<void>((resolve) => {
          wake = resolve;
          this.#wakes.add(wake);
        });
        this.#wakes.delete(wake);
      }
      return 'ended';
    } finally {
      this.#followers -= 1;
      this.#wakes.delete(wake);
      signal.removeEventListener('abort', onAbort);
    }
  }

  #past(at: number, head: number, filter: HistoryFilter | undefined): FollowedRows {
    const page = this.#history().scan({ afterSeq: at, untilSeq: head }, filter);
    const scannedTo = page.done ? head : page.scannedTo;
    return { rows: page.rows, scannedTo, caughtUp: scannedTo === head };
  }

  /** From memory, filled up to `head` first; null when the rows after `at` are not all there. */
  #newest(at: number, head: number): FollowedRows | null {
    if (head - at > kept) return null;
    if (this.#to < at - kept || this.#to === 0) {
      this.#rows = [];
      this.#from = at;
      this.#to = at;
    }
    while (this.#to < head) {
      const page = this.#history().scan({ afterSeq: this.#to, untilSeq: head });
      this.#rows.push(...page.rows);
      this.#to = page.done ? head : page.scannedTo;
    }
    if (this.#rows.length > 2 * kept) {
      this.#rows = this.#rows.slice(-kept);
      this.#from = (this.#rows[0]?.seq ?? this.#to) - 1;
    }
    if (at < this.#from) return null;
    const rows = this.#rows.slice(firstAfter(this.#rows, at));
    const inRange = (rows.at(-1)?.seq ?? 0) > head ? rows.filter((row) => row.seq <= head) : rows;
    return { rows: inRange, scannedTo: head, caughtUp: true };
  }
}

/** Index of the first row with a sequence after `seq`. */
function firstAfter(rows: readonly HistoryRow[], seq: number): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((rows[middle]?.seq ?? 0) > seq) high = middle;
    else low = middle + 1;
  }
  return low;
}
