// What is left of containers that are gone: their names are released at once, their messages after the retention time; volumes that have one still are found.
// It only ever takes away what the view knows to be gone, and a claim only by the revision that it read.
import { claimStaleAfterMs, type NameClaim, type Recorded } from '@pouch/contracts';
import type { Container, Placement } from '@pouch/domain';
import type { Claims, PouchLog, Term } from '@pouch/eventlog';
import type { Clock, Logger } from '@pouch/process';
import type { SchedulerConfig } from './config.ts';
import type { View } from './view.ts';

export interface JanitorDeps {
  readonly view: View;
  /** Subjects that somebody has still to read, though what they tell of is gone. */
  readonly pinned: () => ReadonlySet<string>;
  readonly claims: Claims<NameClaim>;
  readonly log: PouchLog;
  readonly retention: SchedulerConfig['retention'];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Messages purged in one sweep at most, so that a sweep ends. */
const maxPurges = 1_000;

export class Janitor {
  readonly #deps: JanitorDeps;
  #sweeping = false;

  constructor(deps: JanitorDeps) {
    this.#deps = deps;
  }

  /** Releases the name of a container that this message tells the end of. */
  async release({ message }: Recorded): Promise<void> {
    const ended = endOf(message);
    if (ended === null) return;
    const { claims, logger } = this.#deps;
    const claim = await claims.get(ended.name);
    if (claim?.value?.containerId !== ended.id) return;
    if (await claims.release(ended.name, claim.revision)) logger.debug({ containerId: ended.id, name: ended.name }, 'name released');
  }

  /** Releases names that were missed, and purges what the retention lets go of. One sweep at a time. True: there is more to purge, sweep again soon. */
  async sweep(term: Term): Promise<boolean> {
    if (this.#sweeping) return false;
    this.#sweeping = true;
    try {
      const { view } = this.#deps;
      view.volumes.sweep((id) => view.nameOf(id) !== null);
      await this.#sweepNames(term);
      return await this.#purge(term);
    } finally {
      this.#sweeping = false;
    }
  }

  async #sweepNames(term: Term): Promise<void> {
    const { claims, view, clock, logger } = this.#deps;
    for await (const batch of claims.list()) {
      for (const { key, value, revision } of batch) {
        if (term.signal.aborted) return;
        // A young claim may be of a request, or a new name, that the log does not know yet.
        if (value !== null && (view.holdsName(value.containerId, key) || clock.now() - value.claimedAtMs < claimStaleAfterMs)) continue;
        if (await claims.release(key, revision)) logger.info({ name: key, containerId: value?.containerId }, 'stale name released');
      }
    }
  }

  async #purge(term: Term): Promise<boolean> {
    const { view, pinned, log, retention, clock, logger } = this.#deps;
    // In order: a placement goes before its container.
    const gone = view.forgettable(clock.now() - retention.maxAgeMs, retention.maxCount, pinned()).slice(0, maxPurges);
    for (const one of gone) {
      if (term.signal.aborted) return false;
      await log.purge(one.subject);
      view.forget(one);
    }
    if (gone.length > 0) logger.info({ subjects: gone.length }, 'long gone aggregates purged from the log');
    return gone.length === maxPurges;
  }
}

function endOf({ kind, snapshot }: Recorded['message']): { readonly id: string; readonly name: string } | null {
  if (kind === 'container') {
    const container = snapshot as Container;
    return container.status === 'removed' && container.reason.kind !== 'rejected' ? container : null;
  }
  if (kind === 'placement') return (snapshot as Placement).status === 'refused' ? (snapshot as Placement) : null;
  return null;
}
