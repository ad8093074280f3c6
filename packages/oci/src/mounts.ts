// The mounts of a container: the kernel's file systems as Docker mounts them, the generated files, and what was asked for. Pure.
import type { MountInput, SpecInput } from './input.ts';
import type { Findings } from './refusal.ts';
import type { Mount } from './runtime-spec.ts';
import { tmpfsOptions } from './tmpfs-options.ts';

const defaultShmBytes = 64 * 1024 * 1024;

/**
 * Kernel file systems beneath; above them the generated files and the person's mounts, parents before children, so that a directory of the
 * person's on /etc does not hide the generated files. A mount of the person's takes the place of a default one at the same target.
 */
export function buildMounts(input: SpecInput, findings: Findings): Mount[] {
  const asked = [...(input.mounts ?? [])].map((mount) => toMount(mount, findings));
  const targets = new Set<string>();
  for (const { destination } of asked) {
    if (targets.has(destination)) findings.refuse('HostConfig.Mounts', `duplicate mount point: ${destination}`);
    targets.add(destination);
  }
  // A /dev of the person's own stands for all that would be mounted in it.
  const kept = ({ destination }: Mount) => !targets.has(destination) && !(targets.has('/dev') && destination.startsWith('/dev/'));
  const above = [...generated(input).filter(kept), ...asked].sort((a, b) => depth(a.destination) - depth(b.destination));
  return [...kernelMounts(input, findings).filter(kept), ...above];
}

const depth = (path: string) => path.split('/').filter((part) => part !== '').length;

function kernelMounts(input: SpecInput, findings: Findings): Mount[] {
  const access = input.privileged === true ? 'rw' : 'ro';
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
    { destination: '/dev/pts', type: 'devpts', source: 'devpts', options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'] },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', access] },
    { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: ['nosuid', 'noexec', 'nodev', access] },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
    sharedMemory(input, findings),
  ];
}

/** Shared memory goes with the IPC namespace: whoever shares the one shares the other. */
function sharedMemory({ resources, namespaces }: SpecInput, findings: Findings): Mount {
  const ipc = namespaces?.ipc;
  const source = ipc?.shmPath ?? (ipc?.kind === 'host' ? '/dev/shm' : undefined);
  if (source !== undefined) return { destination: '/dev/shm', type: 'bind', source, options: ['rbind', 'rw', 'rprivate'] };
  const bytes = resources?.shmSizeBytes ? resources.shmSizeBytes : defaultShmBytes;
  if (!Number.isSafeInteger(bytes) || bytes < 0) findings.refuse('HostConfig.ShmSize', `the size of shared memory is a number of bytes: ${bytes} is not`);
  return { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: ['nosuid', 'noexec', 'nodev', 'mode=1777', `size=${bytes}`] };
}

function generated({ generatedFiles, initPath, readonlyRootfs }: SpecInput): Mount[] {
  const access = readonlyRootfs === true ? 'ro' : 'rw';
  const bind = (source: string | undefined, destination: string, how: 'rw' | 'ro'): Mount[] =>
    source === undefined ? [] : [{ destination, type: 'bind', source, options: ['rbind', how, 'rprivate'] }];
  return [
    ...bind(generatedFiles?.resolvConfPath, '/etc/resolv.conf', access),
    ...bind(generatedFiles?.hostnamePath, '/etc/hostname', access),
    ...bind(generatedFiles?.hostsPath, '/etc/hosts', access),
    ...bind(initPath, initTarget, 'ro'),
  ];
}

/** Where Docker has its init, so that images that look for it find it. */
export const initTarget = '/sbin/docker-init';

function toMount(mount: MountInput, findings: Findings): Mount {
  const target = normalise(mount.target);
  const field = mount.type === 'bind' ? 'HostConfig.Mounts' : 'HostConfig.Tmpfs';
  if (!mount.target.startsWith('/')) findings.refuse('HostConfig.Mounts', `mount target ${JSON.stringify(mount.target)} must be an absolute path`);
  if (target === '/') findings.refuse('HostConfig.Mounts', 'a mount target must not be /: the image is mounted there');
  if (/\0/.test(mount.target) || (mount.type === 'bind' && /\0/.test(mount.source))) findings.refuse(field, 'a path cannot hold a zero byte');
  if (mount.type === 'tmpfs') return { destination: target, type: 'tmpfs', source: 'tmpfs', options: tmpfsOptions(mount, findings) };
  // The runtime would take a relative source as one within the bundle.
  if (!mount.source.startsWith('/')) findings.refuse(field, `mount source ${JSON.stringify(mount.source)} must be an absolute path`);
  return { destination: target, type: 'bind', source: mount.source, options: [mount.recursive === false ? 'bind' : 'rbind', mount.readonly ? 'ro' : 'rw', mount.propagation ?? 'rprivate'] };
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
