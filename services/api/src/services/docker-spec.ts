// Docker's ServiceSpec to what is asked of a service, and back. Each member has its place in a container's create body; what would not take effect is
// refused by its name. Pure. Source: Docker Engine API, ServiceSpec.
import type { DockerCreateBody, DockerRollout, DockerServiceBody, DockerTaskTemplate } from '@pouch/contracts';
import { secretLabel, type Rollout, type Service, type ServiceRestart } from '@pouch/domain';
import { badField } from '../errors.ts';
import { askedOf, overlaid, type Asked, type AskedSettings } from './service-spec.ts';

type ContainerPart = NonNullable<DockerTaskTemplate['ContainerSpec']>;
type HostConfig = NonNullable<DockerCreateBody['HostConfig']>;

const nanosPerMs = 1_000_000;
/** A service's label: the OCI runtimes of its slots in turn, e.g. `runv` or `runc,runv`. Docker has no word for it. */
const runtimesLabel = 'io.pouch.runtimes';

/** Members that are the same in both, by their names here and there. */
const ofContainer: readonly (readonly [keyof ContainerPart, keyof DockerCreateBody])[] = [
  ['Image', 'Image'], ['Command', 'Entrypoint'], ['Args', 'Cmd'], ['Hostname', 'Hostname'], ['Env', 'Env'], ['Dir', 'WorkingDir'], ['User', 'User'], ['TTY', 'Tty'], ['OpenStdin', 'OpenStdin'], ['StopSignal', 'StopSignal'], ['Healthcheck', 'Healthcheck'],
];
const ofHostConfig: readonly (readonly [keyof ContainerPart, keyof HostConfig])[] = [
  ['Groups', 'GroupAdd'], ['ReadOnly', 'ReadonlyRootfs'], ['Init', 'Init'], ['Mounts', 'Mounts'], ['CapabilityAdd', 'CapAdd'], ['CapabilityDrop', 'CapDrop'], ['Sysctls', 'Sysctls'], ['Ulimits', 'Ulimits'],
];
/** Members that do not take effect yet, with what means "as it is anyway". */
const notYet: readonly (readonly [path: string, isDefault: (value: unknown) => boolean])[] = [
  ['TaskTemplate.PluginSpec', empty], ['TaskTemplate.NetworkAttachmentSpec', empty], ['TaskTemplate.Networks', empty], ['Networks', empty], ['TaskTemplate.ContainerSpec.Configs', empty],
  ['TaskTemplate.ContainerSpec.Privileges', empty], ['TaskTemplate.ContainerSpec.OomScoreAdj', empty],
  ['TaskTemplate.ContainerSpec.Isolation', (value) => empty(value) || value === 'default'], ['TaskTemplate.Resources.Reservations.GenericResources', empty], ['TaskTemplate.Placement.MaxReplicas', empty],
  ['TaskTemplate.RestartPolicy.Window', empty], ['TaskTemplate.Runtime', (value) => empty(value) || value === 'container'], ['Mode.Global', (value) => value === undefined || value === null],
  ['Mode.ReplicatedJob', (value) => value === undefined || value === null], ['Mode.GlobalJob', (value) => value === undefined || value === null], ['EndpointSpec.Mode', (value) => empty(value) || value === 'vip'],
];

function empty(value: unknown): boolean {
  return value === undefined || value === null || value === '' || value === 0 || value === false || (typeof value === 'object' && Object.values(value).every(empty));
}

/** Reads what is asked; `before`: the service that it is to change, whose settings without a word in Docker's spec stay. Throws an HttpError that names the member. */
export function readDockerService(body: DockerServiceBody, before: Service | null): { readonly asked: Asked; readonly settings: AskedSettings } {
  for (const [path, isDefault] of notYet) if (!isDefault(at(body, path))) throw badField(path, 'this setting of services does not take effect yet');
  const { Labels: labels = {}, TaskTemplate: task = {}, Mode: mode, EndpointSpec: endpoint } = body;
  const runtimes = labels[runtimesLabel]?.split(',').map((name) => name.trim()).filter((name) => name !== '');
  const shown = before === null ? null : dockerSpec(before);
  const isSame = shown !== null && same(template(shown), template(body));
  const asked = before === null ? null : askedOf(before.spec);
  return {
    asked: {
      template: asked !== null && isSame ? asked.template : overlaid(asked?.template ?? {}, changesOf(task, endpoint)),
      runtimes: runtimes ?? asked?.runtimes ?? [],
    },
    settings: {
      labels,
      replicas: mode?.Replicated?.Replicas,
      update: readRollout('UpdateConfig', body.UpdateConfig), rollback: readRollout('RollbackConfig', body.RollbackConfig), restart: readRestart(task.RestartPolicy),
    },
  };
}

