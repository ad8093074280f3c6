// What goes wrong in a cluster of several machines: the faults, how each is undone, and one after the other at random, decided by a seed. Each is
// undone whatever happens.
import { setTimeout as delay } from 'node:timers/promises';
import type { ProcessName } from '../../../scripts/cluster/options.ts';
import type { TestMachine } from '../../fixtures/machines.ts';
import type { Random } from './random.ts';
import { killNow } from './under-test.ts';

/** Something that is wrong now. */
export type Fault = { readonly what: string; end(): Promise<void> };

/** SIGSTOP until the end. A process that is killed meanwhile, by another fault, has nothing to go on with. */
export async function paused(machine: TestMachine, name: ProcessName): Promise<Fault> {
  const pid = await machine.pid(name);
  const send = (signal: NodeJS.Signals): void => {
    try {
      if (pid !== undefined) process.kill(pid, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // it ended before we came
    }
  };
  send('SIGSTOP');
  return { what: `${name} of ${machine.hostId} is paused`, end: async () => { send('SIGCONT'); await Promise.resolve(); } };
}

async function killed(machine: TestMachine, name: ProcessName): Promise<Fault> {
  const pid = await killNow(machine, name);
  return { what: `${name} of ${machine.hostId} (${pid}) is killed`, end: () => Promise.resolve() };
}

async function unplugged(machine: TestMachine): Promise<Fault> {
  await machine.setCable(false);
  return { what: `the cable of ${machine.hostId} is pulled`, end: () => machine.setCable(true) };
}

async function oneWay(machine: TestMachine, way: 'deaf' | 'mute'): Promise<Fault> {
  await machine.setOneWay(way, true);
  return { what: `${machine.hostId} is ${way}`, end: () => machine.setOneWay(way, false) };
}

/** What is asked of a host with a full disk may be refused. */
async function full(machine: TestMachine): Promise<Fault> {
  await machine.fillDisk();
  return { what: `the disk of ${machine.hostId} is full`, end: () => machine.freeDisk() };
}

type Kind = { readonly name: string; begin(machine: TestMachine, random: Random): Promise<Fault> };

const kinds: readonly Kind[] = [
  { name: 'kill', begin: (machine, random) => killed(machine, random.pick(machine.config.processes)) },
  { name: 'kill', begin: (machine, random) => killed(machine, random.pick(machine.config.processes)) },
  { name: 'pause', begin: (machine, random) => paused(machine, random.pick(machine.config.processes)) },
  { name: 'pause', begin: (machine, random) => paused(machine, random.pick(machine.config.processes)) },
  { name: 'cable', begin: (machine) => unplugged(machine) },
  { name: 'deaf', begin: (machine) => oneWay(machine, 'deaf') },
  { name: 'mute', begin: (machine) => oneWay(machine, 'mute') },
  { name: 'disk', begin: (machine) => full(machine) },
];

export type AtRandom = {
  readonly machines: readonly TestMachine[];
  readonly random: Random;
  /** Until when, in ms since 1970, new ones begin. */
  readonly untilMs: number;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
  /** A disk is full, or there is room again. */
  readonly onRoom: () => void;
};

/** Now and then two at once, on two machines or on one; never more. The answer: how many of each kind there were. The machines have disks of their own. */
export async function faultsAtRandom({ machines, random, untilMs, signal, say, onRoom }: AtRandom): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {};
  const one = async (choice: Random): Promise<void> => {
    const kind = choice.pick(kinds);
    const lastsMs = choice.between(500, 12_000);
    if (kind.name === 'disk') onRoom();
    const fault = await kind.begin(choice.pick(machines), choice);
    counts[kind.name] = (counts[kind.name] ?? 0) + 1;
    say(`${fault.what}${kind.name === 'kill' ? '' : ` for ${lastsMs} ms`}`);
    try {
      if (kind.name !== 'kill') await delay(lastsMs, undefined, { signal }).catch(() => undefined); // told to end: it is undone at once
    } finally {
      await fault.end();
      if (kind.name === 'disk') onRoom();
    }
  };
  while (Date.now() < untilMs && !signal.aborted) {
    const [first, second] = [random.fork(), random.fork()];
    await Promise.all([one(first), ...(random.oneIn(4) ? [one(second)] : [])]);
    await delay(random.between(200, 3_000), undefined, { signal }).catch(() => undefined); // as above
  }
  return counts;
}
