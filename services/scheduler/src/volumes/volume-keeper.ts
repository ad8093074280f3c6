// Gives volumes their host with the first container that has them, and takes containers that are gone out of them. The optimistic lock of each volume decides
// where two schedulers do this at once. Every step can be done again after any crash; it chooses no hosts.
import { randomBytes, randomUUID } from 'node:crypto';
import { volumeSubject, type Meta } from '@pouch/contracts';
import { anonymousLabel, decideVolume, volumesOf, type HostId, type Placement, type VolumeUse } from '@pouch/domain';
import { execute, type PouchLog, type Term } from '@pouch/eventlog';
import type { Clock, Logger } from '@pouch/process';
import type { Release, VolumeView } from './volume-view.ts';

/** Releases under way at once; the rest waits in the view. */
const maxInFlight = 32;

export interface VolumeKeeperDeps {
  readonly volumes: VolumeView;
  readonly log: PouchLog;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** `elsewhere`: one of them has come to be on another host, so that another one is to be chosen. */
export type Taken = { readonly outcome: 'taken'; readonly uses: readonly VolumeUse[] } | { readonly outcome: 'elsewhere' } | { readonly outcome: 'refused'; readonly message: string };

export class VolumeKeeper {
  readonly #deps: VolumeKeeperDeps;
  readonly #inFlight = new Set<string>();

  constructor(deps: VolumeKeeperDeps) {
    this.#deps = deps;
  }

  /**
   * Makes volumes of a container be on a host, and it one of their users, so that none of them can be removed. Those with a name come before it is placed, for they have a say
   * in that; its own come when it has been, for they follow it.
   */
  async take({ id, spec, rejections }: Pick<Placement, 'id' | 'spec' | 'rejections'>, which: 'named' | 'own', hostId: HostId): Promise<Taken> {
    const { volumes, log, clock } = this.#deps;
    const uses: VolumeUse[] = [];
    for (const { name, mount } of volumesOf(id, spec.mounts)) {
      const anonymous = mount.name === null;
      if (anonymous !== (which === 'own')) continue;
      const nowMs = clock.now();
      const known = volumes.get(name);
      const labels = anonymous ? { ...mount.labels, [anonymousLabel]: '' } : mount.labels;
      const dataId = randomBytes(16).toString('hex');
      const executed = await execute({
        log, kind: 'volume', subject: volumeSubject(name), commandId: randomUUID(), meta: meta(nowMs), cached: known === undefined ? { seq: 0, snapshot: null } : { seq: known.seq, snapshot: known.volume },
        decide: (state) => decideVolume(state, { type: 'TakeVolume', name, labels, anonymous, dataId, hostId, containerId: id, rejectedBy: rejections.map((rejection) => rejection.hostId) }, nowMs),
      });
      if (!executed.ok) return executed.refusal.code === 'stale' ? { outcome: 'elsewhere' } : { outcome: 'refused', message: executed.refusal.message };
      const volume = executed.snapshot;
      if (volume === null) throw new TypeError(`volume ${name}: taking it led to no state`);
      volumes.learn(volume, executed.seq);
      uses.push({ name, dataId: volume.dataId });
    }
    return { outcome: 'taken', uses };
  }

  /** Takes up all that is open. Call it whenever the view has changed, and now and then. */
  work(term: Term): void {
    if (term.signal.aborted) return;
    for (const release of this.#deps.volumes.releases()) {
      if (this.#inFlight.size >= maxInFlight) return;
      if (this.#inFlight.has(release.containerId)) continue;
      this.#inFlight.add(release.containerId);
      this.#release(release)
        .catch((error: unknown) => this.#deps.logger.warn({ err: error, containerId: release.containerId }, 'a container that is gone was not taken out of its volumes; it is tried again'))
        .finally(() => this.#inFlight.delete(release.containerId));
    }
  }

  async #release({ containerId, names, withAnonymous }: Release): Promise<void> {
    const { volumes, log, clock, logger } = this.#deps;
    for (const name of names) {
      const nowMs = clock.now();
      const known = volumes.get(name);
      if (known === undefined) continue;
      const executed = await execute({
        log, kind: 'volume', subject: volumeSubject(name), commandId: randomUUID(), meta: meta(nowMs), cached: { seq: known.seq, snapshot: known.volume },
        decide: (state) => decideVolume(state, { type: 'ReleaseVolume', containerId, withAnonymous }, nowMs),
      });
      if (executed.ok && executed.snapshot !== null) volumes.learn(executed.snapshot, executed.seq);
      if (executed.ok && executed.appended) logger.info({ containerId, volume: name, removed: executed.snapshot?.state === 'removed' }, 'container taken out of its volume');
    }
  }
}

function meta(atMs: number): Meta {
  return { atMs, service: 'scheduler', actor: 'scheduler', cause: null };
}
