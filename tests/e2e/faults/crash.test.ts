// kill -9 of every process of a cluster, each in turn and then at random, under the load of clients that keep books, over both runtimes: what runs goes on, what
// was acknowledged is done, nothing is done twice, and books, log, projection and containerd agree in the end. Never touches another cluster.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, test, type TestContext } from 'node:test';
import { supervisorStatus } from '../../../scripts/cluster/health.ts';
import { startOrder } from '../../../scripts/cluster/options.ts';
import { clusterUnavailable, startTestCluster, type TestCluster } from '../../fixtures/cluster.ts';
import { runtimes, machines, type RuntimeUnderTest } from '../clients/runtimes.ts';
import { assertAgreement, assertBook } from './books.ts';
import { demand, logLines, readJson, verified } from './client.ts';
import { runClient } from './load.ts';
import { anySeed, randomOf, type Random } from './random.ts';
import { backAgain, killNow, pidsOf, troubleOf } from './under-test.ts';

const skip = clusterUnavailable() ?? false;

let cluster: TestCluster;
/** A directory of the host that every container has at /book. */
let book: string;

before(async () => {
  if (skip !== false) return;
  book = await mkdtemp(join(tmpdir(), 'pouch-test-book-'));
  cluster = await startTestCluster({ machines });
});
after(async () => {
  if (skip !== false) return;
  await cluster.stop();
  await rm(book, { recursive: true, force: true });
});

type Inspected = { Id: string; RestartCount: number; State: { Status: string; Running: boolean; Pid: number; ExitCode: number } };
const inspect = async (id: string): Promise<Inspected> => await readJson<Inspected>(cluster.socket, `/containers/${id}/json`);

async function started(runtime: RuntimeUnderTest, name: string, command: string, settings: object = {}): Promise<string> {
  const { Id } = await demand<{ Id: string }>(cluster.socket, 'POST', `/containers/create?name=${name}`, {
    body: { Image: 'busybox', Cmd: ['sh', '-c', command], ...settings, HostConfig: { Runtime: runtime.name, NetworkMode: 'none', Binds: [`${book}:/book`] } },
  });
  await demand(cluster.socket, 'POST', `/containers/${Id}/start`);
  return Id;
}

/** Counts aloud for ever. */
const counting = 'i=0; while :; do echo "tick $i"; i=$((i+1)); sleep 0.2; done';

/** Every number once and in order: no line was lost and none written twice. */
function assertCounted(lines: readonly string[]): void {
  assert.ok(lines.length > 0, 'it has counted');
  lines.forEach((line, at) => assert.equal(line.trim(), `tick ${at}`));
}

/** Ends while `target` is away, with a code and a last word of its own. */
type Gated = { readonly id: string; readonly target: string; readonly gate: string; readonly code: number };

async function gatedOnes(runtime: RuntimeUnderTest): Promise<Gated[]> {
  return await Promise.all(startOrder.map(async (target, at): Promise<Gated> => {
    const gate = `gate-${runtime.name}-${target}`;
    const code = 20 + at;
    return { target, gate: join(book, gate), code, id: await started(runtime, `gated-${target}`, `while [ ! -e /book/${gate} ]; do sleep 0.05; done; echo "through, ${target} is away"; exit ${code}`) };
  }));
}

async function killEachInTurn(gated: readonly Gated[]): Promise<void> {
  for (const { target, gate } of gated) {
    const name = startOrder.find((one) => one === target);
    assert.ok(name !== undefined);
    const killed = await killNow(cluster, name);
    await writeFile(gate, '');
    await backAgain(cluster, name, killed);
    await cluster.healthy();
  }
}

async function killAtRandom(random: Random, kills: number): Promise<void> {
  for (let n = 0; n < kills; n++) {
    await delay(random.between(100, 3_000));
    const first = random.pick(startOrder);
    await killNow(cluster, first);
    // Now and then two at once.
    if (random.oneIn(4)) await killNow(cluster, random.pick(startOrder.filter((name) => name !== first)));
  }
  await cluster.healthy();
}

type Extent = { readonly runtime: RuntimeUnderTest; readonly clients: number; /** After each process was killed once, in turn. */ readonly randomKills: number };

