// Docker's list item of a container, rendered once when it changes so that a list of thousands is strings put together. All but `Status`,
// which depends on the time of asking, and what only the host knows (sizes).
import { volumesOf, type Container, type Mount, type NetworkAttachment } from '@pouch/domain';

/** JSON of the item without `Status` and without its last brace; `finishDockerItem` ends it. */
export function dockerItem(container: Container): string {
  const { spec } = container;
  const network = networkOf(container);
  const item = {
    Id: container.id,
    Names: [`/${container.name}`],
    Image: spec.image.reference,
    ImageID: spec.image.id,
    Command: commandLine([...spec.entrypoint, ...spec.cmd]),
    Created: Math.floor(container.createdAtMs / 1000),
    Ports: network === null ? [] : portsOf(network, spec.exposedPorts),
    Labels: spec.labels,
    State: dockerState(container),
    HostConfig: { NetworkMode: networkModeOf(container), Runtime: spec.runtime, ...(Object.keys(spec.annotations).length > 0 ? { Annotations: spec.annotations } : {}) },
    NetworkSettings: { Networks: { [networkModeOf(container)]: endpointOf(network) } },
    Mounts: mountPoints(container),
  };
  return JSON.stringify(item).slice(0, -1);
}

/** Puts `Status` (and further members, e.g. sizes) to an item of `dockerItem`. */
export function finishDockerItem(item: string, status: string, further: Readonly<Record<string, unknown>> | null = null): string {
  const more = further === null ? '' : Object.entries(further).map(([name, value]) => `,${JSON.stringify(name)}:${JSON.stringify(value)}`).join('');
  return `${item},"Status":${JSON.stringify(status)}${more}}`;
}

/** Docker's word for the state. A container that its host has not made yet counts as created. */
export function dockerState(container: Pick<Container, 'status' | 'replaced'>): 'created' | 'running' | 'paused' | 'restarting' | 'exited' | 'removing' | 'dead' {
  // Another one has its place: whatever it does where nobody sees it, it is to go.
  if (container.replaced !== undefined) return 'dead';
  switch (container.status) {
    case 'assigned':
      return 'created';
    case 'removed':
      return 'removing';
    default:
      return container.status;
  }
}

export function networkModeOf({ spec }: Pick<Container, 'spec'>): string {
  return spec.network.mode === 'container' ? `container:${spec.network.containerId}` : spec.network.mode;
}

function networkOf(container: Container): NetworkAttachment | null {
  return container.status === 'running' || container.status === 'paused' ? container.run.network : null;
}

/** Published ports, then those that are only exposed, as Docker lists them. */
function portsOf(network: NetworkAttachment, exposed: readonly string[]) {
  const published = network.ports.map(({ hostIp, containerPort, hostPort, protocol }) => ({ IP: hostIp === '' ? '0.0.0.0' : hostIp, PrivatePort: containerPort, PublicPort: hostPort, Type: protocol }));
  const others = exposed.filter((port) => !network.ports.some(({ containerPort, protocol }) => `${containerPort}/${protocol}` === port));
  return [...published, ...others.map((port) => ({ PrivatePort: Number.parseInt(port, 10), Type: port.split('/')[1] ?? 'tcp' }))];
}

/** As Docker shows it: arguments with blanks in quotes. */
function commandLine(args: readonly string[]): string {
  return args.map((arg, index) => (index > 0 && arg.includes(' ') ? `'${arg}'` : arg)).join(' ');
}

function endpointOf(network: NetworkAttachment | null) {
  return {
    IPAMConfig: null, Links: null, Aliases: null, NetworkID: '', EndpointID: '',
    Gateway: network?.gateway ?? '', IPAddress: network?.ipAddress ?? '', IPPrefixLen: network?.prefixLength ?? 0,
    IPv6Gateway: '', GlobalIPv6Address: '', GlobalIPv6PrefixLen: 0, MacAddress: network?.macAddress ?? '', DriverOpts: null,
  };
}

/** A mount point as Docker tells of it. */
export interface MountPoint {
  readonly Type: string;
  readonly Name?: string;
  readonly Source: string;
  readonly Destination: string;
  readonly Driver?: string;
  readonly Mode: string;
  readonly RW: boolean;
  readonly Propagation: string;
}

/** As Docker: tmpfs that was given by `Tmpfs` is a setting, not a mount point. `sourceOf`: where on its host a volume's data are. */
export function mountPoints({ id, spec, volumes = [] }: Pick<Container, 'id' | 'spec' | 'volumes'>, sourceOf: (dataId: string) => string = () => ''): MountPoint[] {
  const names = new Map<Mount, string>(volumesOf(id, spec.mounts).map(({ name, mount }) => [mount, name]));
  return spec.mounts.filter((mount) => mount.declaredAs !== 'tmpfs').map((mount): MountPoint => {
    switch (mount.type) {
      case 'bind':
        return { Type: 'bind', Source: mount.source, Destination: mount.target, Mode: mount.readonly && mount.declaredAs === 'binds' ? 'ro' : '', RW: !mount.readonly, Propagation: mount.propagation };
      case 'tmpfs':
        return { Type: 'tmpfs', Source: '', Destination: mount.target, Mode: '', RW: !mount.options.includes('ro'), Propagation: '' };
      case 'volume': {
        const name = names.get(mount) ?? '';
        const dataId = volumes.find((use) => use.name === name)?.dataId;
        return { Type: 'volume', Name: name, Source: dataId === undefined ? '' : sourceOf(dataId), Destination: mount.target, Driver: 'local', Mode: mount.readonly && mount.declaredAs === 'binds' ? 'ro' : '', RW: !mount.readonly, Propagation: '' };
      }
    }
  });
}