const template = ({ TaskTemplate: task = {}, EndpointSpec: endpoint = {} }: DockerServiceBody): unknown => ({ ...task, ForceUpdate: 0, RestartPolicy: null, Ports: endpoint.Ports ?? [] });

/** Equal but for members that say nothing. */
function same(one: unknown, other: unknown): boolean {
  const plain = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(plain);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).filter(([, member]) => !empty(member)).map(([name, member]) => [name, plain(member)] as const).sort(([a], [b]) => (a < b ? -1 : 1)));
  };
  return JSON.stringify(plain(one)) === JSON.stringify(plain(other));
}

function at(body: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((value, name) => (value as Record<string, unknown> | null | undefined)?.[name], body);
}

/** The create body's members that Docker's spec speaks of: what it leaves out goes. */
function changesOf({ ContainerSpec: container = {}, Resources: resources = {}, Placement: placement = {}, LogDriver: log }: DockerTaskTemplate, endpoint: DockerServiceBody['EndpointSpec']): object {
  const changes: Record<string, unknown> = {};
  const host: Record<string, unknown> = {};
  for (const [from, to] of ofContainer) changes[to] = container[from] ?? null;
  for (const [from, to] of ofHostConfig) host[to] = container[from] ?? null;
  const { StopGracePeriod: grace, Hosts: hosts, DNSConfig: dns = {} } = container;
  changes['StopTimeout'] = grace === undefined ? null : Math.ceil(grace / nanosPerMs / 1_000);
  changes['Labels'] = labelsOf(container, resources, placement);
  const { Limits: limits = {}, Reservations: reservations = {} } = resources;
  Object.assign(host, {
    ExtraHosts: hosts?.map(hostEntry) ?? null, Dns: dns.Nameservers ?? null, DnsSearch: dns.Search ?? null, DnsOptions: dns.Options ?? null,
    Memory: limits.MemoryBytes ?? null, NanoCpus: limits.NanoCPUs ?? null, PidsLimit: limits.Pids ?? null, MemoryReservation: reservations.MemoryBytes ?? null,
    LogConfig: log === undefined ? null : { Type: log.Name, Config: log.Options ?? {} },
    PortBindings: bindingsOf(endpoint),
  });
  return { ...changes, HostConfig: host };
}

/** `IP name [alias…]`, as in /etc/hosts, to `name:IP`. */
function hostEntry(entry: string, index: number): string {
  const [ip, name, ...aliases] = entry.trim().split(/\s+/);
  if (ip === undefined || name === undefined || aliases.length > 0) throw badField(`TaskTemplate.ContainerSpec.Hosts[${index}]`, 'it must be an address and one name');
  return `${name}:${ip}`;
}

function labelsOf({ Labels: labels = {}, Secrets: secrets = [] }: ContainerPart, { Reservations: reservations = {} }: NonNullable<DockerTaskTemplate['Resources']>, { Constraints: constraints = [], Preferences: preferences = [] }: NonNullable<DockerTaskTemplate['Placement']>): Record<string, string> {
  const more: Record<string, string> = {};
  constraints.forEach((constraint, index) => { more[`io.pouch.constraint.service${index}`] = constraint.replace(/\s*(==|!=)\s*/, '$1'); });
  const spread = preferences.map(({ Spread: over }) => over?.SpreadDescriptor ?? '').map((descriptor) => descriptor.replace(/^node\.labels\./, ''));
  if (spread.length > 0) more['io.pouch.spread'] = spread.join(',');
  if (reservations.NanoCPUs !== undefined && reservations.NanoCPUs > 0) more['io.pouch.reserve.cpus'] = String(reservations.NanoCPUs / 1e9);
  for (const { SecretName: name = '', File: file } of secrets) {
    more[`${secretLabel}${name}`] = [`target=${file?.Name ?? name}`, ...(file?.UID === undefined ? [] : [`uid=${file.UID}`]), ...(file?.GID === undefined ? [] : [`gid=${file.GID}`]), ...(file?.Mode === undefined ? [] : [`mode=0${(file.Mode & 0o777).toString(8)}`])].join(',');
  }
  return { ...labels, ...more };
}

