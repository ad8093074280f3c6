// Chooses a host for a container: filters, each of which explains itself, then a score. Read-only state in, plan out; it keeps nothing.
import type { HostId } from '../ids.ts';
import type { Capacity, Host } from '../host.ts';
import type { ContainerSpec } from '../container/spec.ts';
import { explainKernel, type CataloguedKernel } from '../machine.ts';
import { maxPlacementAttempts, type Verdict } from './placement.ts';

/** A host as the scheduler sees it at the moment of choosing. */
export interface Candidate {
  readonly host: Host;
  readonly reserved: Reserved;
}

/** What the containers on a host have been promised. */
export interface Reserved {
  readonly cpuNanos: number;
  readonly memoryBytes: number;
  readonly containers: number;
  /** Published host ports in use, `80/tcp`. */
  readonly ports: ReadonlySet<string>;
}

export type Plan =
  | { readonly outcome: 'place'; readonly hostId: HostId; readonly verdicts: readonly Verdict[] }
  | { readonly outcome: 'refuse'; readonly code: string; readonly message: string; readonly verdicts: readonly Verdict[] };

interface Filter {
  readonly name: string;
  /** Null: may run here; else one sentence why not. */
  readonly explain: (spec: ContainerSpec, candidate: Candidate, catalogued: CataloguedKernel) => string | null;
}

/** In order of cheapness; the first that objects is the one that is told. */
const filters: readonly Filter[] = [
  { name: 'health', explain: (_spec, { host }) => (host.state === 'up' ? null : `the host is ${host.state}`) },
  { name: 'cordon', explain: (_spec, { host }) => (host.cordoned ? 'the host is cordoned: it takes no new containers' : null) },
  { name: 'runtime', explain: explainRuntime },
  { name: 'kernel', explain: (spec, { host }, catalogued) => explainKernel(spec, host, catalogued) },
  { name: 'capacity', explain: (spec, { host }) => explainFit(spec, host.facts.capacity) },
  { name: 'ports', explain: explainPorts },
];

function explainRuntime(spec: ContainerSpec, { host }: Candidate): string | null {
  const names = host.facts.runtimes.map((runtime) => runtime.name);
  return names.includes(spec.runtime) ? null : `it has no runtime ${JSON.stringify(spec.runtime)}; it has ${names.join(', ')}`;
}

function explainPorts(spec: ContainerSpec, { reserved }: Candidate): string | null {
  const taken = spec.ports.map((port) => `${port.hostPort}/${port.protocol}`).find((port) => reserved.ports.has(port));
  return taken === undefined ? null : `host port ${taken} is taken by another container`;
}

/**
 * Whether a container fits a host, as a sentence of refusal or null. The scheduler asks it to choose, the agent asks it again
 * before it accepts: the same rule twice. One container's limits must fit the whole host; limits are not reservations, so their sum may exceed it.
 */
export function explainFit(spec: ContainerSpec, capacity: Capacity): string | null {
  const { memoryBytes, nanoCpus } = spec.resources;
  if (memoryBytes !== null && memoryBytes > capacity.memoryBytes) return `it has ${capacity.memoryBytes} bytes of memory, ${memoryBytes} are asked for`;
  if (nanoCpus !== null && nanoCpus > capacity.cpuNanos) return `it has ${capacity.cpuNanos / 1e9} CPUs, ${nanoCpus / 1e9} are asked for`;
  return null;
}

/** Fewest containers first, then most free memory: spread. Higher is better. */
export function score({ host, reserved }: Candidate): number {
  const free = 1 - Math.min(1, reserved.memoryBytes / Math.max(1, host.facts.capacity.memoryBytes));
  return -reserved.containers + free * 0.5;
}

/** Chooses among `candidates`; hosts that have rejected this very request are passed over. Ties go to the lowest host id, so the choice is repeatable. `catalogued`: kernels that any host can fetch. */
export function schedule(spec: ContainerSpec, candidates: readonly Candidate[], rejections: readonly Verdict[], catalogued: CataloguedKernel = () => null): Plan {
  const verdicts = candidates.map((candidate) => judge(spec, candidate, rejections, catalogued));
  const fit = verdicts.filter((verdict) => verdict.filter === null);
  const best = fit.toSorted((a, b) => (b.score ?? 0) - (a.score ?? 0) || (a.hostId < b.hostId ? -1 : 1))[0];
  if (best !== undefined && rejections.length < maxPlacementAttempts) return { outcome: 'place', hostId: best.hostId, verdicts };
  return { outcome: 'refuse', code: refusalCode(verdicts), message: refusalMessage(verdicts), verdicts };
}

function judge(spec: ContainerSpec, candidate: Candidate, rejections: readonly Verdict[], catalogued: CataloguedKernel): Verdict {
  const hostId = candidate.host.id;
  const rejection = rejections.find((verdict) => verdict.hostId === hostId);
  if (rejection !== undefined) return rejection;
  for (const { name, explain } of filters) {
    const reason = explain(spec, candidate, catalogued);
    if (reason !== null) return { hostId, filter: name, reason, score: null };
  }
  return { hostId, filter: null, reason: '', score: score(candidate) };
}

function refusalCode(verdicts: readonly Verdict[]): string {
  return verdicts.length === 0 ? 'no-hosts' : 'no-suitable-host';
}

function refusalMessage(verdicts: readonly Verdict[]): string {
  if (verdicts.length === 0) return 'no host has joined the cluster yet: is an agent running?';
  const shown = verdicts.slice(0, 10).map((verdict) => `${verdict.hostId}: ${verdict.reason || 'it has been tried'}`);
  const more = verdicts.length > shown.length ? `; and ${verdicts.length - shown.length} more` : '';
  return `no host can take the container: ${shown.join('; ')}${more}`;
}
