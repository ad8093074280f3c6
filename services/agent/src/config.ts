// The agent's configuration, from the environment: parsed once, frozen, passed in. Nothing else of the agent reads process.env.
import { accessSync, constants, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { delimiter, isAbsolute, join } from 'node:path';
import { Type } from 'typebox';
import { hostId, machineRuntime, type HostId, type RuntimeFacts } from '@pouch/domain';
import { shimPath } from '@pouch/native';
import { ConfigError, parseConfig, type LogLevel } from '@pouch/process';

const schema = Type.Object({
  POUCH_HOST_ID: Type.Optional(Type.String({ description: '1 to 63 of a-z, 0-9 and -; default: from the host name' })),
  POUCH_NATS_URL: Type.String({ default: 'nats://127.0.0.1:4222' }),
  POUCH_NATS_CREDS: Type.Optional(Type.String({ description: 'file with the credentials that this process shows to NATS; none: NATS asks for none' })),
  POUCH_NATS_CA: Type.Optional(Type.String({ description: "file of the certificate that the NATS servers' certificates must be signed with; with it every connection is TLS" })),
  POUCH_CONTAINERD_SOCKET: Type.String({ default: '/run/containerd/containerd.sock', description: 'path of containerd\'s socket' }),
  POUCH_CONTAINERD_NAMESPACE: Type.String({ default: 'pouch', pattern: '^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$' }),
  POUCH_SNAPSHOTTER: Type.String({ default: 'overlayfs' }),
  POUCH_DATA_DIR: Type.String({ default: '/var/lib/pouch/agent', description: 'absolute path' }),
  POUCH_RUN_DIR: Type.String({ default: '/run/pouch/agent', description: 'absolute path; gone at a reboot' }),
  POUCH_RUNTIMES: Type.String({ default: '{}', description: 'JSON object of name to path of an OCI runtime or name of a containerd shim' }),
  POUCH_SHIM: Type.Optional(Type.String({ description: 'containerd shim that runs the OCI runtimes: absolute path, or a name like io.containerd.runc.v2; default: the one that is part of this project' })),
  POUCH_QEMU: Type.Optional(Type.String({ description: 'absolute path of the QEMU for virtual machines; default: qemu-system-x86_64 in PATH' })),
  POUCH_KERNEL_DIR: Type.String({ default: '/var/lib/runv/kernels', description: 'absolute path of the store of guest kernels, which runv used by hand has too' }),
  POUCH_DEFAULT_KERNEL: Type.String({ default: 'debian-6.1-cloud', description: 'guest kernel of virtual machines that name none' }),
  POUCH_PROBE_KERNEL: Type.Boolean({ default: true, description: 'boot the default guest kernel under each profile in the background, once, to tell what it can' }),
  POUCH_MACHINE_POOL: Type.Integer({ default: 2, minimum: 0, maximum: 64, description: 'most paused machines kept ready for an image that was used lately; 0: none' }),
  POUCH_SECRETS_KEY: Type.Optional(Type.String({ description: 'absolute path of the file of the cluster keys, for secrets' })),
  POUCH_BRIDGE: Type.String({ default: 'pouch0', pattern: '^[A-Za-z0-9_.-]{1,15}$', description: 'name of the bridge, at most 15 characters' }),
  POUCH_SUBNET: Type.String({ default: '10.88.0.0/16', description: 'IPv4 network of the bridge, e.g. 10.88.0.0/16' }),
  POUCH_CNI_PATH: Type.String({ default: '/opt/cni/bin:/usr/lib/cni:/usr/libexec/cni', description: 'directories of the CNI plugins' }),
  POUCH_REGISTRIES: Type.String({ default: '{}', description: 'path of a JSON file, or the JSON: mirrors, plainHttp, credentials' }),
  POUCH_CGROUP_PARENT: Type.String({ default: 'pouch', pattern: '^[A-Za-z0-9_.-]+$' }),
  POUCH_ADDRESS: Type.Optional(Type.String({ description: 'address where published ports are reached' })),
  POUCH_LABELS: Type.String({ default: '', description: 'labels of the host, a=b,c=d' }),
  POUCH_LOG_LEVEL: Type.Union(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'].map((level) => Type.Literal(level)), { default: 'info' }),
  PATH: Type.String({ default: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' }),
});

export interface AgentConfig {
  readonly hostId: HostId;
  readonly natsUrl: string;
  /** Null: NATS asks for none. */
  readonly natsCredentials: string | null;
  /** File of the authority of the NATS servers' certificates; null: NATS without TLS. */
  readonly natsCa: string | null;
  readonly containerdSocket: string;
  readonly containerdNamespace: string;
  readonly snapshotter: string;
  /** What outlives a reboot: the agent's database, logs and generated files of containers. */
  readonly dataDir: string;
  /** FIFOs, namespaces and runtime state. */
  readonly runDir: string;
  /** By name; `runc` is always there. */
  readonly runtimes: readonly RuntimeFacts[];
  /** The containerd shim that calls OCI runtimes. */
  readonly shim: string;
  readonly machines: MachineSettings;
  /** File of the cluster keys; null: containers with secrets do not start here. */
  readonly secretsKey: string | null;
  readonly bridge: string;
  readonly subnet: string;
  readonly cniDirs: readonly string[];
  /** Checked by the images' room. */
  readonly registries: Readonly<Record<string, unknown>>;
  readonly cgroupParent: string;
  readonly address: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly logLevel: LogLevel;
  /** PATH for programs the agent starts. */
  readonly path: string;
}

/** What containers with a kernel of their own stand on. */
export interface MachineSettings {
  /** Null: there is none. */
  readonly qemu: string | null;
  readonly kernelDir: string;
  readonly defaultKernel: string;
  /** Whether the default kernel is booted to tell what it can, where that is not known. */
  readonly probeKernel: boolean;
  /** Most machines kept ready for one image; 0: none. */
  readonly pool: number;
}

/** The OCI runtime that is part of this project; it is only ever executed. */
const ownRunv = join(import.meta.dirname, '../../../packages/runv/bin/runv');

/** Throws a `ConfigError` that says which variable is wrong and what is right. */
export function readConfig(env: Readonly<Record<string, string | undefined>> = process.env): AgentConfig {
  const parsed = parseConfig(schema, env);
  for (const name of ['POUCH_DATA_DIR', 'POUCH_RUN_DIR', 'POUCH_CONTAINERD_SOCKET', 'POUCH_KERNEL_DIR', 'POUCH_QEMU'] as const) {
    if (!isAbsolute(parsed[name] ?? '/')) throw new ConfigError(`${name} must be an absolute path, not ${JSON.stringify(parsed[name])}`);
  }
  const shim = parsed.POUCH_SHIM ?? shimPath;
  if (!isAbsolute(shim) && !/^io\.containerd\.[a-z0-9.-]+$/.test(shim)) throw new ConfigError(`POUCH_SHIM must be an absolute path or a name like io.containerd.runc.v2, not ${JSON.stringify(shim)}`);
  const qemu = parsed.POUCH_QEMU ?? programPath('qemu-system-x86_64', parsed.PATH);
  return Object.freeze({
    hostId: toHostId(parsed.POUCH_HOST_ID),
    natsUrl: parsed.POUCH_NATS_URL,
    natsCredentials: parsed.POUCH_NATS_CREDS ?? null,
    natsCa: parsed.POUCH_NATS_CA ?? null,
    containerdSocket: parsed.POUCH_CONTAINERD_SOCKET,
    containerdNamespace: parsed.POUCH_CONTAINERD_NAMESPACE,
    snapshotter: parsed.POUCH_SNAPSHOTTER,
    dataDir: parsed.POUCH_DATA_DIR,
    runDir: parsed.POUCH_RUN_DIR,
    runtimes: runtimes(parsed.POUCH_RUNTIMES, parsed.PATH, qemu),
    shim,
    machines: Object.freeze({ qemu, kernelDir: parsed.POUCH_KERNEL_DIR, defaultKernel: parsed.POUCH_DEFAULT_KERNEL, probeKernel: parsed.POUCH_PROBE_KERNEL, pool: parsed.POUCH_MACHINE_POOL }),
    secretsKey: parsed.POUCH_SECRETS_KEY ?? null,
    bridge: parsed.POUCH_BRIDGE,
    subnet: parsed.POUCH_SUBNET,
    cniDirs: parsed.POUCH_CNI_PATH.split(delimiter).filter((path) => path !== ''),
    registries: jsonObject('POUCH_REGISTRIES', parsed.POUCH_REGISTRIES),
    cgroupParent: parsed.POUCH_CGROUP_PARENT,
    address: parsed.POUCH_ADDRESS ?? null,
    labels: labels(parsed.POUCH_LABELS),
    logLevel: parsed.POUCH_LOG_LEVEL as LogLevel,
    path: parsed.PATH,
  });
}

function toHostId(asked: string | undefined): HostId {
  const derived = hostname().toLowerCase().replaceAll(/[^a-z0-9-]+/g, '-').replace(/^-+/, '').slice(0, 63);
  try {
    return hostId(asked ?? (derived === '' ? 'host' : derived));
  } catch (error) {
    throw new ConfigError(`POUCH_HOST_ID: ${(error as Error).message}`);
  }
}

/** `runc` always, `crun` where it is installed, `runv` where there is a QEMU for it, and whatever the configuration names. */
function runtimes(text: string, path: string, qemu: string | null): RuntimeFacts[] {
  const known = new Map<string, string>([['runc', programPath('runc', path) ?? 'runc']]);
  for (const name of ['crun']) {
    const found = programPath(name, path);
    if (found !== null) known.set(name, found);
  }
  if (qemu !== null && process.arch === 'x64' && isExecutable(ownRunv) && isExecutable(qemu)) known.set(machineRuntime, ownRunv);
  for (const [name, value] of Object.entries(jsonObject('POUCH_RUNTIMES', text))) {
    if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/.test(name) || typeof value !== 'string' || value === '') throw new ConfigError(`POUCH_RUNTIMES: ${JSON.stringify(name)} must name a path or a containerd shim`);
    known.set(name, value);
  }
  return [...known].map(([name, runtimePath]) => ({ name, path: runtimePath }));
}

/** Absolute path of a program; null: not installed. */
export function programPath(name: string, path: string): string | null {
  for (const directory of path.split(delimiter)) {
    const candidate = join(directory, name);
    if (isExecutable(candidate)) return candidate;
  }
  return null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false; // not there, or not for us
  }
}

function jsonObject(name: string, text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(/^@?\//.test(text) ? readFileSync(text.replace(/^@/, ''), 'utf8') : text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch (error) {
    throw new ConfigError(`${name} must be a JSON object: ${(error as Error).message}`);
  }
  throw new ConfigError(`${name} must be a JSON object`);
}

function labels(text: string): Record<string, string> {
  const pairs = text.split(',').map((pair) => pair.trim()).filter((pair) => pair !== '');
  return Object.fromEntries(pairs.map((pair) => {
    const at = pair.indexOf('=');
    return at === -1 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)];
  }));
}
