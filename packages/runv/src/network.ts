// What the container's network namespace holds, and the same for the guest: its link's name, MAC, MTU, addresses and routes.
// It only reads; the monitor makes the tap.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { closeSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { runvFrontPath } from '@pouch/native';
import { Failure, messageOf } from './failure.ts';
import { tapFd } from './machine/qemu-command.ts';
import { configure } from './protocol/ops.ts';
import { record, u32 } from './protocol/records.ts';

export interface LinkInfo { readonly ifname: string; readonly link_type: string; readonly address?: string; readonly mtu?: number; readonly flags?: readonly string[]; readonly linkinfo?: { readonly info_kind?: string }; readonly addr_info?: readonly { readonly family: string; readonly local: string; readonly prefixlen: number; readonly scope?: string }[] }
interface RouteInfo { readonly dst: string; readonly gateway?: string; readonly dev?: string; readonly protocol?: string; readonly type?: string }

/** The tap of a machine, in the container's network namespace; it is there as long as its QEMU is. */
export const tapName = `tap${tapFd}`;

/** Of the links that sharing a namespace takes (network-sharing.ts). */
export const loopPrefix = 'rv-loop';

export interface GuestNetwork { readonly link: string; readonly mac: string; readonly records: readonly Buffer[] }

/** An address as bytes: 4 or 16. Throws a RangeError for what is none. */
export function addressBytes(text: string): Buffer {
  if (!text.includes(':')) {
    const parts = text.split('.').map(Number);
    if (parts.length !== 4 || parts.some((part) => !Number.isInteger(part) || part < 0 || part > 255)) throw new RangeError(`${text} is no address`);
    return Buffer.from(parts);
  }
  const [head = '', tail] = text.split('::');
  const groups = (part: string): number[] => (part === '' ? [] : part.split(':').flatMap((group) => (group.includes('.') ? [...addressBytes(group)] : [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255])));
  const [before, after] = [groups(head), tail === undefined ? [] : groups(tail)];
  const gap = 16 - before.length - after.length;
  if (gap < 0 || (tail === undefined && gap !== 0) || [...before, ...after].some(Number.isNaN)) throw new RangeError(`${text} is no address`);
  return Buffer.from([...before, ...new Array<number>(gap).fill(0), ...after]);
}

function routeRecord(route: RouteInfo, family: 4 | 6, link: string): Buffer {
  const [destination = '', prefix] = route.dst === 'default' ? [family === 4 ? '0.0.0.0' : '::', '0'] : route.dst.split('/');
  const bytes = addressBytes(destination);
  return record(configure.route, Buffer.from([family, prefix === undefined ? bytes.length * 8 : Number(prefix), 0, 0]), bytes, route.gateway === undefined ? Buffer.alloc(bytes.length) : addressBytes(route.gateway), link);
}

/**
 * From the words of iproute2 (`ip -j`). Undefined where there is no link but the loopback. Pure.
 * Throws a Failure for what a machine cannot have: several links, and a namespace that another machine has.
 */
export function guestNetwork(links: readonly LinkInfo[], routes4: readonly RouteInfo[], routes6: readonly RouteInfo[]): GuestNetwork | undefined {
  const real = links.filter(({ ifname, link_type: type, linkinfo }) => type === 'ether' && linkinfo?.info_kind !== 'tun' && !ifname.startsWith(loopPrefix));
  const [link, ...more] = real;
  if (link === undefined) return undefined;
  if (links.some(({ ifname, linkinfo }) => ifname === tapName && linkinfo?.info_kind === 'tun')) throw new Failure('unsupported', `the network namespace is that of another virtual machine (${tapName} is there), and of two it could not be told which one listens on a port: give this container a network of its own`);
  if (more.length > 0) throw new Failure('unsupported', `the interfaces ${real.map(({ ifname }) => ifname).join(', ')}: a virtual machine has one network interface`);
  const mac = link.address ?? '';
  const name = link.ifname;
  const addresses = (link.addr_info ?? []).filter(({ scope }) => scope !== 'link').map(({ family, local, prefixlen }) => record(configure.address, Buffer.from([family === 'inet6' ? 6 : 4, prefixlen, 0, 0]), addressBytes(local), name));
  // Those that come with the addresses the guest's kernel makes by itself; those without a gateway stand before those that need them.
  const own = (routes: readonly RouteInfo[], family: 4 | 6): Buffer[] => routes
    .filter((route) => route.dev === name && route.protocol !== 'kernel' && (route.type ?? 'unicast') === 'unicast' && !route.dst.startsWith('fe80'))
    .toSorted((a, b) => Number(a.gateway !== undefined) - Number(b.gateway !== undefined)).map((route) => routeRecord(route, family, name));
  const macBytes = Buffer.from(mac.split(':').map((part) => Number.parseInt(part, 16)));
  return { link: name, mac, records: [record(configure.link, u32(link.mtu ?? 1500), macBytes, Buffer.alloc(2), name), ...addresses, ...own(routes4, 4), ...own(routes6, 6)] };
}

const run = promisify(execFile);
const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C' };

/** What runv's front says of a namespace: from `given`, a descriptor where it has begun to, else by running it. Throws `network`. */
export async function readNetwork(netns: string, given?: number): Promise<GuestNetwork | undefined> {
  const text = given === undefined ? await described(netns) : readToEnd(given);
  const reason = /^error (.*)/.exec(text)?.[1] ?? (text === '' ? 'it is not told' : undefined);
  if (reason !== undefined) throw new Failure('network', `the network namespace ${netns} cannot be read: ${reason}`);
  const [links = [], routes4 = [], routes6 = []] = text.trimEnd().split('\n').map((part) => JSON.parse(part) as unknown[]);
  return guestNetwork(links as LinkInfo[], routes4 as RouteInfo[], routes6 as RouteInfo[]);
}

async function described(netns: string): Promise<string> {
  try {
    return (await run(runvFrontPath, [process.execPath, process.argv[1] ?? '', 'network', netns], { env, cwd: '/', timeout: 10_000, killSignal: 'SIGKILL', maxBuffer: 4 << 20 })).stdout;
  } catch (cause) {
    // What it told is its answer then, too.
    if (cause instanceof Error && 'stdout' in cause && String(cause.stdout).startsWith('error ')) return String(cause.stdout);
    throw new Failure('network', `the network namespace ${netns} cannot be read: ${messageOf(cause)}`, { cause });
  }
}

function readToEnd(descriptor: number): string {
  try {
    return readFileSync(descriptor, 'utf8');
  } finally {
    closeSync(descriptor);
  }
}

/** A new network namespace, held by a process until `end` is called or this process has ended: for hooks that set it up by the process's pid. */
export async function newNetwork(): Promise<{ readonly pid: number; readonly path: string; readonly end: () => void }> {
  const child: ChildProcess = spawn('/usr/bin/unshare', ['--net', '/bin/sh', '-c', 'echo ready; exec cat'], { env, cwd: '/', stdio: ['pipe', 'pipe', 'ignore'] });
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => reject(new Failure('network', 'a network namespace cannot be made')));
    child.stdout?.once('data', () => resolve());
  });
  return { pid: child.pid ?? 0, path: `/proc/${child.pid}/ns/net`, end: () => { child.kill('SIGKILL'); } };
}
