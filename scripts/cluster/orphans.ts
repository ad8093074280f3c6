// Clusters of tests whose test process is gone (killed by a time limit): ends them, so that they do not eat the machine.
// It must not touch a cluster whose owner lives, nor one that is not marked as a test's.
import { readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rm } from 'node:fs/promises';
import { stopCluster, type Say } from './cluster.ts';
import { unmountBelow } from './leftovers.ts';
import { removeNamespaces, type Namespaces } from './namespaces.ts';
import type { ClusterOptions } from './options.ts';
import { isRunning, type ProcessIdentity } from './process-identity.ts';

/** Test clusters live in directories of this name under the temp directory. */
export const testClusterPrefix = 'pouch-test-cluster-';

/** What a test cluster's `owner.json` holds. */
export type TestClusterOwner = {
  readonly owner: ProcessIdentity;
  /** Several where a cluster has several machines. */
  readonly options: ClusterOptions | readonly ClusterOptions[];
  readonly namespaces?: Namespaces;
};

export async function endOrphanedClusters(say: Say): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(testClusterPrefix)) continue;
    const directory = join(tmpdir(), name);
    let marked: TestClusterOwner;
    try {
      marked = JSON.parse(await readFile(join(directory, 'owner.json'), 'utf8')) as TestClusterOwner;
    } catch {
      continue; // just being made, or nobody's: not ours to remove
    }
    if (isRunning(marked.owner)) continue;
    say(`ending a test's cluster that was left behind: ${directory}`);
    for (const options of [marked.options].flat()) await stopCluster(options, { purge: true }, () => undefined);
    if (marked.namespaces !== undefined) await removeNamespaces(marked.namespaces);
    await unmountBelow([directory]);
    await rm(directory, { recursive: true, force: true });
  }
}
