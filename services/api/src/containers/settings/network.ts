// Settings of the network: mode, ports, name resolution. Says what the container is to have; the host makes it.
import { isIP } from 'node:net';
import type { NetworkMode, PortBinding } from '@pouch/domain';
import { badField, HttpError } from '../../errors.ts';
import { host, type Reading, type Setting } from './table.ts';

export const networkSettings: readonly Setting[] = [
  host('NetworkMode', (draft, value, reading) => { draft.network = networkMode(value, reading); }, ({ network }) => (network.mode === 'container' ? `container:${network.containerId}` : network.mode)),
  host('PortBindings', (draft, value, { field }) => {
    draft.ports = Object.entries(value).flatMap(([key, bindings]) => bindings.map((binding, index) => portBinding(key, binding, `${field}.${key}[${index}]`)));
    // A published port counts as exposed, as the CLI says it.
    draft.exposedPorts = [...new Set([...draft.exposedPorts, ...draft.ports.map(portKey)])];
  }, ({ ports }) => {
    const shown: Record<string, { HostIp: string; HostPort: string }[]> = {};
    for (const port of ports) (shown[portKey(port)] ??= []).push({ HostIp: port.hostIp, HostPort: port.hostPort === null ? '' : String(port.hostPort) });
    return shown;
  }),
  host('PublishAllPorts', (draft, value) => { draft.publishAllPorts = value; }, (spec) => spec.publishAllPorts),
  host('ExtraHosts', (draft, value, { field }) => { draft.extraHosts = value.map((entry, index) => extraHost(entry, `${field}[${index}]`)); }, (spec) => spec.extraHosts),
  host('Dns', (draft, value, { field }) => {
    const wrong = value.find((address) => isIP(address) === 0);
    if (wrong !== undefined) throw badField(field, `bad address ${JSON.stringify(wrong)}`);
    draft.dns = value;
  }, (spec) => spec.dns),
  host('DnsSearch', (draft, value, { field }) => { draft.dnsSearch = value.map((name) => oneWord(name, field)); }, (spec) => spec.dnsSearch),
  host('DnsOptions', (draft, value, { field }) => { draft.dnsOptions = value.map((option) => oneWord(option, field)); }, (spec) => spec.dnsOptions),
];

/** `80/tcp`: the key under which Docker files a binding. */
export const portKey = (port: Pick<PortBinding, 'containerPort' | 'protocol'>): string => `${port.containerPort}/${port.protocol}`;

function networkMode(value: string, { field, surroundings }: Reading): NetworkMode {
  switch (value) {
    case '':
    case 'default':
    case 'bridge':
      return { mode: 'bridge' };
    case 'none':
    case 'host':
      return { mode: value };
  }
  if (!value.startsWith('container:')) throw badField(field, `network ${JSON.stringify(value)} not found: networks of your own are not there yet; bridge, none, host and container:NAME are`);
  const name = value.slice('container:'.length);
  const target = name === '' ? null : surroundings.findContainer(name);
  // Not 404: clients take that for a missing image, pull, and try again.
  if (target === null) throw badField(field, `No such container: ${name}`);
  if (target.spec.network.mode === 'container') throw new HttpError(409, `cannot join network namespace of container ${target.name}: it has joined another one's itself`);
  return { mode: 'container', containerId: target.id };
}

/** `80/tcp`, `80`: normalised to `80/tcp`. */
export function exposedPort(text: string, field: string): string {
  const { containerPort, protocol } = portSpec(text, field);
  return `${containerPort}/${protocol}`;
}

function portSpec(text: string, field: string): Pick<PortBinding, 'containerPort' | 'protocol'> {
  const match = /^(\d{1,5})(?:\/([a-zA-Z]+))?$/.exec(text);
  const containerPort = Number(match?.[1] ?? Number.NaN);
  const protocol = (match?.[2] ?? 'tcp').toLowerCase();
  if (!(containerPort >= 1 && containerPort <= 65_535)) throw badField(field, `invalid port specification: ${JSON.stringify(text.slice(0, 80))}`);
  if (protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'sctp') throw badField(field, `invalid proto: ${JSON.stringify(protocol.slice(0, 40))}`);
  return { containerPort, protocol };
}

function portBinding(key: string, { HostIp = '', HostPort = '' }: { HostIp?: string; HostPort?: string }, field: string): PortBinding {
  if (HostIp !== '' && isIP(HostIp) === 0) throw badField(`${field}.HostIp`, `invalid IP address ${JSON.stringify(HostIp.slice(0, 80))}`);
  if (/^\d+-\d+$/.test(HostPort)) throw badField(`${field}.HostPort`, 'a range of host ports does not take effect yet: name one port, or leave it empty for a free one');
  const hostPort = HostPort === '' || HostPort === '0' ? null : /^\d{1,5}$/.test(HostPort) ? Number(HostPort) : Number.NaN;
  if (hostPort !== null && !(hostPort <= 65_535)) throw badField(`${field}.HostPort`, `invalid port ${JSON.stringify(HostPort.slice(0, 80))}`);
  return { ...portSpec(key, field), hostIp: HostIp, hostPort };
}

function extraHost(entry: string, field: string): string {
  const colon = entry.indexOf(':');
  const name = entry.slice(0, Math.max(colon, 0));
  const address = entry.slice(colon + 1).replace(/^\[(.*)\]$/, '$1');
  if (name === '' || /\s/.test(name)) throw badField(field, `bad format for add-host: ${JSON.stringify(entry.slice(0, 80))}`);
  // The host's own address on the bridge: only the host knows it.
  if (address === 'host-gateway') return `${name}:${address}`;
  if (isIP(address) === 0) throw badField(field, `invalid IP address in add-host: ${JSON.stringify(address.slice(0, 80))}`);
  return `${name}:${address}`;
}

function oneWord(text: string, field: string): string {
  if (text === '' || /\s/.test(text)) throw badField(field, `${JSON.stringify(text.slice(0, 80))} must be one word`);
  return text;
}
