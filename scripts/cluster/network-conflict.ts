// Whether the addresses that containers are to get are free on this machine. Looks only; the bridge itself is made by the agent's CNI plugin with the first
// container, which would refuse in words that no operator can act on.
import { execFile } from 'node:child_process';
import { BlockList, isIP } from 'node:net';
import { promisify } from 'node:util';
import type { ClusterConfig } from './options.ts';
import { locateProgram } from './programs.ts';

/** An address of an interface of this machine, as `ip` tells it. */
export type InterfaceAddress = { readonly name: string; readonly address: string; readonly prefix: number };

type Wanted = Pick<ClusterConfig, 'bridge' | 'subnet'>;

const family = (address: string): 'ipv4' | 'ipv6' => isIP(address) === 6 ? 'ipv6' : 'ipv4';

function contains(network: string, prefix: number, address: string): boolean {
  const list = new BlockList();
  list.addSubnet(network, prefix, family(network));
  return list.check(address, family(address));
}

/** Why containers could not have these addresses, and what would do; null: they can. `subnet` is a valid one. */
export function networkConflict({ bridge, subnet }: Wanted, present: readonly InterfaceAddress[]): string | null {
  const [network = '', bits = ''] = subnet.split('/');
  const prefix = Number(bits);
  for (const { name, address, prefix: theirs } of present.filter((one) => family(one.address) === family(network))) {
    // In a network that is wider and goes around it the narrower route wins: that works.
    const within = contains(network, prefix, address);
    if (name !== bridge && within) return `containers are to have the addresses ${subnet}, but this machine has ${address}/${theirs} on ${name}: choose others with --subnet`;
    if (name !== bridge) continue;
    if (within && theirs === prefix) continue; // ours, of the last time
    return `the bridge ${bridge} has the address ${address}/${theirs} and is to have one of ${subnet}: if an earlier cluster left it, remove it with \`ip link delete ${bridge}\`; else choose another with --bridge, or give it the same addresses with --subnet`;
  }
  return null;
}

type Link = { ifname: string; addr_info: { family: string; local: string; prefixlen: number; scope: string }[] };

/** The addresses in the network namespace that the cluster is to run in, without those that are only good on their link. */
export async function addressesHere({ namespace }: Pick<ClusterConfig, 'namespace'>): Promise<InterfaceAddress[]> {
  const ip = await locateProgram('ip');
  if (ip === undefined) return [];
  const { stdout } = await promisify(execFile)(ip, [...(namespace === null ? [] : ['-n', namespace]), '-json', 'address', 'show']);
  return (JSON.parse(stdout) as Link[]).flatMap(({ ifname, addr_info }) => addr_info.filter(({ scope }) => scope === 'global').map(({ local, prefixlen }) => ({ name: ifname, address: local, prefix: prefixlen })));
}
