// The mounts of a container: the kernel's file systems as Docker mounts them, the generated files, then what was asked for. Pure.
import type { MountInput, SpecInput } from './input.ts';
import type { Findings } from './refusal.ts';
import type { Mount } from './runtime-spec.ts';

const defaultShmBytes = 64 * 1024 * 1024;

/** Default mounts beneath, the person's above, parents before children; a mount of the person's takes the place of a default one. */
export function buildMounts(input: SpecInput, findings: Findings): Mount[] {
  const asked = [...(input.mounts ?? [])].map((mount) => toMount(mount, findings));
  const targets = new Set<string>();
  for (const { destination } of asked) {
    if (targets.has(destination)) findings.refuse('HostConfig.Mounts', `duplicate mount point: ${destination}`);
    targets.add(destination);
  }
  const byDepth = asked.toSorted((a, b) => depth(a.destination) - depth(b.destination));
  return [...kernelMounts(input), ...generated(input)].filter((mount) => !targets.has(mount.destination)).concat(byDepth);
}

const depth = (path: string) => path.split('/').filter((part) => part !== '').length;

function kernelMounts({ privileged = false, resources, namespaces }: SpecInput): Mount[] {
  const access = privileged ? 'rw' : 'ro';
  const shmBytes = resources?.shmSizeBytes ? resources.shmSizeBytes : defaultShmBytes;
  const shm: Mount = namespaces?.ipc?.shmPath === undefined
    ? { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: ['nosuid', 'noexec', 'nodev', 'mode=1777', `size=${shmBytes}`] }
    : { destination: '/dev/shm', type: 'bind', source: namespaces.ipc.shmPath, options: ['rbind', 'rw', 'rprivate'] };
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
    { destination: '/dev/pts', type: 'devpts', source: 'devpts', options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'] },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', access] },
    { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: ['nosuid', 'noexec', 'nodev', access] },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
    shm,
  ];
}

function generated({ generatedFiles, initPath }: SpecInput): Mount[] {
  const bind = (source: string | undefined, destination: string, access: 'rw' | 'ro'): Mount[] =>
    source === undefined ? [] : [{ destination, type: 'bind', source, options: ['rbind', access, 'rprivate'] }];
  return [
    ...bind(generatedFiles?.resolvConfPath, '/etc/resolv.conf', 'rw'),
    ...bind(generatedFiles?.hostnamePath, '/etc/hostname', 'rw'),
    ...bind(generatedFiles?.hostsPath, '/etc/hosts', 'rw'),
    ...bind(initPath, initTarget, 'ro'),
  ];
}

/** Where Docker has its init, so that images that look for it find it. */
export const initTarget = '/sbin/docker-init';

function toMount(mount: MountInput, findings: Findings): Mount {
  const target = normalise(mount.target);
  if (!mount.target.startsWith('/')) findings.refuse('HostConfig.Mounts', `mount target ${JSON.stringify(mount.target)} must be an absolute path`);
  if (target === '/') findings.refuse('HostConfig.Mounts', 'a mount target must not be /: the image is mounted there');
  if (mount.type === 'bind') {
    return { destination: target, type: 'bind', source: mount.source, options: [mount.recursive === false ? 'bind' : 'rbind', mount.readonly ? 'ro' : 'rw', mount.propagation ?? 'rprivate'] };
  }
  const options = new Set(['nosuid', 'nodev', 'noexec', 'rprivate', ...(mount.readonly === true ? ['ro'] : []), ...(mount.sizeBytes ? [`size=${mount.sizeBytes}`] : []), ...(mount.mode === null || mount.mode === undefined ? [] : [`mode=${mount.mode.toString(8)}`])]);
  for (const option of mount.options ?? []) {
    const negated = option.startsWith('no') ? option.slice(2) : `no${option}`;
    options.delete(negated);
    const [name] = option.split('=');
    for (const present of options) if (option.includes('=') && present.startsWith(`${name}=`)) options.delete(present);
    if (option === 'rw') options.delete('ro');
    options.add(option);
  }
  return { destination: target, type: 'tmpfs', source: 'tmpfs', options: [...options] };
}

function normalise(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}`;
}

/** The root's propagation, where a shared or slave mount needs it to be more than private. */
export function rootfsPropagation(mounts: readonly MountInput[]): string | undefined {
  const wanted = mounts.flatMap((mount) => (mount.type === 'bind' && mount.propagation !== undefined ? [mount.propagation] : []));
  if (wanted.some((propagation) => propagation.endsWith('shared'))) return 'rshared';
  return wanted.some((propagation) => propagation.endsWith('slave')) ? 'rslave' : undefined;
}
