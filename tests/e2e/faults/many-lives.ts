// Many lives of containers of one runtime, most of which go wrong in some way, by clients or by what is ended or full: afterwards everything on the
// machine must be as it was before. The caller's cluster is used, and never another.
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { TestContext } from 'node:test';
import type { TestCluster } from '../../fixtures/cluster.ts';
import type { TestRegistry } from '../../fixtures/registry.ts';
import type { RuntimeUnderTest } from '../clients/runtimes.ts';
import { ask, eventually, readJson, verified } from './client.ts';
import { addBrokenKernel, failuresForAll, injectedFailures } from './injected.ts';
import { anySeed, randomOf, type Random } from './random.ts';
import { Requests } from './requests.ts';
import { differences, tracesOf, type Traces } from './traces.ts';
import { pidsOf } from './under-test.ts';
import { waysToLive, type Life } from './ways.ts';

export type Extent = { readonly runtime: RuntimeUnderTest; readonly lives: number; /** A machine without KVM takes a core for half a second as it starts. */ readonly atOnce: number };

async function live(way: string, life: Life | undefined, name: string, random: Random): Promise<void> {
  try {
    await life?.(name, random);
  } catch (error) {
    throw new Error(`${name}, ${way}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** What clients that went away have left by rights. */
async function removeEverything(cluster: TestCluster): Promise<void> {
  await eventually('every container is removed', async () => {
    const all = await readJson<{ Id: string }[]>(cluster.socket, '/containers/json?all=1');
    await Promise.all(all.map(async ({ Id }) => await ask(cluster.socket, 'DELETE', `/containers/${Id}?force=1`)));
    const { containers } = await readJson<{ containers: { status: string }[] }>(cluster.socket, '/cluster/containers');
    return containers.every(({ status }) => status === 'removed') ? true : undefined;
  });
}

/** `registry` has the image `broken`. */
export async function leavesNothing(t: TestContext, cluster: TestCluster, registry: TestRegistry, { runtime, lives, atOnce }: Extent): Promise<void> {
  const seed = Number(process.env['POUCH_TEST_SEED'] ?? anySeed());
  t.diagnostic(`seed ${seed}`);
  const random = randomOf(seed);
  const on = new Requests(cluster, runtime.name);
  if (!runtime.sharesKernel) await addBrokenKernel(on);
  const ways = { ...injectedFailures(on), ...waysToLive(on, registry) };
  const apart = failuresForAll(on);
  const names = Object.keys(ways);
  // The first of each kind makes what stays: the bridge, caches, connections, templates.
  for (const [n, way] of names.entries()) await live(way, ways[way], `${runtime.name}-first-${n}`, random.fork());
  for (const [n, [way, life]] of Object.entries(apart).entries()) await live(way, life, `${runtime.name}-apart-first-${n}`, random.fork());
  await removeEverything(cluster);
  const base = await settled(cluster);
  t.diagnostic(`before: ${Object.entries(base).map(([kind, all]) => `${all.length} ${kind}`).join(', ')}`);
  for (const kind of ['containerd snapshots', 'containerd blobs', 'run files', 'processes', 'firewall rules', 'descriptors of api', 'descriptors of agent']) assert.ok((base[kind] ?? []).length > 0, `${kind} are seen`);
  const pids = await pidsOf(cluster);

  const left = Array.from({ length: lives }, (_, n) => ({ name: `${runtime.name}-life-${n}`, way: names[n % names.length] ?? '', random: random.fork() }));
  const begun = Date.now();
  await Promise.all(Array.from({ length: atOnce }, async () => {
    for (let one = left.shift(); one !== undefined; one = left.shift()) await live(one.way, ways[one.way], one.name, one.random);
  })).finally(() => { left.length = 0; });
  assert.deepEqual(await pidsOf(cluster), pids, 'no process was started again');
  for (const [n, [way, life]] of Object.entries(apart).entries()) await live(way, life, `${runtime.name}-apart-${n}`, random.fork());
  t.diagnostic(`${lives} lives, and ${Object.keys(apart).length} apart, in ${Math.round((Date.now() - begun) / 1_000)} s`);
  await removeEverything(cluster);

  let last: string[] = [];
  await eventually('everything is as it was before', async () => {
    // A connection that was kept open for reuse may have been closed since: fewer descriptors are nothing left behind.
    last = differences(base, await tracesOf(cluster)).filter((line) => !line.startsWith('- descriptors of'));
    return last.length === 0 ? true : undefined;
  }, { withinMs: 60_000 }).catch(() => { assert.fail(`${last.length} differences after ${lives} lives:\n${last.slice(0, 60).join('\n')}`); });
  await verified(cluster.socket);
}

/** The traces when two looks in a row see the same. */
export async function settled(cluster: TestCluster): Promise<Traces> {
  let before = await tracesOf(cluster);
  return await eventually('the cluster comes to rest', async () => {
    await delay(500);
    const now = await tracesOf(cluster);
    // A pull whose client has gone takes a moment to be given up.
    const resting = now['containerd leases']?.length === 0 && now['containerd ingests']?.length === 0 && !now['processes']?.some((command) => command.includes('make-template'));
    if (resting && differences(before, now).length === 0) return now;
    before = now;
    return undefined;
  });
}

