// The hosts as containers of one shape see them: who refuses and why, and the others in order. Kept up to date host by host, so that a choice among
// thousands looks at few. It must choose as `schedule` does.
import type { Host } from '../host.ts';
import type { HostId } from '../ids.ts';
import type { ContainerSpec } from '../container/spec.ts';
import type { CataloguedKernel } from '../machine.ts';
import { BestFirst } from './best-first.ts';
import { filtersOf, groupOf, objectionOf, type Candidate, type Filter } from './filters.ts';
import type { Verdict } from './placement.ts';
import { rankOf, spreadKeysOf, standingOf, verdictOf, type Ranked, type Standing } from './ranking.ts';
import type { Strategy } from './rules.ts';

/** How many containers of the group one place has. */
interface Tally {
  count: number;
}

/** Hosts that are alike in all that comes before their score. */
interface Drawer {
  readonly standing: Omit<Standing, 'score'>;
  /** Of its places, for each label that the container is spread over. */
  readonly tallies: readonly Tally[];
  readonly name: string;
  readonly hosts: BestFirst;
}

interface Seen {
  readonly host: Host;
  /** What the filters that look at the host alone have said. */
  readonly ofHost: Verdict | null;
  readonly keys: readonly string[];
  /** Of the container's group, on it. */
  readonly count: number;
  /** Null: it refuses. */
  readonly drawer: Drawer | null;
}

export interface ShelfDeps {
  /** Null: there is no such host, or none any more. */
  readonly candidate: (hostId: HostId) => Candidate | null;
  readonly catalogued: CataloguedKernel;
  readonly strategy: Strategy;
}

export class Shelf {
  readonly #candidate: ShelfDeps['candidate'];
  readonly #spec: ContainerSpec;
  readonly #group: string;
  readonly #ofHost: readonly Filter[];
  readonly #others: readonly Filter[];
  readonly #standing: (candidate: Candidate) => Standing;
  readonly #keys: (host: Host) => readonly string[];
  readonly #seen = new Map<HostId, Seen>();
  readonly #refused = new Map<HostId, Verdict>();
  readonly #drawers = new Map<string, Drawer>();
  /** By spread key. */
  readonly #tallies = new Map<string, Tally>();

  /** `spec`: any of the shape. Its strategy must not be `random`, which ranks hosts anew for each container. */
  constructor(spec: ContainerSpec, { candidate, catalogued, strategy }: ShelfDeps) {
    const filters = filtersOf(spec, catalogued);
    this.#candidate = candidate;
    this.#spec = spec;
    this.#group = groupOf(spec);
    this.#ofHost = filters.filter(({ ofHost }) => ofHost);
    this.#others = filters.filter(({ ofHost }) => !ofHost);
    this.#standing = standingOf(spec, strategy, '');
    this.#keys = spreadKeysOf(spec);
  }

  /** Looks at a host again: something of it, or on it, is different. */
  look(hostId: HostId): void {
    const before = this.#seen.get(hostId);
    const candidate = this.#candidate(hostId);
    if (candidate === null) {
      if (before !== undefined) this.#forget(hostId, before);
      return;
    }
    const { host, reserved } = candidate;
    const same = before?.host === host ? before : undefined;
    const ofHost = same === undefined ? objectionOf(candidate, this.#ofHost) : same.ofHost;
    const keys = same?.keys ?? this.#keys(host);
    const count = reserved.groups.get(this.#group) ?? 0;
    const refusal = ofHost ?? objectionOf(candidate, this.#others);
    if (before !== undefined && (before.count !== count || before.keys !== keys)) this.#count(before.keys, -before.count);
    if (before === undefined || before.count !== count || before.keys !== keys) this.#count(keys, count);
    const drawer = refusal === null ? this.#put(candidate, keys) : null;
    if (before !== undefined && before.drawer !== null && before.drawer !== drawer) this.#take(hostId, before.drawer);
    if (refusal === null) this.#refused.delete(hostId);
    else this.#refused.set(hostId, refusal);
    this.#seen.set(hostId, { host, ofHost, keys, count, drawer });
  }

  /** The host that a container of this shape goes to, and verdicts of it, of `others` more that could take it, and of as many that refuse. Null: none can. */
  choose(others: number): { readonly hostId: HostId; readonly verdicts: readonly Verdict[] } | null {
    let first: Drawer | null = null;
    for (const drawer of this.#drawers.values()) {
      if (drawer.hosts.best() !== null && (first === null || isBefore(drawer, first))) first = drawer;
    }
    const hostId = first?.hosts.best()?.hostId;
    if (hostId === undefined) return null;
    const verdicts = [hostId, ...this.#runnersUp(hostId, others)].map((id) => verdictOf(this.#spec, this.#ranked(id)));
    for (const verdict of this.#refused.values()) {
      if (verdicts.length > 2 * others) break;
      verdicts.push(verdict);
    }
    return { hostId, verdicts };
  }

  #runnersUp(bestId: HostId, count: number): HostId[] {
    const found: HostId[] = [];
    for (const { hosts } of this.#drawers.values()) {
      if (found.length > count) break;
      found.push(...hosts.some(count + 1 - found.length));
    }
    return found.filter((hostId) => hostId !== bestId).slice(0, count);
  }

  #ranked(hostId: HostId): Ranked {
    const candidate = this.#candidate(hostId) as Candidate;
    const standing = this.#standing(candidate);
    return { candidate, score: standing.score, rank: rankOf(standing, this.#seen.get(hostId)?.drawer?.tallies.map(({ count }) => count) ?? []) };
  }

  #tally(key: string): Tally {
    let tally = this.#tallies.get(key);
    if (tally === undefined) this.#tallies.set(key, (tally = { count: 0 }));
    return tally;
  }

  #count(keys: readonly string[], by: number): void {
    if (by !== 0) for (const key of keys) this.#tally(key).count += by;
  }

  #put(candidate: Candidate, keys: readonly string[]): Drawer {
    const { met, portsFree, score } = this.#standing(candidate);
    const name = `${met} ${portsFree} ${keys.at(-1) ?? ''}`;
    let drawer = this.#drawers.get(name);
    if (drawer === undefined) this.#drawers.set(name, (drawer = { standing: { met, portsFree }, tallies: keys.map((key) => this.#tally(key)), name, hosts: new BestFirst() }));
    drawer.hosts.put(candidate.host.id, score);
    return drawer;
  }

  #take(hostId: HostId, drawer: Drawer): void {
    drawer.hosts.take(hostId);
    if (drawer.hosts.size === 0) this.#drawers.delete(drawer.name);
  }

  #forget(hostId: HostId, { keys, count, drawer }: Seen): void {
    this.#count(keys, -count);
    if (drawer !== null) this.#take(hostId, drawer);
    this.#refused.delete(hostId);
    this.#seen.delete(hostId);
  }
}

/** Whether the best host of one drawer ranks before that of another: as `rankOf` and `isHigher` have it, without making the ranks of all of them. */
function isBefore(one: Drawer, other: Drawer): boolean {
  if (one.standing.met !== other.standing.met) return one.standing.met > other.standing.met;
  if (one.standing.portsFree !== other.standing.portsFree) return one.standing.portsFree > other.standing.portsFree;
  for (let level = 0; level < one.tallies.length; level++) {
    const difference = (other.tallies[level]?.count ?? 0) - (one.tallies[level]?.count ?? 0);
    if (difference !== 0) return difference > 0;
  }
  const [mine, its] = [one.hosts.best(), other.hosts.best()];
  if (mine === null || its === null) return mine !== null;
  return mine.score !== its.score ? mine.score > its.score : mine.hostId < its.hostId;
}
