// Docker's settings that do not take effect yet, each with the values that mean "as it is anyway". Any other value is refused by name:
// nothing that a person asked for is silently left out. A member that Docker does not know either is passed over, as Docker does.
import type { ContainerSpec } from '@pouch/domain';
import { badField } from '../../errors.ts';

interface NotYet {
  /** Path in the body. */
  readonly path: readonly string[];
  /** Whether a value asks for nothing beyond what happens anyway. */
  readonly isDefault: (value: unknown) => boolean;
  /** What inspect shows; absent: not shown. */
  readonly shown?: unknown;
}

const empty = (value: unknown): boolean =>
  value === undefined || value === null || value === '' || value === 0 || value === false || (typeof value === 'object' && Object.keys(value).length === 0);
const oneOf = (...values: readonly unknown[]) => (value: unknown): boolean => empty(value) || values.includes(value);
const onHost = (member: string, shown: unknown, isDefault: (value: unknown) => boolean = empty): NotYet => ({ path: ['HostConfig', member], isDefault, shown });
const onConfig = (member: string, isDefault: (value: unknown) => boolean = empty, shown?: unknown): NotYet => ({ path: [member], isDefault, shown });

const notYet: readonly NotYet[] = [
  onConfig('MacAddress', empty),
  onConfig('NetworkDisabled', empty),
  onConfig('OnBuild', empty, null),
  onConfig('Shell', empty),
  onConfig('ArgsEscaped', empty),
  onHost('ContainerIDFile', '', () => true), // written by the client; only echoed
  onHost('ConsoleSize', [0, 0], () => true), // the client resizes anyway once it is attached
  onHost('VolumeDriver', '', oneOf('local')),
  onHost('Links', null),
  onHost('CgroupnsMode', 'private', oneOf('private')),
  onHost('IpcMode', 'private', oneOf('private', 'shareable')),
  onHost('Cgroup', ''),
  onHost('PidMode', '', oneOf('private')),
  onHost('UTSMode', '', oneOf('private')),
  onHost('UsernsMode', '', oneOf('host')), // there are no user namespaces, so the host's is what everyone has
  onHost('StorageOpt', undefined),
  onHost('Isolation', '', oneOf('default')),
  onHost('CgroupParent', ''),
  onHost('BlkioWeight', 0),
  onHost('BlkioWeightDevice', []),
  onHost('BlkioDeviceReadBps', []),
  onHost('BlkioDeviceWriteBps', []),
  onHost('BlkioDeviceReadIOps', []),
  onHost('BlkioDeviceWriteIOps', []),
  onHost('CpuPeriod', 0),
  onHost('CpuQuota', 0),
  onHost('CpuRealtimePeriod', 0),
  onHost('CpuRealtimeRuntime', 0),
  onHost('CpusetMems', ''),
  onHost('DeviceCgroupRules', null),
  onHost('DeviceRequests', null),
  onHost('KernelMemory', undefined),
  onHost('KernelMemoryTCP', undefined),
  onHost('MemorySwappiness', null, oneOf(-1)),
  onHost('OomKillDisable', false),
  onHost('CpuCount', 0),
  onHost('CpuPercent', 0),
  onHost('IOMaximumIOps', 0),
  onHost('IOMaximumBandwidth', 0),
  // An empty list means "mask nothing", which is not the default; only absent is.
  onHost('MaskedPaths', undefined, (value) => value === undefined),
  onHost('ReadonlyPaths', undefined, (value) => value === undefined),
];

const endpointDefaults = new Set(['NetworkID', 'EndpointID', 'Gateway', 'IPAddress', 'IPPrefixLen', 'IPv6Gateway', 'GlobalIPv6Address', 'GlobalIPv6PrefixLen', 'DNSNames']);

/** Refuses a body that asks for anything that would not happen, naming the member. */
export function refuseNotYet(body: Readonly<Record<string, unknown>>): void {
  for (const { path, isDefault } of notYet) {
    let value: unknown = body;
    for (const member of path) value = (value as Record<string, unknown> | undefined)?.[member];
    if (!isDefault(value)) throw badField(path.join('.'), `this setting does not take effect yet; ${JSON.stringify(value)?.slice(0, 120)} was asked for`);
  }
  mountsNotYet(body);
}

function mountsNotYet(body: Readonly<Record<string, unknown>>): void {
  const mounts = (body.HostConfig as { Mounts?: Record<string, unknown>[] } | undefined)?.Mounts ?? [];
  for (const [index, mount] of mounts.entries()) {
    for (const member of ['ImageOptions', 'ClusterOptions']) {
      if (!empty(mount[member])) throw badField(`HostConfig.Mounts[${index}].${member}`, 'this setting does not take effect yet');
    }
    for (const [group, members] of [['BindOptions', ['ReadOnlyNonRecursive', 'ReadOnlyForceRecursive']], ['TmpfsOptions', ['Options']], ['VolumeOptions', ['Subpath']]] as const) {
      const wrong = members.find((member) => !empty((mount[group] as Record<string, unknown> | undefined)?.[member]));
      if (wrong !== undefined) throw badField(`HostConfig.Mounts[${index}].${group}.${wrong}`, 'this setting does not take effect yet');
    }
  }
}

/** Refuses endpoints on other networks than the container's own, and settings of endpoints. */
export function refuseEndpoints(body: Readonly<Record<string, unknown>>, spec: ContainerSpec): void {
  const endpoints = (body.NetworkingConfig as { EndpointsConfig?: Record<string, Record<string, unknown>> } | undefined)?.EndpointsConfig ?? {};
  for (const [network, settings] of Object.entries(endpoints)) {
    const field = `NetworkingConfig.EndpointsConfig.${network.slice(0, 80)}`;
    if (network !== spec.network.mode && !(network === 'default' && spec.network.mode === 'bridge') && !network.startsWith('container:')) {
      throw badField(field, 'this network is not there: networks of your own are not there yet');
    }
    const wrong = Object.entries(settings).find(([member, value]) => !endpointDefaults.has(member) && !empty(value));
    if (wrong !== undefined) throw badField(`${field}.${wrong[0]}`, 'this setting does not take effect yet');
  }
}

/** What inspect shows for the settings that are as they always are. */
export function shownDefaults(group: 'HostConfig' | 'Config'): Record<string, unknown> {
  const shown: Record<string, unknown> = {};
  for (const { path, shown: value } of notYet) if ((path.length === 2) === (group === 'HostConfig') && value !== undefined) shown[path[path.length - 1] as string] = value;
  return shown;
}