function bindingsOf(endpoint: DockerServiceBody['EndpointSpec']): Record<string, { HostPort: string }[]> | null {
  const bindings: Record<string, { HostPort: string }[]> = {};
  for (const [index, { Protocol: protocol = 'tcp', TargetPort: target, PublishedPort: published, PublishMode: mode }] of (endpoint?.Ports ?? []).entries()) {
    if (target === undefined) throw badField(`EndpointSpec.Ports[${index}].TargetPort`, 'it must be given');
    if (mode !== 'host') throw badField(`EndpointSpec.Ports[${index}].PublishMode`, 'there is no routing mesh: publish with mode=host, on the hosts that have a replica (a port then takes one replica a host)');
    (bindings[`${target}/${protocol}`] ??= []).push({ HostPort: published === undefined || published === 0 ? '' : String(published) });
  }
  return Object.keys(bindings).length === 0 ? null : bindings;
}

function readRollout(field: string, rollout: DockerRollout | undefined): AskedSettings['update'] {
  if (rollout === undefined) return undefined;
  const { Parallelism, Delay, FailureAction, Monitor, MaxFailureRatio, Order } = rollout;
  return {
    ...(Parallelism === undefined ? {} : { parallelism: Parallelism }), ...(Delay === undefined ? {} : { delayMs: Math.round(Delay / nanosPerMs) }), ...(MaxFailureRatio === undefined ? {} : { maxFailureRatio: MaxFailureRatio }),
    // Docker's 0 is "its default".
    ...(Monitor === undefined || Monitor === 0 ? {} : { monitorMs: Math.max(1, Math.round(Monitor / nanosPerMs)) }),
    ...(FailureAction === undefined || FailureAction === '' ? {} : { onFailure: oneOf(`${field}.FailureAction`, FailureAction, ['pause', 'continue', 'rollback']) }),
    ...(Order === undefined || Order === '' ? {} : { order: oneOf(`${field}.Order`, Order, ['stop-first', 'start-first']) }),
  };
}

function readRestart(policy: DockerTaskTemplate['RestartPolicy']): Partial<ServiceRestart> | undefined {
  if (policy === undefined) return undefined;
  const { Condition, Delay, MaxAttempts } = policy;
  return {
    ...(Condition === undefined || Condition === '' ? {} : { condition: oneOf('TaskTemplate.RestartPolicy.Condition', Condition, ['any', 'on-failure', 'none']) }),
    ...(Delay === undefined ? {} : { delayMs: Math.round(Delay / nanosPerMs) }), ...(MaxAttempts === undefined ? {} : { maxAttempts: MaxAttempts }),
  };
}

function oneOf<const T extends string>(field: string, value: string, possible: readonly T[]): T {
  const found = possible.find((one) => one === value);
  if (found === undefined) throw badField(field, `${JSON.stringify(value.slice(0, 40))} must be ${possible.slice(0, -1).join(', ')} or ${possible.at(-1) ?? ''}`);
  return found;
}

