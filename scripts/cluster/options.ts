// What a one-machine cluster is made of: directories, addresses, names. Parses flags; must not create or start anything.
import { isIP } from 'node:net';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { environment } from '../config.ts';

/** What a caller may choose; everything has a default. */
export type ClusterOptions = {
  /** What survives `down`: the event log, images, volumes, container logs. */
  readonly data?: string | undefined;
  /** What does not survive a reboot: sockets, pid files, FIFOs, namespaces. Short: socket paths end at 107 bytes. */
  readonly run?: string | undefined;
  /** The processes' own logs. */
  readonly logs?: string | undefined;
  /** Unix socket of the API. */
  readonly socket?: string | undefined;
  /** `host:port` at which the API listens as well. */
  readonly tcp?: string | undefined;
  /** Port of nats-server; 0 for any free one, which is then kept. */
  readonly natsPort?: number | undefined;
  /** JetStream's sync_interval: `always`, or a duration such as `2s`. */
  readonly sync?: string | undefined;
  readonly bridge?: string | undefined;
  readonly subnet?: string | undefined;
  readonly hostId?: string | undefined;
  readonly logLevel?: string | undefined;
  /** Further environment for the three services. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Processes that this machine runs; the others are elsewhere. Default: all. */
  readonly processes?: readonly ProcessName[] | undefined;
  /** Where other machines reach NATS, or it is a cluster of several. Kept with the data once it was given. */
  readonly natsCluster?: NatsCluster | undefined;
  /** NATS of the cluster that this host has joined, as URLs; kept with the data. It runs containers and nothing else. */
  readonly joined?: readonly string[] | undefined;
  /** Network namespace, by name, that everything runs in. */
  readonly namespace?: string | undefined;
};

/** NATS as one of several machines sees it. Ports are the same on all: `natsPort` for clients, the next one for servers. */
export type NatsCluster = {
  /** Address of this machine; its server, if it has one, listens on it as well as on 127.0.0.1. */
  readonly address: string;
  /** Addresses of all machines that run a server. */
  readonly servers: readonly string[];
};

export type ProcessName = 'nats' | 'containerd' | 'agent' | 'scheduler' | 'api';

/** In the order of starting; stopping goes the other way round. */
export const startOrder: readonly ProcessName[] = ['nats', 'containerd', 'agent', 'scheduler', 'api'];

/** What runs while a backup is restored: nobody who would begin a log of its own. */
export const orderForRestore: readonly ProcessName[] = ['nats', 'containerd', 'agent'];

/** What a host that has joined runs. */
export const hostOrder: readonly ProcessName[] = ['containerd', 'agent'];

/** The options with every gap filled; what the supervisor reads from `<run>/cluster.json`. */
export type ClusterConfig = {
  readonly data: string;
  readonly run: string;
  readonly logs: string;
  readonly socket: string;
  readonly tcp: string | null;
  readonly natsPort: number;
  readonly sync: string;
  readonly bridge: string;
  readonly subnet: string;
  readonly hostId: string | null;
  readonly logLevel: string;
  readonly env: Readonly<Record<string, string>>;
  readonly processes: readonly ProcessName[];
  readonly natsCluster: NatsCluster | null;
  readonly joined: readonly string[] | null;
  readonly namespace: string | null;
};

export class OptionError extends Error {
  readonly code = 'bad-option';
}

const socketPathMax = 107;

/** Fills the gaps and refuses what could not work. */
export function resolveCluster(options: ClusterOptions): ClusterConfig {
  const config: ClusterConfig = {
    data: resolve(options.data ?? '/var/lib/pouch'),
    run: resolve(options.run ?? '/run/pouch'),
    logs: resolve(options.logs ?? '/var/log/pouch'),
    socket: resolve(options.socket ?? '/var/run/pouchd.sock'),
    tcp: options.tcp ?? null,
    natsPort: options.natsPort ?? 4722,
    sync: options.sync ?? 'always',
    bridge: options.bridge ?? 'pouch0',
    subnet: options.subnet ?? '10.147.0.0/16',
    hostId: options.hostId ?? null,
    logLevel: options.logLevel ?? 'info',
    env: options.env ?? {},
    processes: options.processes ?? startOrder,
    natsCluster: options.natsCluster ?? null,
    joined: options.joined ?? null,
    namespace: options.namespace ?? null,
  };
  for (const [name, path] of [['--run', containerdPaths(config).ttrpc], ['--socket', config.socket]] as const) {
    if (Buffer.byteLength(path) > socketPathMax) throw new OptionError(`${name} is too long: the socket ${path} would pass ${socketPathMax} bytes`);
  }
  if (!Number.isInteger(config.natsPort) || config.natsPort < 0 || config.natsPort > 65_535) throw new OptionError('--nats-port must be a port number, or 0 for a free one');
  if (!/^(always|\d+(ms|s|m|h))$/.test(config.sync)) throw new OptionError('--sync must be "always" or a duration such as 500ms, 2s or 2m');
  const [network = '', prefix = '', ...rest] = config.subnet.split('/');
  if (isIP(network) === 0 || !/^\d{1,3}$/.test(prefix) || Number(prefix) > (isIP(network) === 6 ? 128 : 32) || rest.length > 0) throw new OptionError(`--subnet must be an address and a prefix length, such as 10.147.0.0/16, not "${config.subnet}"`);
  if (!/^[a-zA-Z0-9_.-]{1,15}$/.test(config.bridge)) throw new OptionError('--bridge must be an interface name of at most 15 characters');
  return config;
}

