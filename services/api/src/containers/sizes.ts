// Sizes of containers' layers, which only their hosts know: each host is asked once. A host that does not answer has no sizes to tell.
import type { ContainerItem } from '@pouch/projections';
import type { Deps } from '../deps.ts';

export interface Sizes {
  readonly writableBytes: number;
  readonly rootBytes: number;
}

const usageTimeoutMs = 60_000;

export async function sizesOf({ hosts, logger }: Pick<Deps, 'hosts' | 'logger'>, rows: readonly Pick<ContainerItem, 'hostId'>[]): Promise<Map<string, Sizes>> {
  const sizes = new Map<string, Sizes>();
  await Promise.all([...new Set(rows.map((row) => row.hostId))].map(async (hostId) => {
    try {
      const usage = await hosts.call(hostId, 'host.usage', {}, { timeoutMs: usageTimeoutMs });
      for (const { containerId, writableBytes, rootBytes } of usage.containers) sizes.set(containerId, { writableBytes, rootBytes });
    } catch (error) {
      // The list is worth more than its sizes.
      logger.warn({ hostId, err: error }, 'a host does not tell sizes');
    }
  }));
  return sizes;
}
