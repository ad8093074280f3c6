// What the log's leader has told of the ends of subjects, for those whose reads any replica answers: an answer from before that is an old one. Whoever took it for the
// newest would decide on it: an agent let go of the end of a run, because a replica that was behind said that the container had only been assigned.
import type { Clock } from '@pouch/process';
import { LogUnavailable } from './errors.ts';

/** Longer than a replica that answers is behind; then what it says is believed, for the subject may have been purged. */
const rememberedMs = 120_000;
/** Subjects that are remembered; the oldest goes. */
export const maxHeads = 4_096;

export class Heads {
  readonly #clock: Clock;
  readonly #told = new Map<string, { readonly seq: number; readonly atMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Something was appended to `subject` at `seq`, now or earlier. */
  reached(subject: string, seq: number): void {
    if ((this.#told.get(subject)?.seq ?? 0) < seq) this.ends(subject, seq);
  }

  /** The leader's word: the newest message of `subject` is `seq`. */
  ends(subject: string, seq: number): void {
    this.#told.delete(subject);
    this.#told.set(subject, { seq, atMs: this.#clock.monotonicMs() });
    if (this.#told.size <= maxHeads) return;
    const [oldest] = this.#told.keys();
    if (oldest !== undefined) this.#told.delete(oldest);
  }

  /** It is another log: what was told is of no concern. */
  clear(): void {
    this.#told.clear();
  }

  /** `seq` of the newest message by some replica's word, 0 for none. Throws LogUnavailable where that is behind. */
  check(subject: string, seq: number): void {
    const told = this.#told.get(subject);
    if (told === undefined || seq >= told.seq) return;
    if (this.#clock.monotonicMs() - told.atMs < rememberedMs) throw new LogUnavailable(`the server that was asked is behind: ${subject} ends at ${told.seq}, it knows ${seq}`);
    this.#told.delete(subject);
  }
}
