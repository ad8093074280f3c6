// Chooses hosts for one container after the other in a cluster that changes a little between them: what it has seen of each host is kept by shape of
// container, and only what has changed since is looked at again. It is told of changes, asks nobody, and decides as `schedule` does.
import type { HostId } from '../ids.ts';
import type { ContainerSpec } from '../container/spec.ts';
import type { CataloguedKernel } from '../machine.ts';
import { isTied, shapeOf, type Candidate, type VolumePlaces } from './filters.ts';
import type { Strategy } from './rules.ts';
import { schedule, type Plan, type ScheduleOptions } from './schedule.ts';
import { Shelf } from './shelf.ts';

/** Verdicts of each kind beside the chosen host's: of a large cluster some, for each is in the log. */
export const maxTold = 7;
/** Shapes times hosts that are kept: some 150 bytes each. */
const maxKept = 1_000_000;
const maxShelves = 256;
/** Changes that are kept for shelves which were not asked for a while; one that is further behind looks at everything again. */
const maxChanges = 8_192;

export interface ChooserDeps {
  /** Of all hosts, in any order. */
  readonly hosts: { readonly size: number; keys(): Iterable<HostId> };
  /** Null: there is no such host, or none any more. */
  readonly candidate: (hostId: HostId) => Candidate | null;
  readonly catalogued: CataloguedKernel;
  readonly volumes?: VolumePlaces;
}

export class Chooser {
  readonly #deps: ChooserDeps;
  /** By strategy and shape; the one that was asked last comes last. */
  readonly #shelves = new Map<string, { readonly shelf: Shelf; upTo: number }>();
  /** Hosts in the order of their changes; the first is number `#dropped`. */
  #changes: HostId[] = [];
  #dropped = 0;

  constructor(deps: ChooserDeps) {
    this.#deps = deps;
  }

  /** Something of a host, or on it, is different. */
  changed(hostId: HostId): void {
    if (this.#shelves.size === 0) return;
    this.#changes.push(hostId);
    if (this.#changes.length <= 2 * maxChanges) return;
    this.#changes = this.#changes.slice(maxChanges);
    this.#dropped += maxChanges;
  }

  /** Something that bears on every host is different: the catalogue of kernels. */
  changedAll(): void {
    this.#shelves.clear();
    this.#dropped += this.#changes.length;
    this.#changes = [];
  }

  /** As `schedule` among all hosts but `except`. */
  choose(spec: ContainerSpec, { rejections = [], strategy = 'spread', seed = '', except = null }: Omit<ScheduleOptions, 'catalogued' | 'volumes'> & { readonly except?: HostId | null } = {}): Plan {
    const chosen = spec.placement?.strategy ?? strategy;
    // What is of this one container alone is not worth keeping.
    if (rejections.length === 0 && chosen !== 'random' && !isTied(spec)) {
      const plan = this.#shelf(spec, chosen).choose(maxTold);
      if (plan !== null && plan.hostId !== except) return { outcome: 'place', ...plan };
    }
    const { hosts, candidate, catalogued, volumes = () => null } = this.#deps;
    const candidates = [...hosts.keys()].flatMap((hostId) => (hostId === except ? [] : (candidate(hostId) ?? [])));
    return schedule(spec, candidates, { rejections, catalogued, volumes, strategy, seed });
  }

  #shelf(spec: ContainerSpec, strategy: Strategy): Shelf {
    const { hosts, candidate, catalogued } = this.#deps;
    const key = `${strategy} ${shapeOf(spec)}`;
    const now = this.#dropped + this.#changes.length;
    let kept = this.#shelves.get(key);
    this.#shelves.delete(key);
    if (kept === undefined || kept.upTo < this.#dropped) {
      kept = { shelf: new Shelf(spec, { candidate, catalogued, strategy }), upTo: now };
      for (const hostId of hosts.keys()) kept.shelf.look(hostId);
    } else if (kept.upTo < now) {
      for (const hostId of new Set(this.#changes.slice(kept.upTo - this.#dropped))) kept.shelf.look(hostId);
      kept.upTo = now;
    }
    this.#shelves.set(key, kept);
    const room = Math.max(1, Math.min(maxShelves, Math.floor(maxKept / Math.max(1, hosts.size))));
    for (const oldest of this.#shelves.keys()) {
      if (this.#shelves.size <= room) break;
      this.#shelves.delete(oldest);
    }
    return kept.shelf;
  }
}

