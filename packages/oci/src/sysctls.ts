// Kernel parameters of one container: only those that a namespace of its own holds. Pure.
import type { SpecInput } from './input.ts';
import type { Findings } from './refusal.ts';

const ipcSysctls = ['kernel.msgmax', 'kernel.msgmnb', 'kernel.msgmni', 'kernel.sem', 'kernel.shmall', 'kernel.shmmax', 'kernel.shmmni', 'kernel.shm_rmid_forced'];
/** The runtime makes a path below /proc/sys of the name. */
const nameForm = /^[\w-]+(?:\.[\w:@/-]+)+$/;

/** Docker's defaults for a network of the container's own (any user may bind low ports and ping), the domain name, and what was asked. */
export function buildSysctls({ sysctls = {}, namespaces, domainname }: SpecInput, findings: Findings): Record<string, string> {
  const own = (kind = 'new') => kind === 'new' || kind === 'prepared';
  const ownNetwork = own(namespaces?.network?.kind);
  const ownIpc = own(namespaces?.ipc?.kind);
  const ownUts = own(namespaces?.uts?.kind);
  for (const [name, value] of Object.entries(sysctls)) {
    const refuse = (why: string) => findings.refuse('HostConfig.Sysctls', `sysctl ${JSON.stringify(name)} ${why}`);
    const isNetwork = name.startsWith('net.');
    const isIpc = ipcSysctls.includes(name) || name.startsWith('fs.mqueue.');
    const isDomain = name === 'kernel.domainname';
    if (!nameForm.test(name) || name.includes('..')) refuse('is not a name of a kernel parameter, such as net.ipv4.ip_forward');
    else if (!isNetwork && !isIpc && !isDomain) refuse(`is not held by a namespace, so it cannot be set for one container: allowed are net.*, fs.mqueue.* and ${ipcSysctls.join(', ')}`);
    else if (isNetwork && !ownNetwork) refuse("needs a network namespace of the container's own");
    else if (isIpc && !ownIpc) refuse("needs an IPC namespace of the container's own");
    else if (isDomain && !ownUts) refuse("needs a UTS namespace of the container's own");
    if (/[\0\n]/.test(value)) refuse('has a value with a line end or a zero byte');
  }
  return {
    ...(ownNetwork && { 'net.ipv4.ip_unprivileged_port_start': '0', 'net.ipv4.ping_group_range': '0 2147483647' }),
    ...(ownUts && domainname ? { 'kernel.domainname': domainname } : {}),
    ...sysctls,
  };
}
