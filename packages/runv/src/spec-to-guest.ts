// OCI config.json → the records of CONFIGURE and SPAWN, and the refusal of what a virtual machine cannot have, by name. Pure.
import { Failure } from './failure.ts';
import { configure, spawnTag } from './protocol/ops.ts';
import { counted, record, u32, u64 } from './protocol/records.ts';
import type { DeviceSpec, MountSpec, ProcessSpec, RuntimeSpec } from './spec.ts';

/** At the index of its bit (linux/capability.h). */
const capabilities = [
  'CHOWN', 'DAC_OVERRIDE', 'DAC_READ_SEARCH', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID', 'SETPCAP', 'LINUX_IMMUTABLE', 'NET_BIND_SERVICE', 'NET_BROADCAST', 'NET_ADMIN', 'NET_RAW',
  'IPC_LOCK', 'IPC_OWNER', 'SYS_MODULE', 'SYS_RAWIO', 'SYS_CHROOT', 'SYS_PTRACE', 'SYS_PACCT', 'SYS_ADMIN', 'SYS_BOOT', 'SYS_NICE', 'SYS_RESOURCE', 'SYS_TIME', 'SYS_TTY_CONFIG', 'MKNOD',
  'LEASE', 'AUDIT_WRITE', 'AUDIT_CONTROL', 'SETFCAP', 'MAC_OVERRIDE', 'MAC_ADMIN', 'SYSLOG', 'WAKE_ALARM', 'BLOCK_SUSPEND', 'AUDIT_READ', 'PERFMON', 'BPF', 'CHECKPOINT_RESTORE',
];

/** At the index of its number on x86-64. */
const rlimits = ['CPU', 'FSIZE', 'DATA', 'STACK', 'CORE', 'RSS', 'NPROC', 'NOFILE', 'MEMLOCK', 'AS', 'LOCKS', 'SIGPENDING', 'MSGQUEUE', 'NICE', 'RTPRIO', 'RTTIME'];

/** Mounts of the guest's own kernel. */
export const guestMountTypes: readonly string[] = ['proc', 'sysfs', 'tmpfs', 'devpts', 'mqueue', 'cgroup', 'cgroup2', 'ramfs'];

/** Devices that any kernel has, by type, major and minor: mem, tty, fuse, tun. */
const harmless = new Set(['c1:3', 'c1:5', 'c1:7', 'c1:8', 'c1:9', 'c5:0', 'c5:1', 'c5:2', 'c10:229', 'c10:200']);

export function capabilityMask(names: readonly string[] = []): bigint {
  return names.reduce((mask, name) => {
    const bit = capabilities.indexOf(name.toUpperCase().replace(/^CAP_/, ''));
    if (bit < 0) throw new Failure('bad-spec', `process.capabilities: unknown capability ${JSON.stringify(name)}`);
    return mask | (1n << BigInt(bit));
  }, 0n);
}

/** A number that stands for 2⁶⁴−1 ("unlimited") is not exact in JSON. */
function limit(value: number): bigint {
  if (typeof value !== 'number' || Number.isNaN(value)) throw new Failure('bad-spec', `process.rlimits: ${String(value)} is no limit`);
  return value >= 2 ** 64 || value < 0 ? 2n ** 64n - 1n : BigInt(Math.trunc(value));
}

/** Throws `unsupported` with the setting's name and why a virtual machine cannot have it. */
export function refuseImpossible({ linux = {} }: RuntimeSpec): void {
  const namespaces = new Map((linux.namespaces ?? []).map(({ type, path }) => [type, path ?? '']));
  const refuse = (setting: string, why: string): never => { throw new Failure('unsupported', `${setting}: a virtual machine cannot have this: ${why}`); };
  if (!namespaces.has('network')) refuse('the host\'s network', 'its guest kernel has a network of its own');
  if (!namespaces.has('pid')) refuse('the host\'s pid namespace', 'its processes are the guest kernel\'s');
  if (!namespaces.has('ipc')) refuse('the host\'s ipc namespace', 'its memory is the guest kernel\'s');
  for (const type of ['pid', 'ipc']) if (namespaces.get(type)) refuse(`joining the ${type} namespace ${namespaces.get(type) ?? ''}`, 'its processes belong to another kernel');
  if (namespaces.has('user') || (linux.uidMappings?.length ?? 0) > 0) refuse('a user namespace', 'its users are the guest kernel\'s already');
}

/** Nodes for the guest. A privileged container's list of the host's devices means all there are: those of the guest. Throws `unsupported`. */
export function guestDevices({ linux = {} }: RuntimeSpec): DeviceSpec[] {
  const all = (linux.resources?.devices ?? []).some(({ allow, type = 'a', major = -1, minor = -1 }) => allow && type === 'a' && major === -1 && minor === -1);
  return (linux.devices ?? []).filter((device) => {
    if (device.type !== 'c' && device.type !== 'u' && device.type !== 'b') throw new Failure('bad-spec', `linux.devices: ${device.path} has type ${JSON.stringify(device.type)}`);
    if (harmless.has(`${device.type === 'b' ? 'b' : 'c'}${device.major ?? 0}:${device.minor ?? 0}`)) return true;
    if (all) return false;
    throw new Failure('unsupported', `the device ${device.path} (${device.type} ${device.major ?? 0}:${device.minor ?? 0}): a virtual machine cannot have this: it is the host kernel's`);
  });
}

