// The files of /etc that a container gets from its host: hosts and resolv.conf. Pure.

export interface HostsInput {
  readonly hostname: string;
  readonly domainname: string;
  /** The container's own addresses; none without a network. */
  readonly addresses: readonly string[];
  /** `name:address`; the address `host-gateway` is the host as the container reaches it. */
  readonly extraHosts: readonly string[];
  readonly hostGateway: string | null;
}

/** Text of /etc/hosts. */
export function hostsFile({ hostname, domainname, addresses, extraHosts, hostGateway }: HostsInput): string {
  const names = domainname === '' ? hostname : `${hostname}.${domainname} ${hostname}`;
  const extra = extraHosts.flatMap((entry) => {
    const at = entry.indexOf(':');
    const [name, address] = [entry.slice(0, at), entry.slice(at + 1)];
    const resolved = address === 'host-gateway' ? hostGateway : address;
    return at > 0 && resolved !== null ? [`${resolved}\t${name}`] : [];
  });
  const lines = [
    '127.0.0.1\tlocalhost', '::1\tlocalhost ip6-localhost ip6-loopback', 'fe00::\tip6-localnet', 'ff00::\tip6-mcastprefix', 'ff02::1\tip6-allnodes', 'ff02::2\tip6-allrouters',
    ...extra, ...addresses.map((address) => `${address}\t${names}`),
  ];
  return `${lines.join('\n')}\n`;
}

export interface ResolvConfInput {
  /** The host's own /etc/resolv.conf. */
  readonly hostText: string;
  readonly dns: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly dnsOptions: readonly string[];
  /** Whether the container shares the host's network: then its resolvers on loopback and on IPv6 are reachable. */
  readonly sharesHostNetwork: boolean;
}

/** Docker's choice where the host names no resolver that a container could reach. */
const fallbackNameservers = ['8.8.8.8', '8.8.4.4'];

/** Text of /etc/resolv.conf: what was asked, else the host's, without those on its loopback and on IPv6 (containers' networks are IPv4). A search of `.` means none. */
export function resolvConf({ hostText, dns, dnsSearch, dnsOptions, sharesHostNetwork }: ResolvConfInput): string {
  const host = hostText.split('\n').map((line) => line.trim().split(/\s+/));
  const ofHost = (keyword: string) => host.filter(([first]) => first === keyword).flatMap(([, ...rest]) => rest);
  const reachable = ofHost('nameserver').filter((address) => sharesHostNetwork || !(address.startsWith('127.') || address.includes(':')));
  const nameservers = dns.length > 0 ? dns : reachable.length > 0 ? reachable : fallbackNameservers;
  const searches = host.filter(([first]) => first === 'search' || first === 'domain').at(-1)?.slice(1) ?? [];
  const search = dnsSearch.length > 0 ? dnsSearch.filter((domain) => domain !== '.') : searches;
  const options = dnsOptions.length > 0 ? dnsOptions : ofHost('options');
  const lines = [...nameservers.map((address) => `nameserver ${address}`), ...(search.length > 0 ? [`search ${search.join(' ')}`] : []), ...(options.length > 0 ? [`options ${options.join(' ')}`] : [])];
  return `${lines.join('\n')}\n`;
}
