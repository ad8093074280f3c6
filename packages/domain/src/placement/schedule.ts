// Chooses a host for a container: filters first, then the container's preferences, then a strategy. Read-only state in, plan out; it keeps nothing.
import { labelsOfHost } from '../host.ts';
import type { HostId } from '../ids.ts';
import type { ContainerSpec } from '../container/spec.ts';
import type { CataloguedKernel } from '../machine.ts';
import { filtersOf, preferencesOf, type Candidate } from './filters.ts';
import { maxPlacementAttempts, type Verdict } from './placement.ts';
import { clashingPort } from './room.ts';
import { noRules, type Strategy } from './rules.ts';

export type Plan =
  | { readonly outcome: 'place'; readonly hostId: HostId; readonly verdicts: readonly Verdict[] }
  | { readonly outcome: 'refuse'; readonly code: string; readonly message: string; readonly verdicts: readonly Verdict[] };

export interface ScheduleOptions {
  /** Hosts that have refused this very request, with their reasons; they are passed over. */
  readonly rejections?: readonly Verdict[];
  /** Kernels that any host can fetch. */
  readonly catalogued?: CataloguedKernel;
  /** Of the cluster, for containers that name none. Default `spread`. */
  readonly strategy?: Strategy;
  /** Of the container: what `random` is drawn from, so that the same question has the same answer. */
  readonly seed?: string;
}

/** Verdicts of each kind that a plan tells: of a large cluster the best hosts and some of those that refused. */
export const maxVerdicts = 32;

/** What ranks a host among those that can take a container: the first number that differs decides, more is better. */
interface Ranked {
  readonly candidate: Candidate;
  readonly rank: readonly number[];
  readonly score: number;
}

/** Which containers are counted together where they are spread over a label. */
export function groupOf({ placement, image }: Pick<ContainerSpec, 'placement' | 'image'>): string {
  return placement?.group ?? image.name ?? image.id;
}

/** Chooses among `candidates`. Ties go to the lowest host id, so the choice is repeatable. */
export function schedule(spec: ContainerSpec, candidates: readonly Candidate[], { rejections = [], catalogued = () => null, strategy, seed = '' }: ScheduleOptions = {}): Plan {
  const filters = filtersOf(spec, catalogued);
  const refused: Verdict[] = [];
  const fit: Candidate[] = [];
  for (const candidate of candidates) {
    const verdict = objection(candidate, filters, rejections);
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

/** The first filter that objects is the one that is told. Null: it can take the container. */
function objection(candidate: Candidate, filters: ReturnType<typeof filtersOf>, rejections: readonly Verdict[]): Verdict | null {
  const hostId = candidate.host.id;
  const rejection = rejections.find((verdict) => verdict.hostId === hostId);
  if (rejection !== undefined) return rejection;
  for (const { name, explain } of filters) {
    const reason = explain(candidate);
    if (reason !== null) return { hostId, filter: name, reason, score: null };
  }
  return null;
}

function rankerOf(spec: ContainerSpec, candidates: readonly Candidate[], strategy: Strategy, seed: string): (candidate: Candidate) => Ranked {
  const preferences = preferencesOf(spec);
  const alike = spreadCounts(spec, candidates);
  return (candidate) => {
    const score = scores[strategy](candidate, seed);
    const met = preferences.filter((holds) => holds(candidate)).length;
    const portsFree = clashingPort(spec, candidate.reserved.ports, false) === null ? 1 : 0;
    return { candidate, score, rank: [met, portsFree, ...alike(candidate).map((count) => -count), score] };
  };
}

/** How many of the container's group there are, for each label that it is spread over, under the host's value of it (and of the labels before). */
function spreadCounts(spec: ContainerSpec, candidates: readonly Candidate[]): (candidate: Candidate) => readonly number[] {
  const { spreadOver } = spec.placement ?? noRules;
  if (spreadOver.length === 0) return () => [];
  const group = groupOf(spec);
  const counts = new Map<string, number>();
  const keys = ({ host }: Candidate): string[] => {
    const labels = labelsOfHost(host);
    return spreadOver.map((_label, level) => JSON.stringify(spreadOver.slice(0, level + 1).map((label) => (Object.hasOwn(labels, label) ? labels[label] : null))));
  };
  for (const candidate of candidates) {
    const count = candidate.reserved.groups.get(group) ?? 0;
    if (count > 0) for (const key of keys(candidate)) counts.set(key, (counts.get(key) ?? 0) + count);
  }
  return (candidate) => keys(candidate).map((key) => counts.get(key) ?? 0);
}

/** Higher is better. */
const scores: Readonly<Record<Strategy, (candidate: Candidate, seed: string) => number>> = {
  // Fewest containers first, then most memory that nobody has reserved.
  spread: ({ host, reserved }) => -reserved.containers + (1 - share(reserved.memoryBytes, host.facts.capacity.memoryBytes)) * 0.5,
  // The most reserved first, then the most containers.
  binpack: ({ host, reserved }) => share(reserved.memoryBytes, host.facts.capacity.memoryBytes) + share(reserved.cpuNanos, host.facts.capacity.cpuNanos) + reserved.containers * 1e-6,
  random: ({ host }, seed) => hash(`${seed}/${host.id}`) / 2 ** 32,
};

const share = (part: number, whole: number): number => Math.min(1, part / Math.max(1, whole));

/** FNV-1a with a last mix, so that texts which differ in one place are far apart. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}

function isBetter(one: Ranked, other: Ranked): boolean {
  for (const [index, value] of one.rank.entries()) {
    const difference = value - (other.rank[index] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return one.candidate.host.id < other.candidate.host.id;
}

/** A host that could take it, with what its rank rests on. */
function verdictOf(spec: ContainerSpec, { candidate: { host, reserved }, rank, score }: Ranked): Verdict {
  const { constraints, affinities, spreadOver } = spec.placement ?? noRules;
  const soft = [...constraints, ...affinities].filter((one) => one.soft).length;
  const reason = [
    ...(soft === 0 ? [] : [`${rank[0]} of ${soft} preferences`]),
    ...(rank[1] === 1 ? [] : ['a container that has not been started yet is to have one of the ports']),
    ...spreadOver.map((label, level) => `${-(rank[2 + level] ?? 0)} of group ${groupOf(spec)} with its ${label}`),
    `${reserved.containers} containers`,
  ].join(', ');
  return { hostId: host.id, filter: null, reason, score };
}

function refusalMessage(refused: readonly Verdict[], tried: boolean): string {
  if (tried) return `${maxPlacementAttempts} hosts were chosen one after the other and could not take the container`;
  if (refused.length === 0) return 'no host has joined the cluster yet: is an agent running?';
  const shown = refused.slice(0, 10).map((verdict) => `${verdict.hostId}: ${verdict.filter}: ${verdict.reason}`);
  const more = refused.length > shown.length ? `; and ${refused.length - shown.length} more` : '';
  return `no host can take the container: ${shown.join('; ')}${more}`;
}
