// How fast hosts are chosen, without a log: the scheduler's own view of many hosts, and containers of several shapes that are counted as they are placed.
import { hostId, type ContainerSpec, type Host } from '@pouch/domain';
import { View } from '../../../services/scheduler/src/view.ts';
import { aHostsFacts } from '../../fixtures/domain.ts';
import { quantile, round2 } from '../figures.ts';
import type { Session } from '../session.ts';
import { shapes } from './shapes.ts';

const clusters = [100, 1_000, 6_100] as const;
/** A quarter of what Nomad's C2M placed in the largest cluster: more need a larger heap than Node has by itself. In the others so many that each figure rests on some seconds. */
const perHost = 100;
const most = 500_000;
const goalPerSecond = 10_000;

export function decisions(session: Session): void {
  for (const hosts of clusters) {
    const view = viewOf(hosts);
    const specs = shapes();
    const containers = hosts === clusters.at(-1) ? most : Math.max(50_000, hosts * perHost);
    // What the engine compiles, and the first look at all hosts for each shape, is counted apart.
    const firsts = specs.map((spec, n) => timedChoice(view, spec, `first-${n}`));
    const each: number[] = [];
    const before = process.memoryUsage().heapUsed;
    const from = performance.now();
    for (let n = 0; n < containers; n++) {
      const ms = timedChoice(view, specs[n % specs.length] as ContainerSpec, idOf(n));
      if (n % 16 === 0) each.push(ms);
      if (n % 250_000 === 249_999) session.say(`${hosts} hosts: ${n + 1} of ${containers} placed`);
    }
    const seconds = (performance.now() - from) / 1_000;
    const value = Math.round(containers / seconds);
    session.tell({
      figure: `decisions, ${hosts} hosts`, unit: '1/s', value, containers, shapes: specs.length, goal: goalPerSecond, met: value >= goalPerSecond,
      p50us: round2(quantile(each, 0.5) * 1_000), p99us: round2(quantile(each, 0.99) * 1_000), firstMs: round2(Math.max(...firsts)), heapMiB: Math.round((process.memoryUsage().heapUsed - before) / 2 ** 20),
    });
  }
}

/** As the log's messages would tell it: hosts of five kinds in ten zones of twenty racks. */
function viewOf(count: number): View {
  const view = new View();
  for (let n = 0; n < count; n++) {
    const id = hostId(`host-${n}`);
    const facts = aHostsFacts({ hostname: id, labels: { zone: `z${n % 10}`, rack: `r${n % 200}`, disk: n % 5 === 0 ? 'hdd' : 'ssd' }, capacity: { cpuNanos: 64e9, memoryBytes: 512 * 2 ** 30 } });
    const host: Host = { id, facts, joinedAtMs: 0, state: 'up', stateSinceMs: 0, cordoned: false };
    view.apply({ subject: `evt.host.${id}`, seq: n + 1, storedAtMs: 0, message: { v: 1, id: `h${n}`, kind: 'host', events: [], snapshot: host, meta: { atMs: 0, service: 'agent', actor: 'agent', cause: null } } });
  }
  return view;
}

const idOf = (n: number): string => n.toString(16).padStart(64, '0');

function timedChoice(view: View, spec: ContainerSpec, id: string): number {
  const from = performance.now();
  const plan = view.choose(spec, { seed: id });
  if (plan.outcome !== 'place') throw new Error(plan.message);
  view.promise({ id: id as never, name: id, spec }, plan.hostId);
  return performance.now() - from;
}
