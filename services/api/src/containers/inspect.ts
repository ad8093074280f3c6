// GET /containers/{id}/json: the whole of a container in Docker's shape, from its state. Pure but for what is passed in.
import { healthOf, type Container, type Exec, type Exit, type Host, type NetworkAttachment, type Placement, type Run } from '@pouch/domain';
import { dockerState, mountPoints, networkModeOf } from '@pouch/projections';
import type { Probes } from './health.ts';
import { showConfig, showHostConfig } from './settings.ts';
import { portKey } from './settings/network.ts';
import { inspectNode, inspectPlacement, mountpointOn, troubleOf } from './whereabouts.ts';

export interface InspectSources {
  readonly host: Host | null;
  readonly placement: Placement | null;
  readonly execs: readonly Exec[];
  readonly sizes: { readonly writableBytes: number; readonly rootBytes: number } | null;
  /** Null: its host was not asked or does not tell. */
  readonly probes: Probes | null;
}

/** Docker's zero of a time. */
const never = '0001-01-01T00:00:00Z';

export function inspectContainer(container: Container, { host, placement, execs, sizes, probes }: InspectSources): Record<string, unknown> {
  const { id, name, spec } = container;
  const [path = '', ...args] = [...spec.entrypoint, ...spec.cmd];
  const running = execs.filter((exec) => exec.status === 'running').map((exec) => exec.id);
  return {
    Id: id,
    Created: timestamp(container.createdAtMs),
    Path: path,
    Args: args,
    State: inspectState(container, troubleOf(container, host), probes),
    Image: spec.image.id,
    ResolvConfPath: '',
    HostnamePath: '',
    HostsPath: '',
    // On the container's host, as Docker's: read it with `docker logs`.
    LogPath: '',
    Name: `/${name}`,
    RestartCount: container.restartCount,
    Driver: 'overlay2',
    Platform: host?.facts.platform.os ?? 'linux',
    MountLabel: '',
    ProcessLabel: '',
    AppArmorProfile: '',
    ExecIDs: running.length > 0 ? running : null,
    HostConfig: showHostConfig(spec),
    GraphDriver: { Name: 'overlay2', Data: null },
    ...(sizes === null ? {} : { SizeRw: sizes.writableBytes, SizeRootFs: sizes.rootBytes }),
    Mounts: mountPoints(container, (dataId) => mountpointOn(host, dataId)),
    Config: showConfig(spec),
    NetworkSettings: inspectNetwork(container),
    Node: inspectNode(container, host),
    ...(container.predecessor === undefined ? {} : { Predecessor: container.predecessor }),
    ...(container.replaced === undefined ? {} : { Successor: container.replaced.successorId }),
    Placement: inspectPlacement(container, placement),
  };
}

function inspectState(container: Container, trouble: string | null, probes: Probes | null): Record<string, unknown> {
  const run = runOf(container);
  const exit = run === null ? lastExitOf(container) : null;
  const removing = container.requests.some(({ action }) => action.kind === 'remove');
  return {
    Status: removing && container.replaced === undefined ? 'removing' : dockerState(container),
    Running: run !== null || container.status === 'restarting',
    Paused: container.status === 'paused',
    Restarting: container.status === 'restarting',
    OOMKilled: exit?.oomKilled ?? false,
    Dead: container.replaced !== undefined,
    Pid: run?.pid ?? 0,
    ExitCode: exit?.exitCode ?? 0,
    Error: trouble ?? exit?.error ?? '',
    StartedAt: run !== null ? timestamp(run.startedAtMs) : exit === null ? never : timestamp(exit.startedAtMs),
    FinishedAt: exit === null ? never : timestamp(exit.finishedAtMs),
    ...inspectHealth(container, probes),
  };
}

function inspectHealth(container: Container, told: Probes | null): Record<string, unknown> {
  const status = healthOf(container);
  if (status === null) return {};
  if (told === null) return { Health: { Status: status } };
  const log = told.probes.map(({ startedAtMs, endedAtMs, exitCode, output }) => ({ Start: timestamp(startedAtMs), End: timestamp(endedAtMs), ExitCode: exitCode, Output: output }));
  return { Health: { Status: status, FailingStreak: told.failingStreak, Log: log } };
}

const timestamp = (ms: number): string => new Date(ms).toISOString().replace(/(\.\d{3})Z$/, '$1000000Z');

function runOf(container: Container): Run | null {
  return container.status === 'running' || container.status === 'paused' ? container.run : null;
}

function lastExitOf(container: Container): Exit | null {
  return 'lastExit' in container ? container.lastExit : null;
}

function inspectNetwork(container: Container): Record<string, unknown> {
  const network = runOf(container)?.network ?? null;
  const mode = networkModeOf(container);
  const plain = {
    Gateway: network?.gateway ?? '', IPAddress: network?.ipAddress ?? '', IPPrefixLen: network?.prefixLength ?? 0, MacAddress: network?.macAddress ?? '',
    IPv6Gateway: '', GlobalIPv6Address: '', GlobalIPv6PrefixLen: 0, EndpointID: '',
  };
  return {
    Bridge: '', SandboxID: '', HairpinMode: false, LinkLocalIPv6Address: '', LinkLocalIPv6PrefixLen: 0, SandboxKey: '', SecondaryIPAddresses: null, SecondaryIPv6Addresses: null,
    Ports: network === null ? {} : portMap(container, network),
    ...plain,
    // A container that has joined another one's network is on none of its own.
    Networks: container.spec.network.mode === 'container' ? {} : { [mode]: { IPAMConfig: null, Links: null, Aliases: null, DriverOpts: null, NetworkID: '', ...plain } },
  };
}

/** Every exposed port; null where it is not published. */
function portMap({ spec }: Container, { ports }: NetworkAttachment): Record<string, { HostIp: string; HostPort: string }[] | null> {
  const map: Record<string, { HostIp: string; HostPort: string }[] | null> = {};
  for (const port of spec.exposedPorts) map[port] = null;
  for (const port of ports) (map[portKey({ containerPort: port.containerPort, protocol: port.protocol as 'tcp' })] ??= []).push({ HostIp: port.hostIp || '0.0.0.0', HostPort: String(port.hostPort) });
  return map;
}