/** Where clients find NATS. */
export function natsUrl({ natsPort, natsCluster, joined }: Pick<ClusterConfig, 'natsPort' | 'natsCluster' | 'joined'>): string {
  return joined?.join(',') ?? (natsCluster?.servers ?? ['127.0.0.1']).map((address) => `nats://${address}:${natsPort}`).join(',');
}

/** File of what signs for the cluster; only machines that found it have one. */
export const authorityFile = (config: Pick<ClusterConfig, 'data'>): string => join(config.data, 'authority.json');

/** nats-server's configuration, written at each start. */
export const natsConfigFile = (config: Pick<ClusterConfig, 'data'>): string => join(config.data, 'nats.conf');

/** Where nats-server keeps the log. */
export const natsStore = (config: Pick<ClusterConfig, 'data'>): string => join(config.data, 'nats');

/** Directory of what this machine shows to NATS, and trusts. */
export const memberDirectory = (config: Pick<ClusterConfig, 'data'>): string => join(config.data, 'member');

/** Where our containerd keeps its things. */
export function containerdPaths(config: Pick<ClusterConfig, 'data' | 'run'>): { root: string; state: string; socket: string; ttrpc: string; config: string } {
  const run = join(config.run, 'containerd');
  return {
    root: join(config.data, 'containerd'),
    state: join(run, 'state'),
    socket: join(run, 'containerd.sock'),
    ttrpc: join(run, 'containerd.sock.ttrpc'),
    config: join(run, 'config.toml'),
  };
}

/** File of the keys that the cluster's secrets are sealed with. */
export const secretsKeyFile = (config: Pick<ClusterConfig, 'data'>): string => join(config.data, 'secrets.key');

const names = ['data', 'run', 'logs', 'socket', 'tcp', 'address', 'servers', 'nats-port', 'sync', 'bridge', 'subnet', 'host-id', 'log-level'] as const;

/** The flags' help, one line each. */
export const optionsHelp = `
  --data DIR        event log, images, volumes (/var/lib/pouch)
  --run DIR         sockets, pid files, namespaces (/run/pouch)
  --logs DIR        logs of Pouch's processes (/var/log/pouch)
  --socket PATH     unix socket of the API (/var/run/pouchd.sock)
  --tcp HOST:PORT   the API listens here as well
  --address A       address of this machine for the others of a cluster; without, NATS is reached on 127.0.0.1 only
  --servers A,B,C   addresses of the machines with a NATS server, this one among them
  --nats-port N     nats-server's port (4722; 0: any free one); its servers among each other take the next one
  --sync WHEN       fsync of the log: always (default), or an interval such as 2s
  --bridge NAME     bridge of the containers (pouch0)
  --subnet CIDR     their addresses (10.147.0.0/16)
  --host-id ID      name of this host in the cluster (made from the host name)
  --log-level L     debug, info, warn or error
Each is also read from the environment, as POUCH_ and its name: POUCH_DATA, POUCH_NATS_PORT, …`;

/** Reads flags, and for those not given POUCH_DATA, POUCH_RUN, POUCH_NATS_PORT, … from the environment. */
export function parseClusterArguments(args: readonly string[]): { options: ClusterOptions; flags: ReadonlySet<string>; positionals: string[]; token: string | undefined } {
  const strings = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]));
  const parsed = parse(args, strings);
  const value = (name: (typeof names)[number]): string | undefined => {
    const given: unknown = parsed.values[name];
    return typeof given === 'string' ? given : environment.cluster[name];
  };
  const port = value('nats-port');
  return {
    options: {
      data: value('data'), run: value('run'), logs: value('logs'), socket: value('socket'), tcp: value('tcp'),
      natsPort: port === undefined ? undefined : Number(port), natsCluster: natsCluster(value('address'), value('servers')),
      sync: value('sync'), bridge: value('bridge'), subnet: value('subnet'), hostId: value('host-id'), logLevel: value('log-level'),
    },
    token: typeof parsed.values['token'] === 'string' ? parsed.values['token'] : undefined,
    flags: new Set(['purge', 'help', 'no-image', 'no-install', 'no-machines', 'for-restore'].filter((name) => parsed.values[name] === true)),
    positionals: parsed.positionals,
  };
}

function natsCluster(address: string | undefined, servers: string | undefined): NatsCluster | undefined {
  if (address === undefined && servers === undefined) return undefined;
  if (address === undefined) throw new OptionError('--servers needs --address: which of them is this machine?');
  const all = servers?.split(',').map((one) => one.trim()).filter((one) => one !== '') ?? [address];
  const wrong = [address, ...all].find((one) => !/^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(one));
  if (wrong !== undefined) throw new OptionError(`--address and --servers are IPv4 addresses or names without a port, such as 10.0.0.1, and ${wrong} is none`);
  if (!all.includes(address)) throw new OptionError(`--servers must name this machine's address ${address}, too`);
  return { address, servers: all };
}

function parse(args: readonly string[], strings: Record<string, { type: 'string' }>): { values: Record<string, unknown>; positionals: string[] } {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { ...strings, purge: { type: 'boolean' }, help: { type: 'boolean', short: 'h' }, 'no-image': { type: 'boolean' }, 'no-install': { type: 'boolean' }, 'no-machines': { type: 'boolean' }, 'for-restore': { type: 'boolean' }, token: { type: 'string' } },
    });
  } catch (cause) {
    throw new OptionError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}
