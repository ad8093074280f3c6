// config.json for one container: the rooms of this package put together. Pure; what it needs of the host comes in as facts.
import type { HostFacts, NamespaceChoice, SpecInput } from './input.ts';
import { buildMounts, initTarget, rootfsPropagation } from './mounts.ts';
import { processOf } from './process.ts';
import { Findings, type Outcome } from './refusal.ts';
import { buildResources } from './resources.ts';
import type { Device, DeviceRule, Namespace, NamespaceType, Seccomp, Spec } from './runtime-spec.ts';
import { defaultSeccompProfile } from './seccomp-default.ts';
import { seccompFor } from './seccomp-profile.ts';
import { buildSysctls } from './sysctls.ts';

/** What Docker hides of /proc and /sys: it tells of the host, or changes it. */
const maskedPaths = [
  '/proc/asound', '/proc/acpi', '/proc/interrupts', '/proc/kcore', '/proc/keys', '/proc/latency_stats', '/proc/timer_list', '/proc/timer_stats', '/proc/sched_debug', '/proc/scsi',
  '/sys/firmware', '/sys/devices/virtual/powercap',
];
const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** The spec, with sentences on what was changed to fit the host; or the first thing asked for that cannot be. */
export function buildSpec(input: SpecInput, host: HostFacts): Outcome<{ readonly spec: Spec; readonly warnings: readonly string[] }> {
  const findings = new Findings();
  const { privileged = false, initPath, domainname } = input;
  if (domainname !== undefined && Buffer.byteLength(domainname) > 64) findings.refuse('Domainname', `the domain name has ${Buffer.byteLength(domainname)} bytes: 64 are allowed`);
  // sethostname(2) takes 64 bytes; more would fail only at the start.
  if (Buffer.byteLength(input.hostname) > 64 || /[\0\n/]/.test(input.hostname)) findings.refuse('Hostname', `the hostname ${JSON.stringify(input.hostname.slice(0, 80))} must have at most 64 bytes, without slashes and line ends`);
  const args = initPath === undefined ? input.args : [initTarget, '--', ...input.args];
  const process = processOf({ ...input, args: input.args.length === 0 ? input.args : args }, host, findings);
  const { devices, rules } = devicesOf(input, privileged);
  const sysctl = buildSysctls(input, findings);
  const seccomp = seccompOf(input, host, process.capabilities.bounding);
  const propagation = rootfsPropagation(input.mounts ?? []);
  const spec: Spec = {
    ociVersion: '1.0.2',
    process,
    root: { path: input.rootfsPath, readonly: input.readonlyRootfs ?? false },
    ...(ownsHostname(input) && { hostname: input.hostname }),
    mounts: buildMounts(input, findings),
    ...(input.annotations !== undefined && { annotations: { ...input.annotations } }),
    linux: {
      namespaces: namespacesOf(input, host),
      ...(devices.length > 0 && { devices }),
      ...(input.cgroupsPath !== undefined && { cgroupsPath: input.cgroupsPath }),
      resources: buildResources(input.resources ?? {}, rules, host, findings),
      ...(propagation !== undefined && { rootfsPropagation: propagation }),
      ...(seccomp !== undefined && { seccomp }),
      ...(Object.keys(sysctl).length > 0 && { sysctl }),
      maskedPaths: [...(input.maskedPaths ?? (privileged ? [] : maskedPaths))],
      readonlyPaths: [...(input.readonlyPaths ?? (privileged ? [] : readonlyPaths))],
    },
  };
  return findings.outcome({ spec, warnings: findings.warnings });
}

/** Setting the name in a namespace that is shared would rename the others too. */
function ownsHostname({ namespaces, hostname }: SpecInput): boolean {
  const kind = namespaces?.uts?.kind ?? 'new';
  return hostname !== '' && (kind === 'new' || kind === 'prepared');
}

function devicesOf({ devices = [], hostDevices = [] }: SpecInput, privileged: boolean): { devices: Device[]; rules: DeviceRule[] } {
  const nodes = unique([...(privileged ? hostDevices : []), ...devices.map(({ device }) => device)]);
  if (privileged) return { devices: nodes, rules: [{ allow: true, access: 'rwm' }] };
  const rules = devices.map(({ device, permissions }): DeviceRule => ({ allow: true, type: device.type === 'b' ? 'b' : 'c', major: device.major, minor: device.minor, access: permissions }));
  // The runtime itself adds the harmless ones (null, zero, full, random, urandom, tty, ptmx, pts).
  return { devices: nodes, rules: [{ allow: false, access: 'rwm' }, ...rules] };
}

/** One node for each path, the last one said. */
function unique(devices: readonly Device[]): Device[] {
  return [...new Map(devices.map((device) => [device.path, device])).values()];
}

function namespacesOf({ namespaces = {} }: SpecInput, host: HostFacts): Namespace[] {
  const choose = (type: NamespaceType, choice: NamespaceChoice = { kind: 'new' }): Namespace[] => {
    switch (choice.kind) {
      case 'new':
        return [{ type }];
      case 'host':
        return [];
      case 'prepared':
      case 'container':
        return [{ type, path: choice.path }];
    }
  };
  return [
    { type: 'mount' },
    ...choose('pid', namespaces.pid),
    ...choose('network', namespaces.network),
    ...choose('ipc', namespaces.ipc),
    ...choose('uts', namespaces.uts),
    ...choose('cgroup', namespaces.cgroup ?? { kind: host.cgroupVersion === 2 ? 'new' : 'host' }),
  ];
}

function seccompOf({ seccomp, privileged = false }: SpecInput, host: HostFacts, capabilities: readonly string[]): Seccomp | undefined {
  const chosen = seccomp === undefined || (seccomp === 'default' && privileged) ? (privileged ? 'unconfined' : 'default') : seccomp;
  if (chosen === 'unconfined') return undefined;
  const profile = chosen === 'default' ? defaultSeccompProfile : chosen;
  return seccompFor(profile, { architecture: host.architecture, kernelVersion: host.kernelVersion, capabilities });
}
