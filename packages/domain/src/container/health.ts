// The health that a container has by its state. Pure.
import { probeArgs, type HealthCheck, type HealthStatus } from './health-check.ts';
import type { ContainerSpec } from './spec.ts';
import type { Container } from './state.ts';

/** The check that is carried out while a container runs; null: none is. */
export function activeCheck({ healthCheck }: Pick<ContainerSpec, 'healthCheck'>): HealthCheck | null {
  return healthCheck === undefined || probeArgs(healthCheck) === null ? null : healthCheck;
}

/** The health that a container is said to have; null: it has no check, or has never run. One that has ended is unhealthy, as in Docker: nothing answers for it. */
export function healthOf(state: Container): HealthStatus | null {
  if (activeCheck(state.spec) === null) return null;
  switch (state.status) {
    case 'assigned':
    case 'created':
      return null;
    case 'running':
    case 'paused':
      return state.health ?? 'starting';
    case 'restarting':
    case 'exited':
    case 'removed':
      return 'unhealthy';
  }
}