/** `Spec` of inspect: as Docker would have been asked for the same. */
export function dockerSpec({ name, spec }: Pick<Service, 'name' | 'spec'>): DockerServiceBody {
  const { template: body } = askedOf(spec);
  const host: HostConfig = body.HostConfig ?? {};
  const words = (value: string | readonly string[] | undefined): string[] | undefined => (typeof value === 'string' ? [value] : value === undefined ? undefined : [...value]);
  const container: Record<string, unknown> = {};
  for (const [to, from] of ofContainer) if (body[from] !== undefined) container[to] = to === 'Command' || to === 'Args' ? words(body[from] as string | string[]) : body[from];
  for (const [to, from] of ofHostConfig) if (host[from] !== undefined) container[to] = to === 'CapabilityAdd' || to === 'CapabilityDrop' ? words(host[from] as string | string[]) : host[from];
  const { labels, constraints, spread, cpus, secrets } = sortLabels(body.Labels ?? {});
  if (Object.keys(labels).length > 0) container['Labels'] = labels;
  if (secrets.length > 0) container['Secrets'] = secrets;
  if (body.StopTimeout !== undefined) container['StopGracePeriod'] = body.StopTimeout * 1_000 * nanosPerMs;
  if (host.ExtraHosts !== undefined) container['Hosts'] = host.ExtraHosts.map((entry) => { const colon = entry.indexOf(':'); return `${entry.slice(colon + 1)} ${entry.slice(0, colon)}`; });
  if (host.Dns !== undefined || host.DnsSearch !== undefined || host.DnsOptions !== undefined) container['DNSConfig'] = { ...(host.Dns === undefined ? {} : { Nameservers: host.Dns }), ...(host.DnsSearch === undefined ? {} : { Search: host.DnsSearch }), ...(host.DnsOptions === undefined ? {} : { Options: host.DnsOptions }) };
  return {
    Name: name,
    Labels: { ...spec.labels },
    TaskTemplate: {
      ContainerSpec: container as ContainerPart,
      Resources: {
        Limits: { ...(host.Memory === undefined ? {} : { MemoryBytes: host.Memory }), ...(host.NanoCpus === undefined ? {} : { NanoCPUs: host.NanoCpus }), ...(host.PidsLimit === undefined ? {} : { Pids: Math.max(0, host.PidsLimit) }) },
        Reservations: { ...(host.MemoryReservation === undefined ? {} : { MemoryBytes: host.MemoryReservation }), ...(cpus === null ? {} : { NanoCPUs: Math.round(cpus * 1e9) }) },
      },
      RestartPolicy: { Condition: spec.restart.condition, Delay: spec.restart.delayMs * nanosPerMs, MaxAttempts: spec.restart.maxAttempts },
      Placement: { ...(constraints.length === 0 ? {} : { Constraints: constraints }), ...(spread.length === 0 ? {} : { Preferences: spread.map((label) => ({ Spread: { SpreadDescriptor: `node.labels.${label}` } })) }) },
      ...(host.LogConfig === undefined ? {} : { LogDriver: { ...(host.LogConfig.Type === undefined ? {} : { Name: host.LogConfig.Type }), ...(host.LogConfig.Config === undefined ? {} : { Options: host.LogConfig.Config }) } }),
      // Always 0: whoever asks for more than is shown wants the replicas exchanged.
      ForceUpdate: 0,
    },
    Mode: { Replicated: { Replicas: spec.replicas } },
    UpdateConfig: dockerRollout(spec.update),
    RollbackConfig: dockerRollout(spec.rollback),
    EndpointSpec: { Mode: 'vip', ...portsOf(host) },
  };
}

function portsOf({ PortBindings: bindings = {} }: HostConfig): { Ports?: NonNullable<NonNullable<DockerServiceBody['EndpointSpec']>['Ports']> } {
  const ports = Object.entries(bindings).flatMap(([port, hosts]) => {
    const [target, protocol = 'tcp'] = port.split('/');
    return hosts.map(({ HostPort: published }) => ({ Protocol: protocol, TargetPort: Number(target), ...(published === undefined || published === '' ? {} : { PublishedPort: Number(published) }), PublishMode: 'host' }));
  });
  return ports.length === 0 ? {} : { Ports: ports };
}

function dockerRollout({ parallelism, delayMs, onFailure, monitorMs, maxFailureRatio, order }: Rollout): DockerRollout {
  return { Parallelism: parallelism, Delay: delayMs * nanosPerMs, FailureAction: onFailure, Monitor: monitorMs * nanosPerMs, MaxFailureRatio: maxFailureRatio, Order: order };
}

/** Labels that Docker's spec has a member for go there. */
function sortLabels(all: Readonly<Record<string, string>>): { labels: Record<string, string>; constraints: string[]; spread: string[]; cpus: number | null; secrets: NonNullable<ContainerPart['Secrets']> } {
  const sorted = { labels: {} as Record<string, string>, constraints: [] as string[], spread: [] as string[], cpus: null as number | null, secrets: [] as NonNullable<ContainerPart['Secrets']> };
  for (const [name, value] of Object.entries(all)) {
    if (/^io\.pouch\.constraint\.service\d+$/.test(name)) sorted.constraints.push(value);
    else if (name === 'io.pouch.spread') sorted.spread = value.split(',');
    else if (name === 'io.pouch.reserve.cpus') sorted.cpus = Number(value);
    else if (name.startsWith(secretLabel)) sorted.secrets.push(dockerSecret(name.slice(secretLabel.length), value));
    else sorted.labels[name] = value;
  }
  return sorted;
}

function dockerSecret(name: string, text: string): NonNullable<ContainerPart['Secrets']>[number] {
  const said = Object.fromEntries(text.split(',').map((part) => part.split('=') as [string, string]));
  return {
    SecretID: name.replaceAll('.', '~'), SecretName: name,
    File: { Name: said['target'] ?? name, ...(said['uid'] === undefined ? {} : { UID: said['uid'] }), ...(said['gid'] === undefined ? {} : { GID: said['gid'] }), ...(said['mode'] === undefined ? {} : { Mode: Number.parseInt(said['mode'], 8) }) },
  };
}
