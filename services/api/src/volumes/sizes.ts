// How much volumes hold, which only their hosts know: each host is asked once. Of a host that does not answer nothing is known.
import type { Volume } from '@pouch/domain';
import type { Deps } from '../deps.ts';

const usageTimeoutMs = 60_000;

/** Bytes by `dataId`. */
export async function volumeSizes({ hosts, logger }: Pick<Deps, 'hosts' | 'logger'>, volumes: readonly Pick<Volume, 'hostId' | 'dataId'>[]): Promise<ReadonlyMap<string, number>> {
  const byHost = Map.groupBy(volumes.filter((volume) => volume.hostId !== null), ({ hostId }) => String(hostId));
  const sizes = new Map<string, number>();
  await Promise.all([...byHost].map(async ([hostId, asked]) => {
    try {
      const answer = await hosts.call(hostId, 'volume.usage', { dataIds: asked.map(({ dataId }) => dataId) }, { timeoutMs: usageTimeoutMs });
      for (const { dataId, bytes } of answer.volumes) sizes.set(dataId, bytes);
    } catch (error) {
      logger.warn({ hostId, err: error }, 'a host does not tell how much its volumes hold');
    }
  }));
  return sizes;
}
