// The networks of this host.
import { ImpossibleError } from '../containers/failures.ts';
import type { NetworkDeps, NetworkRoom } from '../rooms.ts';

export function createNetwork(_deps: NetworkDeps): NetworkRoom {
  return {
    attach: () => Promise.reject(new ImpossibleError('unsupported', 'this host has no bridge network')),
    detach: () => Promise.resolve(),
    gateway: () => null,
    cleanupOrphans: () => Promise.resolve(),
  };
}
