// What ranks the hosts that can take a container: its preferences, free ports, how its group is spread, then a strategy. Pure; it keeps nothing.
import { labelsOfHost, type Host } from '../host.ts';
import type { ContainerSpec } from '../container/spec.ts';
import { groupOf, preferencesOf, type Candidate } from './filters.ts';
import type { Verdict } from './placement.ts';
import { clashingPort } from './room.ts';
import { noRules, type Strategy } from './rules.ts';

/** A host among those that can take a container: the first number of its rank that differs decides, more is better. */
export interface Ranked {
  readonly candidate: Candidate;
  readonly rank: readonly number[];
  readonly score: number;
}

/** What one host has to say for itself, whatever the others have. */
export interface Standing {
  /** Preferences that it satisfies. */
  readonly met: number;
  /** 1: no container that has not been started yet is to have one of the ports. */
  readonly portsFree: 0 | 1;
  readonly score: number;
}

/** Makes the judge of single hosts for one container; `seed`: what `random` is drawn from. */
export function standingOf(spec: ContainerSpec, strategy: Strategy, seed: string): (candidate: Candidate) => Standing {
  const preferences = preferencesOf(spec);
  return (candidate) => ({
    met: preferences.filter((holds) => holds(candidate)).length,
    portsFree: clashingPort(spec, candidate.reserved.ports, false) === null ? 1 : 0,
    score: scores[strategy](candidate, seed),
  });
}

/** In `spreadOver`: the host itself, where it has no label of this name. */
export const nodeLabel = 'node';

/** For each label that a container is spread over, what counts as one place: the host's value of it and of the labels before. */
export function spreadKeysOf({ placement }: Pick<ContainerSpec, 'placement'>): (host: Host) => readonly string[] {
  const { spreadOver } = placement ?? noRules;
  if (spreadOver.length === 0) return () => [];
  return (host) => {
    const labels = labelsOfHost(host);
    const valueOf = (label: string): string | null => (Object.hasOwn(labels, label) ? (labels[label] ?? null) : label === nodeLabel ? host.id : null);
    return spreadOver.map((_label, level) => JSON.stringify(spreadOver.slice(0, level + 1).map(valueOf)));
  };
}

/** `alike`: how many of the container's group there are in the host's place, for each label. */
export const rankOf = ({ met, portsFree, score }: Standing, alike: readonly number[]): readonly number[] => [met, portsFree, ...alike.map((count) => -count), score];

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

/** Whether the first of two ranks is better; null: they are the same. */
export function isHigher(one: readonly number[], other: readonly number[]): boolean | null {
  for (let index = 0; index < one.length; index++) {
    const difference = (one[index] ?? 0) - (other[index] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return null;
}

/** A host that could take it, with what its rank rests on. */
export function verdictOf(spec: ContainerSpec, { candidate: { host, reserved }, rank, score }: Ranked): Verdict {
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
