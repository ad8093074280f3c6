// The process of decisions.ts: told the size of a cluster, it places that many containers, answers with what that took, and ends. Strings are progress.
import { hostId, type ContainerSpec, type Host } from '@pouch/domain';
import { View } from '../../../services/scheduler/src/view.ts';
import { aHostsFacts } from '../../fixtures/domain.ts';
import { quantile, round2 } from '../figures.ts';
import { memoryOf } from '../processes.ts';
import { shapes } from './shapes.ts';

export type ToDecide = { readonly hosts: number; readonly containers: number };
/** `firstMs`: the first choice of a shape, which looks at all hosts. `heapMiB`: what the heap has grown by, collected; `pssMiB`: all of the process. */
export type Decided = { readonly perSecond: number; readonly shapes: number; readonly p50us: number; readonly p99us: number; readonly firstMs: number; readonly heapMiB: number; readonly pssMiB: number; readonly lastQuarterPerSecond: number };

const progressEvery = 250_000;
const sampledEvery = 16;

function decide({ hosts, containers }: ToDecide): Decided {
  const view = viewOf(hosts);
  const specs = shapes();
  // What the engine compiles, and the first look at all hosts for each shape, is counted apart.
  const firsts = specs.map((spec, n) => timedChoice(view, spec, `first-${n}`));
  const each: number[] = [];
  const heap = (): number => {
    globalThis.gc?.();
    return process.memoryUsage().heapUsed;
  };
  const before = heap();
  const from = performance.now();
  let lastQuarter = from;
  for (let n = 0; n < containers; n++) {
    if (n === Math.floor(containers * 0.75)) lastQuarter = performance.now();
    const ms = timedChoice(view, specs[n % specs.length] as ContainerSpec, idOf(n));
    if (n % sampledEvery === 0) each.push(ms);
    if (n % progressEvery === progressEvery - 1) process.send?.(`${hosts} hosts: ${n + 1} of ${containers} placed`);
  }
  const until = performance.now();
  return {
    perSecond: perSecond(containers, until - from), lastQuarterPerSecond: perSecond(containers - Math.floor(containers * 0.75), until - lastQuarter), shapes: specs.length,
    p50us: round2(quantile(each, 0.5) * 1_000), p99us: round2(quantile(each, 0.99) * 1_000), firstMs: round2(Math.max(...firsts)),
    heapMiB: Math.round((heap() - before) / 2 ** 20), pssMiB: Math.round(memoryOf(process.pid).pssBytes / 2 ** 20),
  };
}

const perSecond = (count: number, ms: number): number => Math.round(count / (ms / 1_000));

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

process.once('message', (cluster: ToDecide) => {
  process.send?.(decide(cluster), () => { process.disconnect(); });
});
