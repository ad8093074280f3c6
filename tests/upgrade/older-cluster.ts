// A test's cluster that an older version of this repository has made and runs. From: POUCH_UPGRADE_FROM, else the newest tag v*, else a commit that has all that is asked for here.
import type { ClusterConfig } from '../../scripts/cluster/options.ts';
import { startTestCluster, type TestCluster } from '../fixtures/cluster.ts';
import { checkOut, olderCommit, type OlderCheckout } from '../fixtures/older-checkout.ts';
import { unavailable } from '../e2e/clients/clients.ts';

/** The last one before backups. */
const otherwise = '6088851';
const found = await olderCommit(process.env['POUCH_UPGRADE_FROM'], otherwise);

/** Why there can be none, or false. */
export const olderMissing: string | false = unavailable() || ('missing' in found ? found.missing : false);

export async function checkOutOlder(): Promise<OlderCheckout> {
  if ('missing' in found) throw new Error(found.missing);
  return await checkOut(found.commit);
}

/** `kernels`: a directory for its guest kernels, the default one of the older version among them; null: none, so that there are no machines. */
export async function startOlderCluster(older: OlderCheckout, kernels: string | null = null): Promise<TestCluster> {
  const provided = kernels === null ? '' : `
      const { provideDefaultKernel, runvKernelStore } = await import('${older.directory}/scripts/guest-kernel.ts');
      await provideDefaultKernel(() => undefined, { ...runvKernelStore, directory: '${kernels}' });`;
  return await startTestCluster({
    ...(kernels === null ? {} : { env: { POUCH_KERNEL_DIR: kernels } }),
    start: async (chosen) => JSON.parse(await older.script(`${provided}
      const { startCluster } = await import('${older.directory}/scripts/cluster/cluster.ts');
      console.log(JSON.stringify(await startCluster(${JSON.stringify(chosen)}, () => undefined)));`, 120_000)) as ClusterConfig,
  });
}
