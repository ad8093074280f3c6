// Reads `-p` and `--expose` into Docker's PortBindings and ExposedPorts. Pure.
import { UsageError } from '../errors.ts';

export interface HostBinding {
  readonly HostIp: string;
  /** Decimal, a range `8000-8010` to choose from, or empty: the host chooses. */
  readonly HostPort: string;
}

export interface Ports {
  readonly exposed: Readonly<Record<string, Record<string, never>>>;
  readonly bindings: Readonly<Record<string, readonly HostBinding[]>>;
}

interface Range {
  readonly first: number;
  readonly last: number;
}

const shape = 'expected [address:][host-port:]container-port[/tcp|udp|sctp]';

/** `publish`: `-p` values; `expose`: `--expose` values. Ranges of the same length are paired one to one. */
export function toPorts(publish: readonly string[], expose: readonly string[]): Ports {
  const exposed: Record<string, Record<string, never>> = {};
  const bindings: Record<string, HostBinding[]> = {};
  for (const text of expose) {
    const { range, protocol } = containerPorts('--expose', text, text);
    for (let port = range.first; port <= range.last; port++) exposed[`${port}/${protocol}`] = {};
  }
  for (const text of publish) {
    const { address, host, container } = split(text);
    const { range, protocol } = containerPorts('-p', text, container);
    const hostRange = host === '' ? null : toRange('-p', text, host);
    const several = range.last - range.first;
    const hostSeveral = hostRange === null ? 0 : hostRange.last - hostRange.first;
    if (hostRange !== null && several !== hostSeveral && several !== 0) throw new UsageError(`-p ${text}: the two ranges differ in length`);
    for (let offset = 0; offset <= several; offset++) {
      const key = `${range.first + offset}/${protocol}`;
      exposed[key] = {};
      const hostPort = hostRange === null ? '' : several === 0 && hostSeveral > 0 ? `${hostRange.first}-${hostRange.last}` : String(hostRange.first + offset);
      (bindings[key] ??= []).push({ HostIp: address, HostPort: hostPort });
    }
  }
  return { exposed, bindings };
}

function split(text: string): { address: string; host: string; container: string } {
  const bracketed = /^\[([^\]]*)\]:(.*)$/.exec(text);
  const parts = (bracketed?.[2] ?? text).split(':');
  const container = parts.pop() as string;
  const host = parts.pop() ?? '';
  const address = bracketed?.[1] ?? parts.join(':');
  if ((bracketed !== null && parts.length > 0) || (bracketed === null && parts.length > 1)) throw new UsageError(`-p ${text}: an IPv6 address stands in brackets, e.g. [::1]:8080:80`);
  return { address, host, container };
}

function containerPorts(flag: string, text: string, ports: string): { range: Range; protocol: string } {
  const [numbers, protocol = 'tcp', ...rest] = ports.split('/');
  const lower = protocol.toLowerCase();
  if (numbers === undefined || rest.length > 0 || !['tcp', 'udp', 'sctp'].includes(lower)) throw new UsageError(`${flag} ${text}: ${shape}`);
  return { range: toRange(flag, text, numbers), protocol: lower };
}

function toRange(flag: string, text: string, numbers: string): Range {
  const [, first, last] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(numbers) ?? [];
  const range = { first: Number(first), last: Number(last ?? first) };
  const wrong = first === undefined || range.first < (flag === '-p' ? 0 : 1) || range.last > 65_535 || range.last < range.first;
  if (wrong) throw new UsageError(`${flag} ${text}: ${first === undefined ? shape : 'a port is between 1 and 65535, and a range goes upwards'}`);
  return range;
}
