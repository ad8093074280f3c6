// Which capabilities a container gets: Docker's set, changed as asked, within what the host has. Pure.
import type { Findings } from './refusal.ts';
import type { Capabilities } from './runtime-spec.ts';

/** Every capability of Linux, at the index of its bit (linux/capability.h). */
export const capabilityNames: readonly string[] = [
  'CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_DAC_READ_SEARCH', 'CAP_FOWNER', 'CAP_FSETID', 'CAP_KILL', 'CAP_SETGID', 'CAP_SETUID',
  'CAP_SETPCAP', 'CAP_LINUX_IMMUTABLE', 'CAP_NET_BIND_SERVICE', 'CAP_NET_BROADCAST', 'CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_IPC_LOCK',
  'CAP_IPC_OWNER', 'CAP_SYS_MODULE', 'CAP_SYS_RAWIO', 'CAP_SYS_CHROOT', 'CAP_SYS_PTRACE', 'CAP_SYS_PACCT', 'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT', 'CAP_SYS_NICE', 'CAP_SYS_RESOURCE', 'CAP_SYS_TIME', 'CAP_SYS_TTY_CONFIG', 'CAP_MKNOD', 'CAP_LEASE',
  'CAP_AUDIT_WRITE', 'CAP_AUDIT_CONTROL', 'CAP_SETFCAP', 'CAP_MAC_OVERRIDE', 'CAP_MAC_ADMIN', 'CAP_SYSLOG', 'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND', 'CAP_AUDIT_READ', 'CAP_PERFMON', 'CAP_BPF', 'CAP_CHECKPOINT_RESTORE',
];

/** What a container has that asked for nothing: Docker's fourteen. */
export const defaultCapabilities: readonly string[] = [
  'CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FSETID', 'CAP_FOWNER', 'CAP_MKNOD', 'CAP_NET_RAW', 'CAP_SETGID', 'CAP_SETUID', 'CAP_SETFCAP',
  'CAP_SETPCAP', 'CAP_NET_BIND_SERVICE', 'CAP_SYS_CHROOT', 'CAP_KILL', 'CAP_AUDIT_WRITE',
];

/** Names of the bits of a mask in hexadecimal, as /proc/self/status has it in CapBnd. */
export function capabilitiesOfMask(hex: string): string[] {
  const mask = BigInt(`0x${hex}`);
  return capabilityNames.filter((_name, bit) => (mask >> BigInt(bit)) & 1n);
}

/** `ALL`, or the full name; an unknown one is refused and left out. */
function normalise(names: readonly string[], field: string, findings: Findings): string[] {
  return names.flatMap((given) => {
    const upper = given.trim().toUpperCase();
    if (upper === 'ALL') return ['ALL'];
    const name = upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
    if (capabilityNames.includes(name)) return [name];
    findings.refuse(field, `unknown capability: "${given}"`);
    return [];
  });
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)];
}

/**
 * The container's bounding set, after Docker's rules: privileged and `capAdd: ALL` mean all that the host has; `capDrop: ALL` leaves only
 * what is added; otherwise Docker's set without the dropped ones and with the added ones. What the host lacks is refused if it was
 * asked for by name and otherwise left out with a warning.
 */
export function boundingSet(asked: { readonly capAdd: readonly string[]; readonly capDrop: readonly string[]; readonly privileged: boolean }, hostHas: readonly string[], findings: Findings): string[] {
  const add = normalise(asked.capAdd, 'HostConfig.CapAdd', findings);
  const drop = normalise(asked.capDrop, 'HostConfig.CapDrop', findings);
  const onHost = (names: readonly string[], wanted: string): string[] => {
    const missing = names.filter((name) => !hostHas.includes(name));
    if (missing.length > 0) findings.warn(`${wanted}: this host does not have ${missing.join(', ')}, so the container does not get it`);
    return names.filter((name) => hostHas.includes(name));
  };
  // Kernels that know fewer capabilities than we do lack the newest ones: nothing to warn of.
  const newestOnHost = capabilityNames.findLastIndex((name) => hostHas.includes(name));
  const all = capabilityNames.slice(0, newestOnHost + 1);
  if (asked.privileged) return onHost(all, 'privileged');
  const named = unique(add.filter((name) => name !== 'ALL'));
  for (const name of named) {
    if (!hostHas.includes(name)) findings.refuse('HostConfig.CapAdd', `capability ${name} cannot be added: this host does not have it`);
  }
  if (add.includes('ALL')) return onHost(all.filter((name) => !drop.includes(name)), 'capability ALL');
  if (drop.includes('ALL')) return named;
  return unique([...onHost(defaultCapabilities.filter((name) => !drop.includes(name)), 'default capabilities'), ...named]);
}

/**
 * Sets of a process from its bounding set. Only root holds them, as execve would have it; nothing is inheritable or ambient, so that a
 * program run by another user gains nothing from a file's inheritable set (CVE-2022-24769).
 */
export function processCapabilities(bounding: readonly string[], uid: number): Capabilities {
  const held = uid === 0 ? bounding : [];
  return { bounding: [...bounding], effective: [...held], permitted: [...held], inheritable: [], ambient: [] };
}
