// A cluster far larger than this machine, part by part; `--part` picks one. Sizes are such that all of it takes some minutes.
import type { BenchOptions } from '../main.ts';
import type { Session } from '../session.ts';
import { decisions } from './decisions.ts';
import { fanOut } from './fan-out.ts';
import { startLargeCluster } from './large-cluster.ts';
import { delivery, placements } from './placements.ts';
import { restart } from './restart.ts';

type Part = (session: Session, options: BenchOptions) => Promise<void>;

/** Requests under way at once: fewer leave the processes waiting for each other, more wait for them. */
const atOnce = 256;
/** Each has a connection and a consumer of its own: making them is most of what the part takes. */
const hostsByDefault = 200;
/** `always` is Pouch's default: acknowledged means fsynced. `2m` is nats-server's. */
const settings = [{ sync: 'always', creations: 2_000, deliveries: 500 }, { sync: '2m', creations: 5_000, deliveries: 500 }] as const;

const parts: Readonly<Record<string, Part>> = {
  decisions: (session, { hosts = 6_100, containers }) => decisions(session, containers === undefined ? undefined : { hosts, containers }),
  placements: async (session, { hosts = hostsByDefault, containers }) => {
    for (const { sync, creations, deliveries } of settings) {
      await session.part(async () => {
        session.say(`sync ${sync}: starting ${hosts} hosts`);
        const cluster = await startLargeCluster(session, { hosts, sync });
        await placements(session, cluster, { hosts, sync, load: { creations: containers ?? creations, atOnce } });
        // Calm: some fifty a second. Busy: as fast as 32 clients go.
        for (const load of [{ creations: deliveries, atOnce: 4, pauseMs: 80 }, { creations: deliveries, atOnce: 32 }]) await delivery(session, cluster, { hosts, sync, load });
      });
    }
  },
  restart: (session, { containers = 1_000, rounds = 3 }) => restart(session, { containers, rounds }),
  'fan-out': (session, { containers = 20_000 }) => fanOut(session, { containers }),
};

export async function scale(session: Session, options: BenchOptions): Promise<void> {
  session.tellMachine();
  const names = options.part === undefined ? Object.keys(parts) : [options.part];
  for (const name of names) {
    const part = parts[name];
    if (part === undefined) throw new Error(`scale has no part ${name}; there are ${Object.keys(parts).join(', ')}`);
    session.say(name);
    await session.part(() => part(session, options));
  }
}
