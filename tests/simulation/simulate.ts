// One simulated cluster from its beginning to its end: a seed goes in, what became of it comes out, the same every time.
import { createHash } from 'node:crypto';
import { hostId } from '@pouch/domain';
import { aHostsFacts } from '../fixtures/domain.ts';
import { ApiActor, HostActor, SchedulerActor, type Surroundings } from './actors.ts';
import { Client } from './clients.ts';
import { Engine } from './engine.ts';
import { Faults, type Cluster } from './faults.ts';
import { Invariants } from './invariants.ts';
import { LogServer } from './log.ts';
import { Network } from './network.ts';
import { Process, Runtime } from './runtime.ts';
import { ServiceClient } from './service-clients.ts';

/** Simulated time with faults, ms. */
const faultsMs = 45_000;
/** After them everything must be as it should within this time. */
const settleMs = 120_000;
const lookMs = 500;
const capacityBytes = 1_000 * 2 ** 20;

export interface Outcome {
  readonly seed: number;
  /** Null: every rule held. */
  readonly violation: string | null;
  /** The last things that happened, a line each. */
  readonly trace: readonly string[];
  /** Of all that happened: the same for the same seed. */
  readonly digest: string;
  readonly messages: number;
  readonly simulatedMs: number;
}

export interface SimulateOptions {
  /** Breaks something on purpose, to see that it is found. */
  readonly plant?: (cluster: Cluster, server: LogServer) => void;
  readonly withFaults?: boolean;
}

export async function simulate(seed: number, { plant, withFaults = true }: SimulateOptions = {}): Promise<Outcome> {
  const runtime = new Runtime(seed);
  let violation: string | null = null;
  let settled = false;
  const fail = (error: unknown): void => {
    violation ??= error instanceof Error && error.name === 'Error' ? error.message : String((error as Error).stack ?? error);
  };
  const guarded = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      fail(error);
    }
  };
  let hosts: readonly HostActor[] = [];
  const nats = new Process('nats');
  nats.onCrash = fail;
  runtime.world.onCrash = fail;
  const network = new Network(runtime, nats);
  const rules = new Invariants(() => hosts);
  runtime.after(nats, 0, () => {
    const server = new LogServer({ now: () => runtime.wallMs, monotonicMs: () => runtime.nowMs }, (recorded) => {
      runtime.say('log', `${recorded.seq} ${recorded.message.kind} ${recorded.subject.split('.').map((part) => part.slice(0, 8)).slice(2).join(' ')} ${recorded.message.events.map(({ type }) => type).join(', ')}`);
      guarded(() => rules.message(recorded));
    });
    const around: Surroundings = { runtime, network, server, beats: new Set() };
    hosts = ['h1', 'h2', 'h3'].map((name) => {
      const id = hostId(name);
      const engine = new Engine(runtime, name, (containerId, startId) => guarded(() => rules.start(name, containerId, startId)));
      engine.process.onCrash = fail;
      return new HostActor(around, id, aHostsFacts({ hostname: name, capacity: { cpuNanos: 4e9, memoryBytes: capacityBytes } }), engine);
    });
    const schedulers = ['s1', 's2'].map((name) => new SchedulerActor(around, name));
    const apis = ['api1', 'api2'].map((name) => new ApiActor(around, name));
    const cluster: Cluster = { runtime, network, hosts, schedulers, apis, fail };
    plant?.(cluster, server);
    for (const service of [...hosts, ...schedulers, ...apis]) service.start();
    // Services triple what happens, so every third seed has them.
    const clients = [...Array.from({ length: 6 }, (_, number) => new Client(cluster, rules, `client${number + 1}`)), ...(seed % 3 === 0 ? ['web', 'db'] : []).map((name) => new ServiceClient(cluster, name))];
    for (const client of clients) client.start();
    const faults = new Faults(cluster);
    if (withFaults) faults.start();
    runtime.after(runtime.world, faultsMs, () => {
      faults.heal();
      for (const client of clients) client.stop();
      runtime.after(runtime.world, lookMs, () => { settled ||= rules.unsettled().length === 0; }, lookMs);
    });
  });
  await runtime.run(faultsMs + settleMs, () => settled || violation !== null);
  if (!settled && violation === null) violation = `converges once faults stop: ${settleMs / 1_000} s later ${rules.unsettled().join('; ')}`;
  for (const host of hosts) host.discard();
  return {
    seed, violation, trace: runtime.trace.slice(-400), messages: rules.messages, simulatedMs: runtime.nowMs,
    digest: createHash('sha256').update(`${runtime.events} ${runtime.nowMs} ${rules.messages} ${runtime.trace.join('\n')}`).digest('hex').slice(0, 16),
  };
}
