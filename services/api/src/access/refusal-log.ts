// Tells refusals to the log: like ones together, an actor a message, seldomer the longer they go on. A flood of them costs a bounded part of the log.
import { randomUUID } from 'node:crypto';
import { refusalSubject, type Message } from '@pouch/contracts';
import { decideRefusals, maxRefusalsTold, type RefusedAccess } from '@pouch/domain';
import { execute, type EventLog } from '@pouch/eventlog';
import type { Clock, Logger } from '@pouch/process';

export interface RefusalLogDeps {
  readonly log: EventLog<Message>;
  readonly clock: Clock;
  readonly logger: Logger;
}

export type Refused = Pick<RefusedAccess, 'status' | 'route' | 'rule' | 'reason'>;

interface OfActor {
  readonly kinds: Map<string, RefusedAccess>;
  /** Beyond the kinds that a message holds. */
  others: number;
}

/** The first refusal is told at once, what follows after a wait that doubles while refusals go on. */
const firstWaitMs = 1_000;
const longestWaitMs = 60_000;
/** Actors told in one go; those beyond are told together under the name `others`. */
export const maxActors = 16;
const maxReasonChars = 300;

export class RefusalLog {
  readonly #deps: RefusalLogDeps;
  #waiting = new Map<string, OfActor>();
  #waitMs = firstWaitMs;
  #timer: NodeJS.Timeout | null = null;
  #telling: Promise<void> = Promise.resolve();

  constructor(deps: RefusalLogDeps) {
    this.#deps = deps;
  }

  note(actor: string, { status, route, rule, reason }: Refused): void {
    const known = this.#waiting.get(actor);
    const name = known !== undefined || this.#waiting.size < maxActors ? actor : 'others';
    const of = known ?? this.#waiting.get(name) ?? { kinds: new Map<string, RefusedAccess>(), others: 0 };
    this.#waiting.set(name, of);
    const atMs = this.#deps.clock.now();
    const key = `${status} ${route} ${rule}`;
    const before = of.kinds.get(key);
    if (before !== undefined) of.kinds.set(key, { ...before, count: before.count + 1, lastAtMs: atMs });
    else if (of.kinds.size < maxRefusalsTold) of.kinds.set(key, { status, route, rule, reason: reason.slice(0, maxReasonChars), count: 1, firstAtMs: atMs, lastAtMs: atMs });
    else of.others += 1;
    if (this.#timer === null) this.#tellAndRest();
  }

  /** Tells what waits. Resolves when all of it is in the log, or was given up. */
  async flush(): Promise<void> {
    this.#tell();
    await this.#telling;
  }

  async close(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.flush();
  }

  #tellAndRest(): void {
    this.#tell();
    this.#timer = setTimeout(() => {
      this.#timer = null;
      if (this.#waiting.size === 0) {
        this.#waitMs = firstWaitMs;
        return;
      }
      this.#waitMs = Math.min(this.#waitMs * 2, longestWaitMs);
      this.#tellAndRest();
    }, this.#waitMs);
    this.#timer.unref();
  }

  #tell(): void {
    const batch = this.#waiting;
    this.#waiting = new Map();
    if (batch.size > 0) this.#telling = this.#telling.then(async () => { for (const [actor, of] of batch) await this.#append(actor, of); });
  }

  async #append(actor: string, { kinds, others }: OfActor): Promise<void> {
    const { log, clock, logger } = this.#deps;
    const nowMs = clock.now();
    try {
      await execute({
        log, kind: 'refusal', subject: refusalSubject, commandId: randomUUID(), meta: { atMs: nowMs, service: 'api', actor, cause: null },
        decide: (state) => decideRefusals(state, { type: 'TellRefusals', refusals: [...kinds.values()], others }, nowMs),
      });
    } catch (error) {
      // Without the log nothing happens that needs an audit; this process's own log keeps what was refused.
      logger.warn({ err: error, actor, refusals: [...kinds.values()], others }, 'refusals could not be told to the log');
    }
  }
}
