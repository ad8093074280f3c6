// Which hosts are there: heartbeats are heard by every scheduler, and the leader tells the log of losses and returns.
// Silence that is our own (paused, cut off from NATS) is nobody's loss.
import { randomUUID } from 'node:crypto';
import { hostLostAfterMs, hostSubject, type Beat, type SchedulerStatus } from '@pouch/contracts';
import { decideHost, type Host, type HostCommand } from '@pouch/domain';
import { execute, type PouchLog, type Term } from '@pouch/eventlog';
import type { Clock, Logger } from '@pouch/process';

export interface LivenessDeps {
  readonly hosts: () => readonly Host[];
  readonly isKnown: (hostId: string) => boolean;
  readonly connected: () => boolean;
  readonly log: PouchLog;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A check that comes this much later than it should means that we have slept ourselves. */
const sleptMs = 5_000;

export class Liveness {
  readonly #deps: LivenessDeps;
  readonly #beats = new Map<string, { readonly beat: Beat; readonly heardMs: number }>();
  /** Since when, in monotonic ms, a host is seen in the state that it is in: one that has just come need not have been heard before. */
  readonly #seen = new Map<string, { readonly stateSinceMs: number; readonly seenMs: number }>();
  /** Silence counts from here at the earliest, in monotonic ms. */
  #listeningSinceMs: number;
  #checkedMs: number;

  constructor(deps: LivenessDeps) {
    this.#deps = deps;
    this.#listeningSinceMs = this.#checkedMs = deps.clock.monotonicMs();
  }

  /** Takes a heartbeat in; only of hosts that the log knows, so that strangers cannot fill the memory. */
  hear(beat: Beat): void {
    if (this.#deps.isKnown(beat.hostId)) this.#beats.set(beat.hostId, { beat, heardMs: this.#deps.clock.monotonicMs() });
  }

  /** Compares what is heard with what the log says. Call it every few seconds during a term. */
  async check(term: Term): Promise<void> {
    const { clock, hosts, connected, logger } = this.#deps;
    const nowMs = clock.monotonicMs();
    if (!connected() || nowMs - this.#checkedMs > sleptMs) this.#listeningSinceMs = nowMs;
    this.#checkedMs = nowMs;
    for (const host of hosts()) {
      if (term.signal.aborted) return;
      const heard = this.#beats.get(host.id);
      const silentMs = nowMs - Math.max(heard?.heardMs ?? 0, this.#listeningSinceMs, this.#seenSince(host, nowMs));
      if (host.state === 'up' && silentMs > hostLostAfterMs) {
        logger.warn({ hostId: host.id, silentMs: Math.round(silentMs) }, 'host lost');
        await this.#tell(host, { type: 'ReportHostLost', lastBeatAtMs: heard?.beat.atMs ?? host.stateSinceMs });
      } else if (host.state === 'lost' && heard !== undefined && nowMs - heard.heardMs < hostLostAfterMs) {
        logger.info({ hostId: host.id }, 'host is back');
        await this.#tell(host, { type: 'ReportHostReturned' });
      }
    }
  }

  #seenSince({ id, stateSinceMs }: Host, nowMs: number): number {
    const seen = this.#seen.get(id);
    if (seen?.stateSinceMs === stateSinceMs) return seen.seenMs;
    this.#seen.set(id, { stateSinceMs, seenMs: nowMs });
    return nowMs;
  }

  status(): SchedulerStatus['hosts'] {
    return this.#deps.hosts().map((host) => {
      const beat = this.#beats.get(host.id)?.beat ?? null;
      return { hostId: host.id, lastBeatAtMs: beat?.atMs ?? null, beat };
    });
  }

  async #tell(host: Host, command: HostCommand): Promise<void> {
    const atMs = this.#deps.clock.now();
    await execute({
      log: this.#deps.log, kind: 'host', subject: hostSubject(host.id), commandId: randomUUID(), meta: { atMs, service: 'scheduler', actor: 'scheduler', cause: null },
      decide: (state) => decideHost(state, command, atMs),
    });
  }
}
