// Containers asked for by many clients at once, through everything that ships: HTTP, the name's claim, the request, the placement and the assignment in
// the log, the host's answer, and the api's projection, which the waiting request is answered from. And how soon a placement is at its host.
import { loadavg } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { Placement } from '@pouch/domain';
import type { Recorded } from '@pouch/contracts';
import { round2, summary } from '../figures.ts';
import type { Session } from '../session.ts';
import type { LargeCluster } from './large-cluster.ts';
import { RawConnection } from './raw-http.ts';

const goalPerSecond = 3_000;
/** What is asked for: a reservation, as most containers of a large cluster have one. */
const body = (n: number): string => JSON.stringify({ Image: 'busybox', Cmd: ['sleep'], HostConfig: { NetworkMode: 'none' }, Labels: { 'io.pouch.reserve.memory': `${64 + 16 * (n % 4)}m`, 'io.pouch.reserve.cpus': '0.05', 'io.pouch.group': `job-${n % 5}` } });

export type Load = {
  readonly creations: number;
  /** Requests under way at once. */
  readonly atOnce: number;
  /** Pause of each client after an answer. */
  readonly pauseMs?: number;
};

/** Names that were given, as a client of many containers does: made-up ones would run out. */
let named = 0;

/** `triedAgain`: answers that said that the log is not there just now, as on a disk that others keep busy. */
type Outcome = { readonly seconds: number; readonly each: readonly number[]; readonly asked: ReadonlyMap<string, number>; readonly triedAgain: number };

/** Tries of one creation: a client asks again where it is told that it may. */
const maxTries = 5;

/** The throughput of `load`, with what each process used of the processors for one placement. */
export async function placements(session: Session, cluster: LargeCluster, { hosts, sync, load }: { readonly hosts: number; readonly sync: string; readonly load: Load }): Promise<void> {
  await create(cluster, { creations: Math.ceil(load.creations / 10), atOnce: load.atOnce });
  const before = cluster.cpu();
  const { seconds, each, triedAgain } = await create(cluster, load);
  const after = cluster.cpu();
  const value = Math.round(load.creations / seconds);
  session.tell({
    figure: 'placements through the log', unit: '1/s', side: `sync ${sync}`, value, goal: goalPerSecond, met: value >= goalPerSecond, hosts, creations: load.creations, atOnce: load.atOnce, ms: summary(each), triedAgain,
    cpuUsEach: Object.fromEntries(Object.entries(after).map(([name, ms]) => [name, Math.round((ms - (before[name] ?? 0)) * 1_000 / load.creations)])), load: round2(loadavg()[0] ?? 0),
  });
}

/** From the scheduler's decision, and from the client's request, until the container is at its host's agent. Clocks of one machine; the decision's has whole ms. */
export async function delivery(session: Session, cluster: LargeCluster, { hosts, sync, load }: { readonly hosts: number; readonly sync: string; readonly load: Load }): Promise<void> {
  const placedAtMs = new Map<string, number>();
  const subscription = cluster.log.follow({
    filter: 'evt.placement.>', from: 'new', onFailed: (error) => { session.say(`following placements: ${error.message}`); },
    onMessages: (messages) => {
      for (const { message } of messages as readonly Recorded[]) {
        const placement = message.snapshot as Placement;
        if (placement.status === 'placed') placedAtMs.set(placement.id, placement.atMs);
      }
    },
  });
  try {
    while (!subscription.caughtUp) await delay(10);
    await create(cluster, { creations: Math.ceil(load.creations / 10), atOnce: load.atOnce });
    await cluster.hosts.arrivals();
    const { asked } = await create(cluster, load);
    const arrivals = new Map(await cluster.hosts.arrivals());
    const since = (from: ReadonlyMap<string, number>): number[] => [...asked.keys()].flatMap((id) => {
      const [at, began] = [arrivals.get(id), from.get(id)];
      return at === undefined || began === undefined ? [] : [at - began];
    });
    for (const [side, from] of [['decided to delivered', placedAtMs], ['asked for to delivered', asked]] as const) {
      session.tell({ figure: 'placement to delivery at the agent', unit: 'ms', side, ...summary(since(from)), hosts, sync, creations: load.creations, atOnce: load.atOnce, pauseMs: load.pauseMs ?? 0, load: round2(loadavg()[0] ?? 0) });
    }
  } finally {
    await subscription.stop();
  }
}

async function create({ api }: LargeCluster, { creations, atOnce, pauseMs = 0 }: Load): Promise<Outcome> {
  const each: number[] = [];
  const asked = new Map<string, number>();
  let left = creations;
  let triedAgain = 0;
  const connections = Array.from({ length: Math.min(atOnce, creations) }, () => new RawConnection(api.socket));
  const began = performance.now();
  try {
    await Promise.all(connections.map(async (connection) => {
      while (left-- > 0) {
        const from = performance.now();
        let answer = await connection.post(`/containers/create?name=job-${++named}`, body(left));
        for (let tries = 1; answer.status === 503 && tries < maxTries; tries++) {
          triedAgain += 1;
          answer = await connection.post(`/containers/create?name=job-${++named}`, body(left));
        }
        if (answer.status !== 201) throw new Error(`create answered ${answer.status}: ${answer.body}`);
        each.push(performance.now() - from);
        asked.set((JSON.parse(answer.body) as { Id: string }).Id, performance.timeOrigin + from);
        if (pauseMs > 0) await delay(pauseMs);
      }
    }));
    return { seconds: (performance.now() - began) / 1_000, each, asked, triedAgain };
  } finally {
    for (const connection of connections) connection.close();
  }
}