async function survive(t: TestContext, { runtime, clients, randomKills }: Extent): Promise<void> {
  const seed = Number(process.env['POUCH_TEST_SEED'] ?? anySeed());
  t.diagnostic(`seed ${seed}: POUCH_TEST_SEED=${seed} runs the same kills`);
  const random = randomOf(seed);
  const steady = [await started(runtime, 'steady-plain', counting), await started(runtime, 'steady-tty', counting, { Tty: true })];
  const pids = await Promise.all(steady.map(async (id) => (await inspect(id)).State.Pid));
  const gated = await gatedOnes(runtime);

  const ending = new AbortController();
  const load = Array.from({ length: clients }, (_, client) => runClient(`${runtime.name}-${client}`, { socket: cluster.socket, runtime: runtime.name, book, random: random.fork(), signal: ending.signal }));
  const failed = Promise.all(load).then(() => undefined);
  failed.catch(() => undefined); // told below, also when the kills fail first
  try {
    // A client that got a wrong answer ends the test at once.
    await Promise.race([killEachInTurn(gated).then(() => killAtRandom(random, randomKills)), failed]);
  } finally {
    ending.abort();
  }
  const entries = (await Promise.all(load)).flat();
  await cluster.healthy();

  const abandoned = entries.filter((entry) => entry.abandoned);
  const lived = entries.filter((entry) => !entry.abandoned);
  t.diagnostic(`${lived.length} containers lived through, ${entries.reduce((sum, { starts }) => sum + starts, 0)} starts asked, ${abandoned.length} creations given up`);
  assert.ok(lived.length >= clients, 'there was load');

  for (const [at, id] of steady.entries()) {
    const { State, RestartCount } = await inspect(id);
    assert.deepEqual([State.Running, State.Pid, RestartCount], [true, pids[at], 0], 'what ran goes on as the same process');
  }
  assertCounted(await logLines(cluster.socket, steady[0] ?? ''));
  for (const { id, target, code } of gated) {
    const { State } = await inspect(id);
    assert.deepEqual([State.Status, State.ExitCode], ['exited', code], `the exit while ${target} was away is known`);
    assert.deepEqual(await logLines(cluster.socket, id), [`through, ${target} is away`]);
  }
  for (const entry of lived) await assertBook(entry, { socket: cluster.socket, book });
  const kept = new Map([...lived.filter((entry) => !entry.removed).map((entry) => [entry.newName ?? entry.name, entry.id ?? ''] as const),
    ['steady-plain', steady[0] ?? ''], ['steady-tty', steady[1] ?? ''], ...gated.map(({ target, id }) => [`gated-${target}`, id] as const)]);
  await assertAgreement({ hosts: [cluster], sockets: [cluster.socket], expected: kept, abandoned: new Set(abandoned.map(({ name }) => name)) });
  await verified(cluster.socket);
  const status = await supervisorStatus(cluster.config);
  for (const name of startOrder) assert.equal(status?.processes[name]?.state, 'running', `${name} is back without help`);
  // What was given up may be there or not; the next test counts what is there.
  for (const { name } of abandoned) await demand(cluster.socket, 'DELETE', `/containers/${name}?force=1`, { allow: [204, 404] });
  for (const id of [...kept.values()]) await demand(cluster.socket, 'DELETE', `/containers/${id}?force=1`);
}

/** A machine without KVM takes a whole core for half a second as it starts, so there is less of everything. */
const extents: Readonly<Record<RuntimeUnderTest['name'], Omit<Extent, 'runtime'>>> = { runc: { clients: 6, randomKills: 14 }, runv: { clients: 2, randomKills: 5 } };

for (const runtime of runtimes) {
  test(`kill -9 of everything, in turn and at random, under load: ${runtime.name}`, { skip: skip === false ? runtime.skip : skip }, async (t) => {
    const { clients, randomKills } = extents[runtime.name];
    try {
      await survive(t, { runtime, clients, randomKills: Number(process.env['POUCH_TEST_KILLS'] ?? randomKills) });
    } catch (error) {
      t.diagnostic(await troubleOf(cluster));
      t.diagnostic(JSON.stringify(await pidsOf(cluster)));
      throw error;
    }
  });
}
