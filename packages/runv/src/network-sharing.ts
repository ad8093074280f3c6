// A network namespace that a machine and processes of the host have together: both have its address. What arrives goes to whoever of the host has a
// socket for it (netfilter's socket match), everything else to the guest; what the guest says goes out by the link as ever, but for what is for
// the address itself. What the namespace's processes send to the address goes by a veth loop, so that it arrives and can be told apart, too.
// Two machines cannot be told apart so: there is one at most. 127.0.0.1 and IPv6 stay each side's own. It must not be used for a namespace of a machine's own.
import { execFile } from 'node:child_process';
import { statSync } from 'node:fs';
import { promisify } from 'node:util';
import { askGuest } from './ask-guest.ts';
import { Failure, messageOf } from './failure.ts';
import { addressBytes, loopPrefix, tapName, type LinkInfo } from './network.ts';
import { containerDir } from './state.ts';
import { op, updateTag } from './protocol/ops.ts';
import { record } from './protocol/records.ts';

/** The link between the namespace and the guest: each end's address. */
const hostEnd = '169.254.77.1';
const guestEnd = '169.254.77.2';
/** Of the loop's far end: locally administered, and seen by nobody else. */
const loopMac = '02:72:76:00:00:01';
const chain = 'RUNV-SHARED';
const mark = '0x7700/0xff00';
const toGuest = 7700;
const toLoop = 7701;

export interface SharedLink {
  readonly link: string;
  readonly mac: string;
  /** IPv4. */
  readonly addresses: readonly string[];
  /** What processes of the namespace call out from. */
  readonly ports: readonly [first: number, last: number];
}

/** A path by which a container joins another one's network, in the words of the engines; a prepared namespace of its own has another. */
export const isJoined = (netns: string | undefined): boolean => netns !== undefined && /^\/proc\/\d+\/ns\/net$/.test(netns);

function inodeOf(netns: string): number {
  try {
    return statSync(netns).ino;
  } catch (cause) {
    throw new Failure('network', `the network namespace ${netns} cannot be joined: ${messageOf(cause)}`, { cause });
  }
}

/** Throws `unsupported` where it is the host's: its traffic would be the guest's. `network`: there is none. */
export function refuseHostNetwork(netns: string): void {
  if (inodeOf(netns) === inodeOf('/proc/self/ns/net')) throw new Failure('unsupported', 'the host\'s network: a virtual machine cannot have this: its guest kernel has a network of its own');
}

/** Ports that the guest calls out from: none that the namespace's processes do. Pure. */
export function guestPorts([first, last]: readonly [number, number]): readonly [number, number] {
  const [above, below] = [65_535 - last, first - 1_024];
  if (Math.max(above, below) < 1_000) throw new Failure('unsupported', `net.ipv4.ip_local_port_range ${first} ${last} of the network that is joined leaves a guest no ports to call out from`);
  return above >= 1_000 ? [last + 1, 65_535] : [1_024, first - 1];
}

/** The guest's part, as records of UPDATE. Pure. */
export function sharedRecords({ link, addresses, ports }: SharedLink): Buffer[] {
  const range = Buffer.alloc(4);
  guestPorts(ports).forEach((port, index) => range.writeUInt16LE(port, 2 * index));
  return addresses.map((address) => record(updateTag.sharedAddress, addressBytes(address), addressBytes(guestEnd), addressBytes(hostEnd), range, link));
}

const netfilter = (tables: Readonly<Record<string, readonly string[]>>): string => Object.entries(tables).map(([table, rules]) => [`*${table}`, `:${chain} - [0:0]`, ...rules.map((rule) => `-A ${chain} ${rule}`), 'COMMIT', ''].join('\n')).join('');

/**
 * The namespace's part, for /bin/sh within it; pure. Said again it changes nothing, and what an earlier machine left is replaced: without a tap the
 * rules lead nowhere, and the namespace is as if alone. The address of the tap comes last and says that all is there.
 */
