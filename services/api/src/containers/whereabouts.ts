// Where a container is, why it is there, and what is known of its host: what inspect and lists tell beyond Docker. Pure.
import { labelsOfHost, noRules, type Container, type Host, type Placement, type Verdict } from '@pouch/domain';

/** As classic Swarm told where a container is; `Status` also says whether the host is there. */
export function inspectNode({ hostId }: Container, host: Host | null): Record<string, unknown> {
  const facts = host?.facts;
  return {
    ID: hostId, Name: hostId, IP: facts?.address ?? '', Addr: facts?.address ?? '',
    Cpus: facts === undefined ? 0 : Math.round(facts.capacity.cpuNanos / 1e9), Memory: facts?.capacity.memoryBytes ?? 0, Labels: host === null ? {} : labelsOfHost(host),
    Status: hostStanding(host),
  };
}

export function hostStanding(host: Host | null): 'Removed' | 'Lost' | 'Healthy' {
  return host === null || host.state === 'removed' ? 'Removed' : host.state === 'lost' ? 'Lost' : 'Healthy';
}

/** Where a volume's data are on a host, for people to read; empty where the host is not known, or does not say. */
export function mountpointOn(host: Host | null, dataId: string): string {
  return host?.facts.volumesDir === undefined ? '' : `${host.facts.volumesDir}/${dataId}/_data`;
}

/** How it came to be where it is: what it asked for, and what was said of each host when it was chosen. */
export function inspectPlacement({ spec, hostId }: Container, placement: Placement | null): Record<string, unknown> {
  const { constraints, affinities, strategy, spreadOver, rescheduleOnHostLoss } = spec.placement ?? noRules;
  const placed = placement?.status === 'placed' ? placement : null;
  return {
    HostId: hostId,
    PlacedAt: placed === null ? null : new Date(placed.atMs).toISOString(),
    Epoch: placed?.epoch ?? null,
    Constraints: constraints.map(({ text }) => text), Affinities: affinities.map(({ text }) => text), Strategy: strategy, SpreadOver: spreadOver, RescheduleOnHostLoss: rescheduleOnHostLoss,
    Candidates: (placed?.verdicts ?? []).map((verdict) => candidate(verdict, hostId)),
    Rejections: (placement?.rejections ?? []).map((verdict) => candidate(verdict, hostId)),
  };
}

function candidate({ hostId, filter, reason, score }: Verdict, chosen: string): Record<string, unknown> {
  return { HostId: hostId, Verdict: filter !== null ? 'refused' : hostId === chosen ? 'chosen' : 'possible', Filter: filter, Reason: reason, Score: score };
}

/** What to say of a container whose host cannot be asked, or whose place another one has taken; null: nothing. */
export function troubleOf({ replaced, hostId }: Container, host: Host | null): string | null {
  if (replaced !== undefined) return `replaced by ${replaced.successorId}: its host ${hostId} was ${replaced.why === 'host-lost' ? 'lost' : 'drained'}`;
  if (host?.state === 'lost') return `its host ${hostId} is lost since ${new Date(host.stateSinceMs).toISOString()}: what is told of it is as of then`;
  return null;
}
