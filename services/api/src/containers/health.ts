// What a container's host remembers of its probes, for inspect. The status itself is the log's.
import type { HostCalls } from '@pouch/contracts';
import { healthOf, type Container } from '@pouch/domain';
import type { Deps } from '../deps.ts';

const askMs = 2_000;

export type Probes = HostCalls['container.health']['result'];

/** Null where nothing is probed, or the host does not tell. */
export async function probesOf({ hosts, projection, logger }: Pick<Deps, 'hosts' | 'projection' | 'logger'>, container: Container): Promise<Probes | null> {
  const { id, hostId, status } = container;
  if (healthOf(container) === null || (status !== 'running' && status !== 'paused')) return null;
  if (projection.present.host(hostId)?.state.state !== 'up') return null;
  try {
    return await hosts.call(hostId, 'container.health', { containerId: id }, { timeoutMs: askMs });
  } catch (error) {
    // The rest of inspect is worth more than its probes.
    logger.debug({ containerId: id, hostId, err: error }, 'a host does not tell of probes');
    return null;
  }
}
