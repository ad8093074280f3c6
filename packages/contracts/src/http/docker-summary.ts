// One line of `docker ps`, from a container's state. Pure, so that a projection may keep it rendered: only `Status` depends on the
// present and is made when it is read. It must stay cheap: lists hold tens of thousands of these.
import type { Container, Mount, PortBinding } from '@pouch/domain';
import { Type, type Static } from 'typebox';

const DockerPort = Type.Object({ IP: Type.Optional(Type.String()), PrivatePort: Type.Integer(), PublicPort: Type.Optional(Type.Integer()), Type: Type.String() });
export type DockerPort = Static<typeof DockerPort>;

export const DockerMountPoint = Type.Object({
  Type: Type.String(), Source: Type.String(), Destination: Type.String(), Mode: Type.String(), RW: Type.Boolean(), Propagation: Type.String(),
});
export type DockerMountPoint = Static<typeof DockerMountPoint>;

export const DockerEndpoint = Type.Object({
  NetworkID: Type.String(), EndpointID: Type.String(), Gateway: Type.String(), IPAddress: Type.String(), IPPrefixLen: Type.Integer(), MacAddress: Type.String(),
  IPv6Gateway: Type.String(), GlobalIPv6Address: Type.String(), GlobalIPv6PrefixLen: Type.Integer(),
});
export type DockerEndpoint = Static<typeof DockerEndpoint>;

/** All of a list entry but `Status`. */
export const ContainerSummary = Type.Object({
  Id: Type.String(),
  Names: Type.Array(Type.String()),
  Image: Type.String(),
  ImageID: Type.String(),
  Command: Type.String(),
  /** Unix seconds. */
  Created: Type.Integer(),
  Ports: Type.Array(DockerPort),
  Labels: Type.Record(Type.String(), Type.String()),
  State: Type.String(),
  /** `Runtime` is not Docker's: clients of PouchContainer read it here. */
  HostConfig: Type.Object({ NetworkMode: Type.String(), Runtime: Type.String() }),
  NetworkSettings: Type.Object({ Networks: Type.Record(Type.String(), DockerEndpoint) }),
  Mounts: Type.Array(DockerMountPoint),
});
export type ContainerSummary = Static<typeof ContainerSummary>;

export const ContainerListEntry = Type.Intersect([
  ContainerSummary,
  Type.Object({ Status: Type.String(), SizeRw: Type.Optional(Type.Integer()), SizeRootFs: Type.Optional(Type.Integer()) }),
]);
export type ContainerListEntry = Static<typeof ContainerListEntry>;

/** Docker's word for the state. A container that its host has yet to make is shown as created, so that it can be seen and removed. */
export type DockerState = 'created' | 'running' | 'paused' | 'restarting' | 'removing' | 'exited';

export function dockerState(container: Container): DockerState {
  if (container.requests.some(({ action }) => action.kind === 'remove')) return 'removing';
  switch (container.status) {
    case 'assigned':
      return 'created';
    case 'removed':
      return 'removing';
    case 'created':
    case 'running':
    case 'paused':
    case 'restarting':
    case 'exited':
      return container.status;
  }
}

/** What the `Status` text is made of: small enough to be kept in a row. `sinceMs`: start of the run, or its end. */
export interface StatusBasis {
  readonly state: DockerState;
  readonly sinceMs: number;
  readonly exitCode: number;
}

export function statusBasis(container: Container): StatusBasis {
  const state = dockerState(container);
  switch (container.status) {
    case 'running':
    case 'paused':
      return { state, sinceMs: container.run.startedAtMs, exitCode: 0 };
    case 'assigned':
      return { state, sinceMs: container.createdAtMs, exitCode: 0 };
    case 'created':
    case 'restarting':
    case 'exited':
    case 'removed':
      return { state, sinceMs: container.lastExit?.finishedAtMs ?? container.createdAtMs, exitCode: container.lastExit?.exitCode ?? 0 };
  }
}

/** `Up 3 minutes`, `Exited (0) 2 seconds ago`, ... as of `nowMs`. */
export function statusText({ state, sinceMs, exitCode }: StatusBasis, nowMs: number): string {
  const elapsed = elapsedText(nowMs - sinceMs);
  switch (state) {
    case 'created':
      return 'Created';
    case 'running':
      return `Up ${elapsed}`;
    case 'paused':
      return `Up ${elapsed} (Paused)`;
    case 'restarting':
      return `Restarting (${exitCode}) ${elapsed} ago`;
    case 'removing':
      return 'Removal In Progress';
    case 'exited':
      return `Exited (${exitCode}) ${elapsed} ago`;
  }
}

