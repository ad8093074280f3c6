// The processes of a one-machine cluster: how each is called and configured. Writes their configuration files; starts nothing.
import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { memberFiles, readAuthority, trustLines } from '@pouch/membership';
import { environment, projectDir, repositoryDir } from '../config.ts';
import { lacksJetStream, natsInfo } from './nats-info.ts';
import { adoptStore } from './nats-store.ts';
import { authorityFile, containerdPaths, memberDirectory, natsConfigFile, natsStore, natsUrl, secretsKeyFile, startOrder, type ClusterConfig, type ProcessName } from './options.ts';

export type ProcessSpec = {
  readonly name: ProcessName;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** How long it may take to end after SIGTERM. */
  readonly graceMs: number;
  /** Whether it takes connections; the next process waits for it, a bounded time. Undefined: nothing waits. */
  readonly accepts?: () => Promise<boolean>;
  /** Whether it runs and yet does not do its work, nor ever will, and could if it was started again. Asked every few seconds. Undefined: it is never so. */
  readonly useless?: () => Promise<boolean>;
};

/** Where the programs are that are not ours; `nats` null: this machine runs none. */
export type Programs = { readonly nats: string | null; readonly containerd: string };

/** Whether somebody listens there. */
async function accepts(path: string): Promise<boolean> {
  return await new Promise<boolean>((resolve) => {
    const socket = connect({ path });
    const answer = (yes: boolean): void => {
      socket.destroy();
      resolve(yes);
    };
    socket.setTimeout(1_000, () => answer(false));
    socket.once('error', () => answer(false));
    socket.once('connect', () => answer(true));
  });
}

const quoted = (text: string): string => JSON.stringify(text);

/** A server that hangs or is cut off is given up by the others after three of these; by default after more than a minute, in which they ask it and nobody answers. */
const routePing = 'ping_interval: "2s", ping_max: 2';

/**
 * How the servers of a cluster find each other; they show their certificates to each other. Addresses are written as the servers tell them to each other, letter by letter: of two
 * connections that are made at once one is kept, possibly with the told address, and when that breaks it is only made again if the configuration has the same (nats-server's pull requests 8454
 * and 8527, not in 2.10). One that is not made again may be that of the system's account, and without it no log can be made: "no suitable peers". The own address is among them, as the
 * servers want it: it is not connected to, but a server that begins anew goes by how many there are.
 */
function natsRoutes({ natsCluster, natsPort }: ClusterConfig, tls: string): string[] {
  if (natsCluster === null || natsCluster.servers.length < 2) return [];
  const { address, servers } = natsCluster;
  const own = `${address}:${natsPort + 1}`;
  const all = servers.map((server) => quoted(`nats-route://${server}:${natsPort + 1}/`));
  return [`cluster { name: pouch, listen: "${own}", advertise: "${own}", routes: [${all.join(', ')}], ${routePing}, tls { ${tls}, verify: true } }`];
}

/** Writes nats-server's configuration, and makes its store, for a machine that has been settled. Answers the file. */
export async function writeNatsConfig(config: ClusterConfig): Promise<string> {
  const file = natsConfigFile(config);
  const storeDir = natsStore(config);
  await mkdir(storeDir, { recursive: true, mode: 0o700 });
  const authority = await readAuthority(authorityFile(config));
  if (authority === null) throw new Error(`${authorityFile(config)} is gone: without it nats-server does not know whom to trust`);
  await adoptStore(storeDir, authority.trust.account.publicKey);
  const { ca, serverCert, serverKey } = memberFiles(memberDirectory(config));
  const tls = `cert_file: ${quoted(serverCert)}, key_file: ${quoted(serverKey)}, ca_file: ${quoted(ca)}, timeout: 5`;
  await writeFile(file, [
    '# Written at each start.',
    `server_name: ${quoted(`pouch-${config.hostId ?? 'host'}`)}`,
    `listen: "${config.natsCluster === null ? '127.0.0.1' : '0.0.0.0'}:${config.natsPort}"`,
    `tls { ${tls} }`,
    ...natsRoutes(config, tls),
    ...trustLines(authority.trust, join(storeDir, 'accounts')),
    'jetstream {',
    `  store_dir: ${quoted(storeDir)}`,
    // Always: a publish is acknowledged once it is fsynced. An interval is faster, and a power cut loses up to that much.
    `  sync_interval: ${quoted(config.sync)}`,
    '}',
    '',
  ].join('\n'));
  return file;
}

async function nats(config: ClusterConfig, program: string | null): Promise<ProcessSpec> {
  if (program === null) throw new Error('no nats-server was looked for on this machine');
  return {
    name: 'nats', command: program, args: ['-c', await writeNatsConfig(config)], env: {}, graceMs: 15_000,
    accepts: async () => await natsInfo(config.natsPort) !== null, useless: () => lacksJetStream(config.natsPort, natsStore(config)),
  };
}

