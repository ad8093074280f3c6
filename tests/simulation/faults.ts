// What goes wrong in a simulated cluster: one fault after the other, each over after a while. `heal` ends them all, and
// who is ill then stays so.
import type { ApiActor, HostActor, SchedulerActor } from './actors.ts';
import { fairWeather, type Network } from './network.ts';
import type { Runtime } from './runtime.ts';

export interface Cluster {
  readonly runtime: Runtime;
  readonly network: Network;
  readonly hosts: readonly HostActor[];
  readonly schedulers: readonly SchedulerActor[];
  readonly apis: readonly ApiActor[];
  /** A rule was broken: the run ends. */
  readonly fail: (error: unknown) => void;
}

/** Begins a fault, says what it is, and answers with what ends it. */
type Fault = (cluster: Cluster) => { readonly what: string; readonly end: () => void };

const anyone = ({ runtime, hosts, schedulers, apis }: Cluster): HostActor | SchedulerActor | ApiActor => runtime.chance.pick([...hosts, ...schedulers, ...apis]);
/** How far clocks of schedulers and apis may be off; two of them stay within claimStaleAfterMs of each other. */
const controlClockMs = 25_000;
const nothing = (): void => undefined;

const faults: readonly Fault[] = [
  function crash(cluster) {
    const victim = anyone(cluster);
    victim.crash();
    return { what: `${victim.name} is killed`, end: nothing };
  },
  function pause(cluster) {
    const { process, name } = anyone(cluster);
    const ms = cluster.runtime.chance.between(500, 25_000);
    process.pausedUntilMs = cluster.runtime.nowMs + ms;
    return { what: `${name} is paused for ${Math.round(ms)} ms`, end: () => { process.pausedUntilMs = 0; } };
  },
  function partition(cluster) {
    const { link, name } = anyone(cluster);
    const way = cluster.runtime.chance.pick(['both', 'to', 'from']);
    link.cutTo ||= way !== 'from';
    link.cutFrom ||= way !== 'to';
    return { what: `${name} is cut off (${way})`, end: () => { link.cutTo = link.cutFrom = false; } };
  },
  function badNetwork({ runtime, network }) {
    const { chance } = runtime;
    Object.assign(network.weather, { lost: chance.between(0, 0.3), twice: chance.between(0, 0.3), slow: chance.between(0, 0.3) });
    return { what: 'messages are lost, doubled, late', end: () => { Object.assign(network.weather, fairWeather()); } };
  },
  function clockJump(cluster) {
    const { chance } = cluster.runtime;
    const victim = anyone(cluster);
    const { process, name } = victim;
    // A name's claim is stale after a minute by the clocks of those who place: clocks that are further apart than that are not survived (seen: two holders of one name).
    const mostMs = cluster.hosts.some((host) => host === victim) ? 120_000 : controlClockMs;
    process.skewMs = chance.between(-mostMs, mostMs);
    return { what: `the clock of ${name} jumps to ${Math.round(process.skewMs)} ms beside the true one`, end: nothing };
  },
  function fullDisk({ runtime, hosts }) {
    const host = runtime.chance.pick(hosts);
    host.fillDisk(true);
    return { what: `the disk of ${host.name} is full`, end: () => host.fillDisk(false) };
  },
  function badEngine({ runtime, hosts }) {
    const host = runtime.chance.pick(hosts);
    Object.assign(host.engine.weather, { failed: runtime.chance.between(0, 0.5), lostAnswer: runtime.chance.between(0, 0.5) });
    return { what: `containerd of ${host.name} fails calls`, end: () => { Object.assign(host.engine.weather, { failed: 0, lostAnswer: 0 }); } };
  },
  function engineRestart({ runtime, hosts }) {
    const host = runtime.chance.pick(hosts);
    host.engine.restart();
    return { what: `containerd of ${host.name} is restarted`, end: nothing };
  },
  function reboot({ runtime, hosts }) {
    const host = runtime.chance.pick(hosts);
    host.reboot();
    return { what: `${host.name} is booted anew`, end: nothing };
  },
];

export class Faults {
  readonly #cluster: Cluster;
  readonly #ends = new Set<() => void>();
  #over = false;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  start(): void {
    const { runtime } = this.#cluster;
    runtime.after(runtime.world, runtime.chance.between(200, 6_000), () => {
      if (this.#over) return;
      const { what, end } = runtime.chance.pick(faults)(this.#cluster);
      runtime.say('FAULT', what);
      this.#ends.add(end);
      runtime.after(runtime.world, runtime.chance.between(500, 25_000), () => { if (this.#ends.delete(end)) end(); });
      this.start();
    });
  }

  heal(): void {
    this.#over = true;
    for (const end of this.#ends) end();
    this.#ends.clear();
    for (const { engine } of this.#cluster.hosts) engine.probes.steady = true;
    this.#cluster.runtime.say('FAULT', 'all faults are over');
  }
}
