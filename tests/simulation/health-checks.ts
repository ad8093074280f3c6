// Health checks that containers of a simulated cluster have: short, for a run is short. What the probes find is the host's.
import type { ContainerSpec } from '@pouch/domain';
import type { Chance } from './runtime.ts';

/** One container in three has one. */
export function aHealthCheck(chance: Chance): Pick<ContainerSpec, 'healthCheck'> {
  if (!chance.is(0.33)) return {};
  return { healthCheck: { test: ['CMD', 'ask'], intervalMs: chance.pick([500, 2_000]), timeoutMs: chance.pick([100, 1_000]), startPeriodMs: chance.pick([0, 3_000]), retries: chance.pick([1, 3]) } };
}