export function sharingScript({ link, mac, addresses }: SharedLink): string {
  const loop = [`${loopPrefix}0`, `${loopPrefix}1`] as const;
  const conf = (device: string, settings: Readonly<Record<string, number>>): string[] => Object.entries(settings).map(([name, value]) => `echo ${value} > /proc/sys/net/ipv4/conf/${device}/${name}`);
  const inward = { accept_local: 1, rp_filter: 0, forwarding: 1, send_redirects: 0 };
  const rules = netfilter({
    // Seen when sent and again when it arrives: only the second time counts.
    raw: [`-o ${loop[0]} -j CT --notrack`],
    mangle: ['-m conntrack --ctstate ESTABLISHED,RELATED --ctdir REPLY -j RETURN', '-m socket --nowildcard -j RETURN', `-j MARK --set-mark ${mark}`],
    // The guest has the address itself and answers only another one.
    nat: [...addresses, guestEnd].map((source) => `-o ${tapName} -s ${source} -j SNAT --to-source ${hostEnd}`),
  });
  const jump = (table: string, rule: string): string => `iptables -w 10 -t ${table} -C ${rule} -j ${chain} 2>/dev/null || iptables -w 10 -t ${table} -A ${rule} -j ${chain}`;
  const policy = (at: number, kind: string): string => `ip rule show pref ${at} | grep -q . || ip rule add pref ${at} ${kind}`;
  const filter = (device: string, rest: string): string => `tc filter add dev ${device} parent ffff: ${rest}`;
  return [
    'set -e',
    `if ip -4 addr show dev ${tapName} | grep -q ${hostEnd}; then exit 0; fi`,
    `ip link show dev ${loop[0]} >/dev/null 2>&1 || ip link add ${loop[0]} type veth peer name ${loop[1]}`,
    `ip link set ${loop[1]} address ${loopMac}`,
    ...loop.map((device) => `echo 1 > /proc/sys/net/ipv6/conf/${device}/disable_ipv6 2>/dev/null || :; ip link set ${device} up`),
    ...[tapName, loop[1]].flatMap((device) => conf(device, inward)),
    ...conf('all', { rp_filter: 0, send_redirects: 0 }), ...conf(link, { forwarding: 1 }),
    `ip neigh replace ${guestEnd} lladdr ${mac} dev ${tapName} nud permanent`,
    `ip route replace ${guestEnd}/32 dev ${tapName} src ${addresses[0] ?? ''}`,
    `ip route replace default via ${guestEnd} dev ${tapName} onlink table ${toGuest}`,
    ...addresses.flatMap((address) => [`ip neigh replace ${address} lladdr ${loopMac} dev ${loop[0]} nud permanent`, `ip route replace ${address}/32 dev ${loop[0]} src ${address} table ${toLoop}`]),
    // In this order: at no moment is the namespace without its own addresses.
    policy(32, 'lookup local'), policy(10, `fwmark ${mark} lookup ${toGuest}`),
    ...addresses.map((address, index) => policy(11 + index, `iif lo to ${address} lookup ${toLoop}`)),
    'ip rule del pref 0 2>/dev/null || :',
    `iptables-restore -w 10 --noflush <<'RULES'\n${rules}RULES`,
    jump('raw', 'OUTPUT'), jump('nat', 'POSTROUTING'),
    ...addresses.flatMap((address) => [link, tapName, loop[1]].map((device) => jump('mangle', `PREROUTING -i ${device} -d ${address}`))),
    // The tap's words go out by the link, but for what is for the namespace; both hear the answers to ARP.
    `tc qdisc del dev ${tapName} ingress 2>/dev/null || :; tc qdisc add dev ${tapName} ingress`,
    ...[...addresses, hostEnd].map((address) => filter(tapName, `prio 1 protocol ip u32 match ip dst ${address}/32 flowid 1:1`)),
    filter(tapName, `prio 2 protocol arp u32 match u32 0x${addressBytes(hostEnd).toString('hex')} 0xffffffff at 24 flowid 1:1`),
    filter(tapName, `prio 3 protocol all u32 match u32 0 0 action mirred egress redirect dev ${link}`),
    `tc qdisc del dev ${link} ingress 2>/dev/null || :; tc qdisc add dev ${link} ingress`,
    filter(link, `prio 1 protocol arp u32 match u32 0 0 action mirred egress mirror dev ${tapName}`),
    `ip addr replace ${hostEnd}/32 dev ${tapName}`,
  ].join('\n');
}

const run = promisify(execFile);
const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C' };
const limits = { env, cwd: '/', timeout: 20_000, killSignal: 'SIGKILL', maxBuffer: 4 << 20 } as const;

async function readShared(netns: string): Promise<SharedLink | undefined> {
  const { stdout } = await run('/usr/bin/nsenter', [`--net=${netns}`, '/bin/sh', '-c', 'ip -j -d addr show && cat /proc/sys/net/ipv4/ip_local_port_range'], limits);
  const end = stdout.lastIndexOf(']') + 1;
  const links = JSON.parse(stdout.slice(0, end)) as readonly LinkInfo[];
  const [first = 0, last = 0] = stdout.slice(end).trim().split(/\s+/).map(Number);
  const link = links.find(({ link_type: type, linkinfo, ifname }) => type === 'ether' && linkinfo?.info_kind !== 'tun' && !ifname.startsWith(loopPrefix));
  const addresses = (link?.addr_info ?? []).filter(({ family }) => family === 'inet').map(({ local }) => local);
  if (link === undefined || addresses.length === 0 || !links.some(({ ifname }) => ifname === tapName)) return undefined;
  return { link: link.ifname, mac: link.address ?? '', addresses, ports: [first, last] };
}

/** Makes a machine's network one that processes of the host share. Nothing to do where it has no network, or shares it already. Throws `network`, `wrong-state`. */
export async function shareNetwork(root: string, id: string, netns: string): Promise<void> {
  try {
    const shared = await readShared(netns);
    if (shared === undefined) return;
    await askGuest(root, id, op.update, op.updated, Buffer.concat(sharedRecords(shared)));
    // Of several that come at once each waits for the one before.
    await run('/usr/bin/flock', [containerDir(root, id), '/usr/bin/nsenter', `--net=${netns}`, '/bin/sh', '-c', sharingScript(shared)], limits);
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw new Failure('network', `the network namespace ${netns} cannot be shared with a virtual machine: ${messageOf(cause).split('\n').slice(-3).join(' ')}`, { cause });
  }
}
