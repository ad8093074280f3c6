// A cluster of three machines (NATS and a host on each, an api and a scheduler on two) in which everything goes wrong, by a seed: processes are killed and paused,
// cables cut, both ways and one way, and disks full, under the load of clients that keep books. In the end books, log, projections and what runs on each host agree.
// POUCH_TEST_SEED repeats a run, POUCH_TEST_MINUTES says how long faults go on at random, POUCH_TEST_HEAD_MS asks for how soon a death of the log's leader must be over.
import assert from 'node:assert/strict';
import { after, before, test, type TestContext } from 'node:test';
import { clusterUnavailable } from '../../fixtures/cluster.ts';
import { ask, eventually, readJson, type Answer } from './client.ts';
import { runClient, type Entry } from './load.ts';
import { faultsAtRandom, paused } from './menu.ts';
import { insist, SeveralMachines } from './several-machines.ts';
import { backAgain, killNow } from './under-test.ts';

const skip = clusterUnavailable() ?? false;
const minutes = Number(process.env['POUCH_TEST_MINUTES'] ?? 2);
/** Beyond this the log counts as lost. */
const headWithinMs = Number(process.env['POUCH_TEST_HEAD_MS'] ?? 60_000);
const clientsPerApi = 2;
const diskBytes = 640 * 2 ** 20;
/** What lacks room is refused, in words; also a while after there is room again, until everything that had ended or given up is back. */
const roomLackedMs = 60_000;

let on: SeveralMachines;
/** When a disk was full last, in ms since 1970. */
let fullAtMs = 0;

const lacksRoom = ({ status, text }: Answer): boolean => status >= 400 && Date.now() - fullAtMs < roomLackedMs && !text.includes('"internal error"') && text.length > 20;

before(async () => {
  if (skip === false) on = await SeveralMachines.start({ diskBytes });
});
after(async () => {
  if (skip === false) await on?.stop();
});

/** Lives clients' containers through while `work` goes wrong; a client that got a wrong answer ends it at once. Their books, once everything is whole again. */
async function underLoad(t: TestContext, work: (signal: AbortSignal) => Promise<void>): Promise<Entry[]> {
  const ending = new AbortController();
  const clients = on.cluster.apis.flatMap(({ socket }, api) => Array.from({ length: clientsPerApi }, (_, at) => runClient(`${api}-${at}`, { socket, runtime: 'runc', book: on.book, random: on.random.fork(), signal: ending.signal, excused: lacksRoom })));
  const failed = Promise.all(clients).then(() => undefined);
  failed.catch(() => undefined); // told below, also when the work fails first
  const working = work(ending.signal);
  try {
    await Promise.race([working, failed]);
  } finally {
    ending.abort();
    await working.catch(() => undefined); // it is undone in any case, and told by the race
  }
  const entries = (await Promise.all(clients)).flat();
  await on.whole();
  const lived = entries.filter(({ abandoned }) => !abandoned);
  t.diagnostic(`${lived.length} containers lived through, ${entries.reduce((sum, { starts }) => sum + starts, 0)} starts asked, ${entries.length - lived.length} given up`);
  assert.ok(lived.length >= clients.length, 'there was load');
  return entries;
}

/** Each consumer of the log by what only happens once it has read what is new: how long each took, in ms since `sinceMs`. */
async function everyConsumerReads(sinceMs: number, placed: string): Promise<Record<string, number>> {
  const took: Record<string, number> = {};
  const timed = async (what: string, work: Promise<unknown>): Promise<void> => {
    await work;
    took[what] = Date.now() - sinceMs;
  };
  await Promise.all([
    ...on.cluster.machines.map(({ hostId }, at) => timed(`agent of ${hostId}`, insist(`a signal at ${hostId}`,
      () => ask(on.socket(at), 'POST', `/containers/${on.counting(at)}/kill?signal=WINCH`, { timeoutMs: headWithinMs }), ({ status }) => status === 204, headWithinMs))),
    timed('scheduler', insist('a container is placed', () => ask(on.socket(1), 'POST', `/containers/create?name=${placed}`, { body: { Image: 'busybox', Cmd: ['true'], HostConfig: { NetworkMode: 'none' } }, timeoutMs: headWithinMs }),
      // 409: by an earlier try, which was not answered.
      ({ status }) => status === 201 || status === 409, headWithinMs)),
    ...on.cluster.apis.map(({ hostId, socket }) => timed(`api of ${hostId}`, eventually(`the projection of ${hostId} follows`, async () => {
      const lastSeq = (await on.log())?.lastSeq;
      const { projection } = await readJson<{ projection: { state: string; seq: number } }>(socket, '/cluster/health');
      return lastSeq !== undefined && projection.state === 'following' && projection.seq >= lastSeq ? true : undefined;
    }, { withinMs: headWithinMs }))),
  ]);
  return took;
}

test("after a death of the log's leader every consumer reads on", { skip, timeout: 400_000 }, async (t) => {
  await on.tell(t, async (say) => {
    const placed: string[] = [];
    for (const [round, how] of (['killed', 'killed', 'paused'] as const).entries()) {
      await on.whole();
      const leader = await eventually("a leader of the log", async () => (await on.log())?.leader);
      const sinceMs = Date.now();
      say(`the leader, NATS of ${leader.hostId}, is ${how}`);
      const pause = how === 'paused' ? await paused(leader, 'nats') : null;
      try {
        const pid = pause === null ? await killNow(leader, 'nats') : null;
        placed.push(`placed-${round}`);
        const took = await everyConsumerReads(sinceMs, `placed-${round}`);
        t.diagnostic(`leader ${how}: ${Object.entries(took).map(([who, ms]) => `${who} ${ms} ms`).join(', ')}`);
        if (pid !== null) await backAgain(leader, 'nats', pid);
      } finally {
        await pause?.end();
      }
    }
    await on.whole();
    say('all is whole again');
    await on.assertNothingLost([], { others: placed });
    say('all agree');
    for (const name of placed) await insist(`${name} is removed`, () => ask(on.socket(0), 'DELETE', `/containers/${name}?force=1`), ({ status }) => status === 204 || status === 404);
  });
});

test('processes killed and paused, cables cut both ways and one way, disks full, at random, under load: nothing acknowledged is lost and nothing done twice', { skip, timeout: minutes * 60_000 + 400_000 }, async (t) => {
  await on.tell(t, async (say) => {
    const entries = await underLoad(t, async (signal) => {
      const counts = await faultsAtRandom({ machines: on.cluster.machines, random: on.random.fork(), untilMs: Date.now() + minutes * 60_000, signal, say, onRoom: () => { fullAtMs = Date.now(); } });
      say(`faults: ${JSON.stringify(counts)}`);
    });
    say('all is whole again');
    await on.assertNothingLost(entries, { diskWasFull: fullAtMs > 0 });
  });
});
