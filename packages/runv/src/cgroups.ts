// The container's cgroup on the host, which holds its virtual machine: v1 (every controller that is mounted), hybrid, and v2.
// It makes, limits and removes the last directory of the path and nothing else.
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Failure, hasCode, messageOf } from './failure.ts';
import type { ResourcesSpec } from './spec.ts';

export interface CgroupMount { readonly point: string; readonly unified: boolean; readonly controllers: readonly string[] }

/** What QEMU and the processes beside it take besides the guest's memory; the page cache of its disks is given back under pressure. */
export const overheadBytes: number = 256 << 20;

export function parseCgroupMounts(mountinfo: string): CgroupMount[] {
  return mountinfo.split('\n').flatMap((line): CgroupMount[] => {
    const [before = '', after = ''] = line.split(' - ');
    const [type, , options = ''] = after.split(' ');
    const point = before.split(' ')[4] ?? '';
    if (type === 'cgroup2') return [{ point, unified: true, controllers: [] }];
    return type === 'cgroup' ? [{ point, unified: false, controllers: options.split(',').filter((one) => one !== 'rw' && one !== 'ro') }] : [];
  });
}

/** linux.cgroupsPath below a mount point. `slice:prefix:name` (systemd's form) becomes the path that systemd would give it. Throws `bad-spec`. */
export function cgroupPath(path: string | undefined, id: string): string {
  if (path === undefined || path === '') return `/runv/${id}`;
  if (path.split('/').includes('..')) throw new Failure('bad-spec', `linux.cgroupsPath ${JSON.stringify(path)} leads upwards`);
  const [slice, prefix, name] = path.split(':');
  if (name === undefined || slice === undefined) return join('/', path);
  const parts = (slice === '' ? 'system.slice' : slice).replace(/\.slice$/, '').split('-').filter((part) => part !== '');
  const slices = parts.map((_, index) => `${parts.slice(0, index + 1).join('-')}.slice`);
  return join('/', ...slices, `${prefix ? `${prefix}-` : ''}${name}.scope`);
}

function write(file: string, value: string | number, optional = false): void {
  try {
    writeFileSync(file, String(value));
  } catch (error) {
    if (optional && hasCode(error, 'ENOENT', 'EINVAL', 'EACCES', 'EPERM', 'EOPNOTSUPP', 'ENOTSUP')) return; // this kernel has no such limit, or no more than this
    throw new Failure('cgroup', `${file} cannot be set to ${value}: ${messageOf(error)}`, { cause: error });
  }
}

/** A new cpuset of v1 is empty, and no process may enter it. */
function inheritCpuset(directory: string, point: string): void {
  if (directory === point) return;
  for (const name of ['cpuset.cpus', 'cpuset.mems']) {
    const file = join(directory, name);
    if (existsSync(file) && readFileSync(file, 'utf8').trim() === '') write(file, readFileSync(join(dirname(directory), name), 'utf8').trim(), true);
  }
}

function makePath(mount: CgroupMount, path: string): string {
  const directory = join(mount.point, path);
  const parts = path.split('/').filter((part) => part !== '');
  for (let depth = 1; depth <= parts.length; depth++) {
    const one = join(mount.point, ...parts.slice(0, depth));
    mkdirSync(one, { recursive: true, mode: 0o755 });
    if (mount.controllers.includes('cpuset')) inheritCpuset(one, mount.point);
    if (mount.unified) for (const controller of ['memory', 'cpu', 'cpuset', 'io', 'pids']) write(join(dirname(one), 'cgroup.subtree_control'), `+${controller}`, true);
  }
  return directory;
}

/** Writes what `resources` says of a machine whose guest has `guestBytes`; the guest's size bounds its memory, so the limit is that and the overhead. */
export function limitCgroups(directories: readonly string[], { cpu = {}, memory, blockIO }: ResourcesSpec, guestBytes: number): void {
  const set = (name: string, value: string | number | undefined): void => {
    if (value !== undefined && value !== '' && value !== 0) for (const directory of directories) if (existsSync(join(directory, name))) write(join(directory, name), value);
  };
  const limited = (memory?.limit ?? 0) > 0;
  set('memory.limit_in_bytes', limited ? guestBytes + overheadBytes : undefined);
  set('memory.max', limited ? guestBytes + overheadBytes : undefined);
  set('cpu.shares', cpu.shares);
  // kernel: shares 2–262144 ↔ weight 1–10000
  set('cpu.weight', cpu.shares === undefined || cpu.shares === 0 ? undefined : Math.max(1, Math.min(10_000, 1 + Math.trunc(((cpu.shares - 2) * 9999) / 262_142))));
  set('cpu.cfs_period_us', cpu.period);
  set('cpu.cfs_quota_us', cpu.quota);
  if (cpu.quota !== undefined && cpu.quota !== 0) set('cpu.max', `${cpu.quota > 0 ? cpu.quota : 'max'} ${cpu.period ?? 100_000}`);
  set('cpuset.cpus', cpu.cpus);
  set('cpuset.mems', cpu.mems);
  set('blkio.weight', blockIO?.weight);
}

const cgroupMounts = (): CgroupMount[] => parseCgroupMounts(readFileSync('/proc/self/mountinfo', 'utf8'));

/** Where `makeCgroups` may make some: to be noted before, so that whoever cleans up after a death in between finds them. */
export const possibleCgroups = (path: string): string[] => [...new Set(cgroupMounts().map(({ point }) => join(point, path)))];

/** Makes the directories, one for each hierarchy; those of one that cannot be written are left out, as there is none. */
export function makeCgroups(path: string): string[] {
  const mounts = cgroupMounts();
  const directories = new Set<string>();
  for (const mount of mounts) {
    try {
      directories.add(makePath(mount, path));
    } catch (error) {
      if (!hasCode(error, 'EROFS', 'EACCES', 'EPERM')) throw error; // a container engine within a container may have some of them only to read
    }
  }
  return [...directories];
}

/** Removes them; a process that is just ending holds its cgroup for a moment. */
export async function removeCgroups(directories: readonly string[]): Promise<void> {
  for (const directory of directories) {
    for (let tries = 0; existsSync(directory); tries++) {
      try {
        rmdirSync(directory);
        break;
      } catch (error) {
        if (hasCode(error, 'ENOENT')) break;
        if (!hasCode(error, 'EBUSY') || tries >= 100) throw new Failure('cgroup', `${directory} cannot be removed: ${messageOf(error)}`, { cause: error });
        await delay(20);
      }
    }
  }
}