/** Plugins that Pouch does not use, by the names of containerd 1.6 to 2.x; a name that a version does not know is passed over. */
const unusedPlugins = [
  'io.containerd.grpc.v1.cri', 'io.containerd.cri.v1.images', 'io.containerd.cri.v1.runtime', 'io.containerd.podsandbox.controller.v1.podsandbox',
  'io.containerd.internal.v1.opt', 'io.containerd.nri.v1.nri', 'io.containerd.internal.v1.tracing', 'io.containerd.tracing.processor.v1.otlp',
  'io.containerd.snapshotter.v1.aufs', 'io.containerd.snapshotter.v1.blockfile', 'io.containerd.snapshotter.v1.btrfs',
  'io.containerd.snapshotter.v1.devmapper', 'io.containerd.snapshotter.v1.erofs', 'io.containerd.snapshotter.v1.native', 'io.containerd.snapshotter.v1.zfs',
];

async function containerd(config: ClusterConfig, program: string): Promise<ProcessSpec> {
  const paths = containerdPaths(config);
  for (const directory of [paths.root, paths.state]) await mkdir(directory, { recursive: true, mode: 0o711 });
  await writeFile(paths.config, [
    '# Written at each start.',
    'version = 2',
    `root = ${quoted(paths.root)}`,
    `state = ${quoted(paths.state)}`,
    // Shims inherit it; lower ones need CAP_SYS_RESOURCE, which nested machines lack, and make runc fail with a misleading message.
    'oom_score = 0',
    `disabled_plugins = ${JSON.stringify(unusedPlugins)}`,
    '[grpc]',
    `  address = ${quoted(paths.socket)}`,
    '[ttrpc]',
    `  address = ${quoted(paths.ttrpc)}`,
    // Removed containers and images give their space back soon; by default only after a hundred changes of whatever kind.
    '[plugins."io.containerd.gc.v1.scheduler"]',
    '  deletion_threshold = 1',
    '  schedule_delay = "1s"',
    '',
  ].join('\n'));
  return {
    name: 'containerd', command: program, args: ['--config', paths.config, '--log-level', 'warn'],
    env: {}, graceMs: 15_000, accepts: () => accepts(paths.socket),
  };
}

/** On machines with much memory V8 lets the young generation of each of the api's two threads grow to 128 MB, for no speed that we could measure. */
const nodeFlags: Readonly<Record<string, readonly string[]>> = { api: ['--max-semi-space-size=16'] };

function service(name: 'agent' | 'scheduler' | 'api', config: ClusterConfig): ProcessSpec {
  const member = memberFiles(memberDirectory(config));
  return {
    name,
    command: process.execPath,
    args: [...(nodeFlags[name] ?? []), join(repositoryDir, 'services', name, 'src', 'main.ts')],
    env: {
      NODE_COMPILE_CACHE: join(projectDir, 'compile-cache'),
      NODE_ENV: 'production',
      POUCH_NATS_URL: natsUrl(config),
      POUCH_NATS_CREDS: member.creds(name),
      POUCH_NATS_CA: member.ca,
      POUCH_NATS_REPLICAS: String(Math.min(3, config.natsCluster?.servers.length ?? 1)),
      // api and agent keep their databases apart: a directory each.
      POUCH_DATA_DIR: join(config.data, name),
      POUCH_RUN_DIR: join(config.run, name),
      POUCH_SECRETS_KEY: secretsKeyFile(config),
      POUCH_SOCKET: config.socket,
      ...(config.tcp === null ? {} : { POUCH_TCP: config.tcp }),
      POUCH_HOST_ID: config.hostId ?? 'host',
      ...(name === 'api' ? { POUCH_AUTHORITY: authorityFile(config) } : {}),
      ...(config.natsCluster === null ? {} : { POUCH_ADDRESS: config.natsCluster.address }),
      POUCH_CONTAINERD_SOCKET: containerdPaths(config).socket,
      POUCH_BRIDGE: config.bridge,
      POUCH_SUBNET: config.subnet,
      POUCH_LOG_LEVEL: config.logLevel,
      ...config.env,
    },
    graceMs: 15_000,
  };
}

/** Writes the configuration files and says how every process is started, in starting order. */
export async function prepareProcesses(config: ClusterConfig, programs: Programs): Promise<ProcessSpec[]> {
  for (const name of ['agent', 'scheduler', 'api']) {
    await mkdir(join(config.data, name), { recursive: true, mode: 0o711 });
    await mkdir(join(config.run, name), { recursive: true, mode: 0o711 });
  }
  const base = { PATH: environment.path.join(':'), HOME: environment.home, LANG: 'C.UTF-8', ...environment.services };
  const wanted: Readonly<Record<ProcessName, () => Promise<ProcessSpec> | ProcessSpec>> = {
    nats: () => nats(config, programs.nats), containerd: () => containerd(config, programs.containerd), agent: () => service('agent', config), scheduler: () => service('scheduler', config), api: () => service('api', config),
  };
  const specs = await Promise.all(startOrder.filter((name) => config.processes.includes(name)).map(async (name) => await wanted[name]()));
  return specs.map((spec) => ({ ...spec, env: { ...base, ...spec.env } }));
}
