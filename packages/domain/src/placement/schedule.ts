// Chooses a host for a container by looking at all of them: filters first, then what ranks them. Read-only state in, plan out; it keeps nothing.
// What `Chooser` keeps to be quick must choose as this does.
import type { HostId } from '../ids.ts';
import type { ContainerSpec } from '../container/spec.ts';
import type { CataloguedKernel } from '../machine.ts';
import { filtersOf, groupOf, objectionOf, type Candidate, type VolumePlaces } from './filters.ts';
import { maxPlacementAttempts, type Verdict } from './placement.ts';
import { isHigher, rankOf, spreadKeysOf, standingOf, verdictOf, type Ranked } from './ranking.ts';
import type { Strategy } from './rules.ts';

export type Plan =
  | { readonly outcome: 'place'; readonly hostId: HostId; readonly verdicts: readonly Verdict[] }
  | { readonly outcome: 'refuse'; readonly code: string; readonly message: string; readonly verdicts: readonly Verdict[] };

export interface ScheduleOptions {
  /** Hosts that have refused this very request, with their reasons; they are passed over. */
  readonly rejections?: readonly Verdict[];
  /** Kernels that any host can fetch. */
  readonly catalogued?: CataloguedKernel;
  /** Where volumes are that the container names. */
  readonly volumes?: VolumePlaces;
  /** Of the cluster, for containers that name none. Default `spread`. */
  readonly strategy?: Strategy;
  /** Of the container: what `random` is drawn from, so that the same question has the same answer. */
  readonly seed?: string;
}

/** Verdicts of each kind that a plan tells: of a large cluster the best hosts and some of those that refused. */
export const maxVerdicts = 32;

/** Chooses among `candidates`. Ties go to the lowest host id, so the choice is repeatable. */
export function schedule(spec: ContainerSpec, candidates: readonly Candidate[], { rejections = [], catalogued = () => null, volumes = () => null, strategy, seed = '' }: ScheduleOptions = {}): Plan {
  const filters = filtersOf(spec, catalogued, volumes);
  const refused: Verdict[] = [];
  const fit: Candidate[] = [];
  for (const candidate of candidates) {
    const verdict = rejections.find(({ hostId }) => hostId === candidate.host.id) ?? objectionOf(candidate, filters);
    if (verdict === null) fit.push(candidate);
    else refused.push(verdict);
  }
  const ranked = fit.map(rankerOf(spec, candidates, spec.placement?.strategy ?? strategy ?? 'spread', seed));
  const best = ranked.reduce<Ranked | null>((leader, one) => (leader === null || isBetter(one, leader) ? one : leader), null);
  if (best !== null && rejections.length < maxPlacementAttempts) {
    const others = ranked.filter((one) => one !== best).slice(0, maxVerdicts - 1);
    return { outcome: 'place', hostId: best.candidate.host.id, verdicts: [best, ...others].map((one) => verdictOf(spec, one)).concat(refused.slice(0, maxVerdicts)) };
  }
  const verdicts = [...refused, ...ranked.map((one) => verdictOf(spec, one))].slice(0, maxVerdicts);
  return { outcome: 'refuse', code: candidates.length === 0 ? 'no-hosts' : 'no-suitable-host', message: refusalMessage(refused, best !== null), verdicts };
}

function rankerOf(spec: ContainerSpec, candidates: readonly Candidate[], strategy: Strategy, seed: string): (candidate: Candidate) => Ranked {
  const standing = standingOf(spec, strategy, seed);
  const keys = spreadKeysOf(spec);
  const group = groupOf(spec);
  const counts = new Map<string, number>();
  for (const { host, reserved } of candidates) {
    const count = reserved.groups.get(group) ?? 0;
    if (count > 0) for (const key of keys(host)) counts.set(key, (counts.get(key) ?? 0) + count);
  }
  return (candidate) => {
    const stands = standing(candidate);
    return { candidate, score: stands.score, rank: rankOf(stands, keys(candidate.host).map((key) => counts.get(key) ?? 0)) };
  };
}

const isBetter = (one: Ranked, other: Ranked): boolean => isHigher(one.rank, other.rank) ?? one.candidate.host.id < other.candidate.host.id;

function refusalMessage(refused: readonly Verdict[], tried: boolean): string {
  if (tried) return `${maxPlacementAttempts} hosts were chosen one after the other and could not take the container`;
  if (refused.length === 0) return 'no host has joined the cluster yet: is an agent running?';
  const shown = refused.slice(0, 10).map((verdict) => `${verdict.hostId}: ${verdict.filter}: ${verdict.reason}`);
  const more = refused.length > shown.length ? `; and ${refused.length - shown.length} more` : '';
  return `no host can take the container: ${shown.join('; ')}${more}`;
}
