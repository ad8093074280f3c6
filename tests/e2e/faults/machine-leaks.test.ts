// Fifty lives of virtual machines, most of which go wrong in some way: killed processes, broken kernels, a full disk, an agent that dies. Nothing is
// left behind: no process, tap, namespace, socket, disk, control group, mount, address, snapshot or lease. Never touches another cluster.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { clusterUnavailable, startTestCluster, type TestCluster } from '../../fixtures/cluster.ts';
import { busyboxImage } from '../../fixtures/images.ts';
import { startRegistry, type TestRegistry } from '../../fixtures/registry.ts';
import { runtimes } from '../clients/runtimes.ts';
import { leavesNothing } from './many-lives.ts';
import { troubleOf } from './under-test.ts';

const [runtime] = runtimes.filter(({ sharesKernel }) => !sharesKernel);
const skip = clusterUnavailable() ?? runtime?.skip ?? false;

let cluster: TestCluster;
let registry: TestRegistry;

before(async () => {
  if (skip !== false) return;
  registry = await startRegistry();
  registry.push('broken', 'latest', await busyboxImage());
  cluster = await startTestCluster({ machines: true, env: { POUCH_REGISTRIES: JSON.stringify({ plainHttp: [registry.host] }) } });
});
after(async () => {
  if (skip !== false) return;
  await cluster.stop();
  await registry.close();
});

test('fifty lives of virtual machines, most of which go wrong, leave nothing behind', { skip }, async (t) => {
  try {
    assert.ok(runtime !== undefined);
    await leavesNothing(t, cluster, registry, { runtime, lives: 50, atOnce: 3 });
  } catch (error) {
    t.diagnostic(await troubleOf(cluster));
    throw error;
  }
});
