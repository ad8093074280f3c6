// Pouch as it is shipped: a whole cluster of the benchmark's own, fsync before every acknowledgement, logging as by default.
import { startTestCluster, type TestCluster } from '../../fixtures/cluster.ts';
import { DockerClient } from '../docker-client.ts';
import type { Session } from '../session.ts';
import { newId } from './workload.ts';

export type Pouch = { readonly client: DockerClient; readonly cluster: TestCluster };

/** `machinePool`: virtual machines that are kept ready beside everything. */
export async function startPouch(session: Session, { sync = 'always', machinePool = 2 }: { readonly sync?: string; readonly machinePool?: number } = {}): Promise<Pouch> {
  const cluster = await startTestCluster({ logLevel: 'info', sync, env: { POUCH_MACHINE_POOL: String(machinePool), POUCH_CGROUP_PARENT: `pouch-bench-${newId().slice(0, 8)}` } });
  session.undo('cluster', () => cluster.stop());
  const client = new DockerClient(cluster.socket);
  session.undo('connections to Pouch', () => { client.close(); });
  return { client, cluster };
}
