// Simulated clusters, with every fault that the simulation knows: the rules hold for every seed, the same seed is the same run, and what is broken
// on purpose is found.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConflictError } from '@pouch/eventlog';
import type { Store } from '../../services/agent/src/store/store.ts';
import type { Cluster } from './faults.ts';
import type { LogServer } from './log.ts';
import { explain } from './main.ts';
import { simulate, type Outcome } from './simulate.ts';

const seeds = 1_000;
/** A busy machine takes fewer, so that the test run stays short; `npm run simulate` takes as many as it is told. */
const budgetMs = 100_000;
const seedsAtLeast = 100;

test(`up to ${seeds} seeds: every rule holds`, async (t) => {
  const began = performance.now();
  let seed = 0;
  while (seed < seeds && (seed < seedsAtLeast || performance.now() - began < budgetMs)) {
    const outcome = await simulate(++seed);
    if (outcome.violation !== null) assert.fail(explain(outcome));
  }
  t.diagnostic(`${seed} seeds were run`);
});

test('the same seed is the same run, another one is another', async () => {
  const [first, again, other] = [await simulate(7), await simulate(7), await simulate(8)];
  assert.equal(first.digest, again.digest);
  assert.notEqual(first.digest, other.digest);
});

/** The first broken rule among the seeds; fails where none is broken. */
async function found(plant: (cluster: Cluster, server: LogServer) => void): Promise<string> {
  for (let seed = 1; seed <= 100; seed++) {
    const { violation }: Outcome = await simulate(seed, { plant });
    if (violation !== null) return violation;
  }
  assert.fail('100 seeds did not find it');
}

test('planted: a log that heeds no expected sequence', async () => {
  assert.match(await found((_cluster, { log }) => {
    const append = log.append.bind(log);
    log.append = async (request) => {
      try {
        return await append(request);
      } catch (error) {
        if (!(error instanceof ConflictError) || error.headSeq === null) throw error;
        return await append({ ...request, expectedSeq: error.headSeq });
      }
    };
  }), /one host per container|no start beyond|no acknowledged command|names are unique|converges/);
});

test('planted: names that are given to everybody who asks', async () => {
  assert.match(await found((_cluster, { buckets: { names } }) => {
    const put = names.put.bind(names);
    names.put = async (key, value) => await put(key, value, (await names.get(key))?.revision ?? 0);
  }), /names are unique/);
});

/** Runs `change` on the store of each life of every agent, before the agent uses it. */
function onStores(cluster: Cluster, change: (store: Store) => void): void {
  for (const host of cluster.hosts) host.onStore = change;
}

test('planted: an agent that keeps no books of what it tried and began', async () => {
  assert.match(await found((cluster) => onStores(cluster, (store) => {
    store.saveRun = () => undefined;
    store.attempts = () => [];
  })), /no start beyond what was asked/);
});

test('planted: health probes that have passed, whatever they came to', async () => {
  assert.match(await found((cluster) => {
    for (const { engine: { probes } } of cluster.hosts) {
      const wait = probes.wait.bind(probes);
      probes.wait = async (id) => ({ ...await wait(id), exitStatus: 0 });
    }
  }), /health is what probes find/);
});
