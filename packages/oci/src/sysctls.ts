// Kernel parameters of one container: only those that a namespace of its own holds. Pure.
import type { SpecInput } from './input.ts';
import type { Findings } from './refusal.ts';

const ipcSysctls = ['kernel.msgmax', 'kernel.msgmnb', 'kernel.msgmni', 'kernel.sem', 'kernel.shmall', 'kernel.shmmax', 'kernel.shmmni', 'kernel.shm_rmid_forced'];

/** Docker's defaults for a network of the container's own (any user may bind low ports and ping), the domain name, and what was asked. */
export function buildSysctls({ sysctls = {}, namespaces, domainname }: SpecInput, findings: Findings): Record<string, string> {
  const network = namespaces?.network?.kind ?? 'new';
  const ownNetwork = network === 'new' || network === 'prepared';
  const ownIpc = (namespaces?.ipc?.kind ?? 'new') === 'new';
  const ownUts = (namespaces?.uts?.kind ?? 'new') === 'new';
  for (const name of Object.keys(sysctls)) {
    const isNetwork = name.startsWith('net.');
    const isIpc = ipcSysctls.includes(name) || name.startsWith('fs.mqueue.');
    if (!isNetwork && !isIpc) findings.refuse('HostConfig.Sysctls', `sysctl ${JSON.stringify(name)} is not held by a namespace, so it cannot be set for one container: allowed are net.*, fs.mqueue.* and ${ipcSysctls.join(', ')}`);
    else if (isNetwork && !ownNetwork) findings.refuse('HostConfig.Sysctls', `sysctl ${JSON.stringify(name)} needs a network namespace of the container's own`);
    else if (isIpc && !ownIpc) findings.refuse('HostConfig.Sysctls', `sysctl ${JSON.stringify(name)} needs an IPC namespace of the container's own`);
  }
  return {
    ...(ownNetwork && { 'net.ipv4.ip_unprivileged_port_start': '0', 'net.ipv4.ping_group_range': '0 2147483647' }),
    ...(ownUts && domainname ? { 'kernel.domainname': domainname } : {}),
    ...sysctls,
  };
}
