// Which OCI runtimes a container may name: those that any host has.
import type { Projection } from '../projection/projection.ts';

export function runtimesOf(projection: Projection): readonly string[] {
  return projection.remembered('host', 'runtimes', (present) => [...new Set(present.hosts().filter(({ state }) => state.state !== 'removed').flatMap(({ state }) => state.facts.runtimes.map((runtime) => runtime.name)))].sort());
}
