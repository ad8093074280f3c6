// Machines pretended on one machine: a network namespace for each, joined by one bridge that this machine has the first address of.
// It must not touch a namespace, bridge or rule of another name, nor start anything inside.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { locateProgram } from './programs.ts';

/** What `makeNamespaces` made; plain data, so that whoever finds it after a crash can remove it. */
export type Namespaces = {
  /** Interface name, also the beginning of every other name; at most 10 characters. */
  readonly bridge: string;
  /** First three bytes of the addresses, e.g. `10.150.7`. This machine is `.1`, the namespaces begin at `.11`. */
  readonly network: string;
  readonly count: number;
};

const run = promisify(execFile);

async function call(program: 'ip' | 'iptables', ...args: string[]): Promise<void> {
  const path = await locateProgram(program);
  if (path === undefined) throw new Error(`${program} is not installed; \`npm run up\` installs it`);
  await run(path, args);
}

/** Counted from 1. */
export const namespaceName = ({ bridge }: Namespaces, machine: number): string => `${bridge}-${machine}`;
export const namespaceAddress = ({ network }: Namespaces, machine: number): string => `${network}.${10 + machine}`;
/** The end of its cable that is on this machine. */
const cable = ({ bridge }: Namespaces, machine: number): string => `${bridge}v${machine}`;

/** Where the bridges' packets pass the firewall, one that drops what is forwarded must let these pass. */
const passRule = ({ bridge }: Namespaces): string[] => ['FORWARD', '-i', bridge, '-o', bridge, '-m', 'comment', '--comment', `pouch ${bridge}`, '-j', 'ACCEPT'];

export async function makeNamespaces(wanted: Namespaces): Promise<void> {
  const { bridge, network, count } = wanted;
  await call('ip', 'link', 'add', bridge, 'type', 'bridge');
  await call('ip', 'address', 'add', `${network}.1/24`, 'dev', bridge);
  await call('ip', 'link', 'set', bridge, 'up');
  await call('iptables', '-w', '5', '-I', ...passRule(wanted));
  for (let machine = 1; machine <= count; machine++) {
    const name = namespaceName(wanted, machine);
    await call('ip', 'netns', 'add', name);
    await call('ip', 'link', 'add', cable(wanted, machine), 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
    await call('ip', 'link', 'set', cable(wanted, machine), 'master', bridge, 'up');
    await call('ip', '-n', name, 'link', 'set', 'lo', 'up');
    await call('ip', '-n', name, 'link', 'set', 'eth0', 'up');
    await call('ip', '-n', name, 'address', 'add', `${namespaceAddress(wanted, machine)}/24`, 'dev', 'eth0');
    await call('ip', '-n', name, 'route', 'add', 'default', 'via', `${network}.1`);
  }
}

/** Pulls the cable of one machine, or plugs it in again. Connections over it stay as they are and hear nothing. */
export async function setCable(namespaces: Namespaces, machine: number, plugged: boolean): Promise<void> {
  await call('ip', 'link', 'set', cable(namespaces, machine), plugged ? 'up' : 'down');
}

/** Which way a cable that is plugged in carries nothing: a machine is `deaf` when nothing reaches it, `mute` when nothing leaves it. */
export type OneWay = 'deaf' | 'mute';

const oneWayChains: Readonly<Record<OneWay, readonly string[]>> = { deaf: ['INPUT', '-i', 'eth0'], mute: ['OUTPUT', '-o', 'eth0'] };

/** Cuts one way of a machine's cable, or makes it whole again. Connections over it hear nothing. */
export async function setOneWay(namespaces: Namespaces, machine: number, way: OneWay, cut: boolean): Promise<void> {
  const iptables = await locateProgram('iptables');
  if (iptables === undefined) throw new Error('iptables is not installed; `npm run up` installs it');
  await call('ip', 'netns', 'exec', namespaceName(namespaces, machine), iptables, '-w', '5', cut ? '-I' : '-D', ...oneWayChains[way], '-j', 'DROP');
}

/** Removes all of it, also when only some of it was made. */
export async function removeNamespaces(namespaces: Namespaces): Promise<void> {
  for (let machine = 1; machine <= namespaces.count; machine++) {
    await call('ip', 'link', 'delete', cable(namespaces, machine)).catch(() => undefined); // not made, or gone already
    await call('ip', 'netns', 'delete', namespaceName(namespaces, machine)).catch(() => undefined);
  }
  await call('iptables', '-w', '5', '-D', ...passRule(namespaces)).catch(() => undefined);
  await call('ip', 'link', 'delete', namespaces.bridge).catch(() => undefined);
}