export function mountRecord(destination: string, type: string, source: string, options: readonly string[], subpath = ''): Buffer {
  return record(configure.mount, ...[destination, type, source, options.join(','), subpath].map(counted));
}

export function fileRecord(path: string, mode: number, content: Uint8Array): Buffer {
  return record(configure.file, u32(mode), counted(path), content);
}

/** A mount of the guest's own; undefined where its source is the host's. Throws `unsupported` for types that a guest has not. */
export function ownMount({ destination, type = 'bind', options = [] }: MountSpec): Buffer | undefined {
  if (!destination.startsWith('/')) throw new Failure('bad-spec', `mounts: ${JSON.stringify(destination)} is not an absolute path`);
  const bound = type === 'bind' || type === 'none' || options.includes('bind') || options.includes('rbind');
  // Engines share it between containers, which a guest's memory cannot be.
  if (bound && destination === '/dev/shm') return mountRecord(destination, 'tmpfs', '', ['nosuid', 'nodev', 'noexec', 'mode=1777', 'size=65536k']);
  if (bound) return undefined;
  if (!guestMountTypes.includes(type)) throw new Failure('unsupported', `the mount of type ${type} on ${destination}: a virtual machine cannot have this: its kernel mounts ${guestMountTypes.join(', ')}`);
  return mountRecord(destination, type, '', options);
}

export interface GuestIdentity { readonly nowMs: number; readonly seed: Uint8Array; readonly machineId: Uint8Array }

/** Everything of CONFIGURE but root, mounts, files and network. */
export function configureRecords(spec: RuntimeSpec, { nowMs, seed, machineId }: GuestIdentity, hasMachineId: boolean): Buffer[] {
  const { linux = {} } = spec;
  return [
    record(configure.clock, u64(BigInt(Math.round(nowMs * 1e6))), seed),
    ...(hasMachineId ? [record(configure.machineId, machineId)] : []),
    ...(spec.root?.readonly === true ? [record(configure.rootReadonly)] : []),
    ...(spec.hostname ? [record(configure.hostname, spec.hostname)] : []),
    ...(spec.domainname ? [record(configure.domainname, spec.domainname)] : []),
    ...((linux.resources?.pids?.limit ?? 0) > 0 ? [record(configure.pids, u64(BigInt(linux.resources?.pids?.limit ?? 0)))] : []),
    ...Object.entries(linux.sysctl ?? {}).map(([name, value]) => record(configure.sysctl, counted(name), value)),
    ...guestDevices(spec).map(({ type, path, major = 0, minor = 0, fileMode = 0o666, uid = 0, gid = 0 }) => record(configure.device, Buffer.from([type === 'b' ? 0x62 : 0x63, 0, 0, 0]), u32(major, minor, fileMode & 0o7777, uid, gid), path)),
    ...(linux.maskedPaths ?? []).map((path) => record(configure.maskedPath, path)),
    ...(linux.readonlyPaths ?? []).map((path) => record(configure.readonlyPath, path)),
  ];
}

/** The payload of SPAWN for a process that is no program: the guest's init reads or writes the container's files. */
export function filesPayload(writing: boolean): Buffer {
  return Buffer.concat([record(spawnTag.cwd, '/'), record(spawnTag.ids, u32(0, 0, 0xffffffff)), record(spawnTag.stdin), record(spawnTag.files, Buffer.from([writing ? 1 : 0]))]);
}

/** The payload of SPAWN. A seccomp profile is of the host's kernel and is not handed on: the guest's own kernel is what the process can reach. */
export function spawnPayload(wanted: ProcessSpec & { readonly args: readonly string[] }): Buffer {
  const { user = {}, capabilities: caps, consoleSize } = wanted;
  const size = Buffer.alloc(4);
  size.writeUInt16LE(consoleSize?.height ?? 0, 0);
  size.writeUInt16LE(consoleSize?.width ?? 0, 2);
  return Buffer.concat([
    ...wanted.args.map((arg) => record(spawnTag.arg, arg)),
    ...(wanted.env ?? []).map((pair) => record(spawnTag.env, pair)),
    record(spawnTag.cwd, wanted.cwd ?? '/'),
    record(spawnTag.ids, u32(user.uid ?? 0, user.gid ?? 0, user.umask ?? 0xffffffff, ...(user.additionalGids ?? []))),
    ...(wanted.terminal === true ? [record(spawnTag.tty, size)] : []),
    record(spawnTag.stdin),
    // Without the field a process has none (config.md, Linux Process).
    record(spawnTag.caps, u64(capabilityMask(caps?.bounding), capabilityMask(caps?.effective), capabilityMask(caps?.inheritable), capabilityMask(caps?.permitted), capabilityMask(caps?.ambient))),
    ...(wanted.rlimits ?? []).map(({ type, soft, hard }) => {
      const number = rlimits.indexOf(type.replace(/^RLIMIT_/, ''));
      if (number < 0) throw new Failure('bad-spec', `process.rlimits: unknown limit ${JSON.stringify(type)}`);
      return record(spawnTag.rlimit, u32(number, 0), u64(limit(soft), limit(hard)));
    }),
    ...(wanted.noNewPrivileges === true ? [record(spawnTag.noNewPrivs)] : []),
    ...(wanted.oomScoreAdj === undefined ? [] : [record(spawnTag.oomScoreAdj, u32(wanted.oomScoreAdj))]),
  ]);
}