/** A length of time in Docker's words; less than nothing (clocks of two machines) counts as nothing. */
export function elapsedText(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  if (seconds < 1) return 'Less than a second';
  if (seconds === 1) return '1 second';
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.floor(seconds / 60);
  if (minutes === 1) return 'About a minute';
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.round(seconds / 3_600);
  if (hours === 1) return 'About an hour';
  if (hours < 48) return `${hours} hours`;
  const days = Math.floor(hours / 24);
  if (days < 14) return `${days} days`;
  if (days < 60) return `${Math.floor(days / 7)} weeks`;
  if (days < 365) return `${Math.floor(days / 30)} months`;
  return `${Math.floor(days / 365)} years`;
}

/** The list entry without `Status`. */
export function containerSummary(container: Container): ContainerSummary {
  const { spec } = container;
  return {
    Id: container.id,
    Names: [`/${container.name}`],
    Image: spec.image.reference,
    ImageID: spec.image.id,
    Command: commandText([...spec.entrypoint, ...spec.cmd]),
    Created: Math.floor(container.createdAtMs / 1_000),
    Ports: dockerPorts(container),
    Labels: spec.labels,
    State: dockerState(container),
    HostConfig: { NetworkMode: networkModeText(container), Runtime: spec.runtime },
    NetworkSettings: { Networks: dockerNetworks(container) },
    Mounts: dockerMountPoints(spec.mounts),
  };
}

function commandText([path = '', ...args]: readonly string[]): string {
  return [path, ...args.map((arg) => (arg.includes(' ') ? `'${arg}'` : arg))].join(' ');
}

/** `HostConfig.NetworkMode` as Docker writes it. */
export function networkModeText({ spec: { network } }: Pick<Container, 'spec'>): string {
  return network.mode === 'container' ? `container:${network.containerId}` : network.mode;
}

/** Ports exposed and published: as the host bound them while it runs, else only the exposed ones. */
function dockerPorts(container: Container): DockerPort[] {
  if (container.status !== 'running' && container.status !== 'paused') return [];
  const published = container.run.network.ports.map((port) => ({ IP: port.hostIp || '0.0.0.0', PrivatePort: port.containerPort, PublicPort: port.hostPort, Type: port.protocol }));
  const bound = new Set(published.map((port) => `${port.PrivatePort}/${port.Type}`));
  const exposed = container.spec.exposedPorts.filter((port) => !bound.has(port)).map((port) => ({ PrivatePort: Number.parseInt(port, 10), Type: port.split('/')[1] ?? 'tcp' }));
  return [...published, ...exposed];
}

/** The one network that a container is on, under Docker's name of it; none where it shares another's. */
export function dockerNetworks(container: Container): Record<string, DockerEndpoint> {
  const { mode } = container.spec.network;
  if (mode === 'container') return {};
  const network = container.status === 'running' || container.status === 'paused' ? container.run.network : null;
  return {
    [mode]: {
      NetworkID: '',
      EndpointID: '',
      Gateway: network?.gateway ?? '',
      IPAddress: network?.ipAddress ?? '',
      IPPrefixLen: network?.prefixLength ?? 0,
      MacAddress: network?.macAddress ?? '',
      IPv6Gateway: '',
      GlobalIPv6Address: '',
      GlobalIPv6PrefixLen: 0,
    },
  };
}

/** Mounts as lists and inspect show them. */
export function dockerMountPoints(mounts: readonly Mount[]): DockerMountPoint[] {
  return mounts.filter((mount) => mount.declaredAs !== 'tmpfs').map((mount) =>
    mount.type === 'bind'
      ? { Type: 'bind', Source: mount.source, Destination: mount.target, Mode: mount.readonly && mount.declaredAs === 'binds' ? 'ro' : '', RW: !mount.readonly, Propagation: mount.propagation }
      : { Type: 'tmpfs', Source: '', Destination: mount.target, Mode: '', RW: !mount.options.includes('ro'), Propagation: '' });
}

/** `80/tcp`: the key under which Docker files a binding. */
export const portKey = (port: Pick<PortBinding, 'containerPort' | 'protocol'>) => `${port.containerPort}/${port.protocol}`;
