// How far a log is known to reach. A server of a cluster that has just come to lead, or wrongly thinks that nobody does, may tell an earlier end than the log has
// (seen with nats-server 2.10: 158 where 463 messages had been read; the answer named no leader). Whoever believes that reads the log anew, from a server that does not know the newest of it.
import type { Clock } from '@pouch/process';
import { LogUnavailable } from './errors.ts';
import type { LogIdentity } from './event-log.ts';

const defaultProofMs = 30_000;

export class Reached {
  readonly #clock: Clock;
  readonly #proofMs: number;
  #seq = 0;
  #streamId: string | null = null;
  #several = false;
  /** Since when, in monotonic ms, nothing but earlier ends was told. */
  #behindSinceMs: number | null = null;

  constructor(clock: Clock, proofMs = defaultProofMs) {
    this.#clock = clock;
    this.#proofMs = proofMs;
  }

  /** Whether several servers keep it, as far as is known. */
  get several(): boolean {
    return this.#several;
  }

  /** The log has been seen to reach this. */
  note(seq: number): void {
    this.#seq = Math.max(this.#seq, seq);
  }

  /** The identity, where it may be believed. Throws LogUnavailable where the one who told it is behind. */
  checked(identity: LogIdentity): LogIdentity {
    const { streamId, lastSeq, leader } = identity;
    this.#several = leader !== undefined;
    if (leader === null) throw new LogUnavailable('nobody leads the log for the moment');
    const another = this.#streamId !== null && this.#streamId !== streamId;
    if (leader !== undefined && !another && lastSeq < this.#seq) {
      this.#behindSinceMs ??= this.#clock.monotonicMs();
      if (this.#clock.monotonicMs() - this.#behindSinceMs < this.#proofMs) throw new LogUnavailable(`the server that speaks for the log is behind: it ends at ${lastSeq}, ${this.#seq} was there before`);
      this.#seq = lastSeq;
    }
    if (another) this.#seq = lastSeq;
    this.#streamId = streamId;
    this.#behindSinceMs = null;
    return identity;
  }
}
