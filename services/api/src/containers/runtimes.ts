// Which OCI runtimes a container may name: those that any host has.
import type { Projection } from '../projection/projection.ts';

export function runtimesOf(projection: Projection): string[] {
  return [...new Set(projection.present.hosts().filter(({ state }) => state.state !== 'removed').flatMap(({ state }) => state.facts.runtimes.map((runtime) => runtime.name)))].sort();
}
