// Devices of the host that a container is to have: looks them up under /dev, changes nothing.
import { lstat, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ResolvedDevice } from './input.ts';
import { Findings, type Outcome } from './refusal.ts';
import type { Device } from './runtime-spec.ts';

/** Nodes that a directory given as a device, or all of /dev, may bring along. */
const maxDevices = 4_096;
/** What the runtime makes itself, or what is another file system. */
const notOurs = new Set(['pts', 'shm', 'fd', 'mqueue', '.lxc', '.lxd-mounts', '.udev', 'console']);

export interface AskedDevice {
  readonly pathOnHost: string;
  readonly pathInContainer: string;
  /** Of `r`, `w`, `m`; empty: all. */
  readonly permissions: string;
}

/** Looks up what was asked for; a directory brings the devices in it. */
export async function resolveDevices(asked: readonly AskedDevice[]): Promise<Outcome<{ readonly devices: readonly ResolvedDevice[] }>> {
  const findings = new Findings();
  const devices: ResolvedDevice[] = [];
  for (const { pathOnHost, pathInContainer, permissions } of asked) {
    if (!/^[rwm]{0,3}$/.test(permissions)) findings.refuse('HostConfig.Devices', `device ${pathOnHost}: permissions ${JSON.stringify(permissions)} must be of r, w and m`);
    const target = pathInContainer === '' ? pathOnHost : pathInContainer;
    const status = await stat(pathOnHost).catch(() => null); // whatever the reason, there is no device for us
    const found = status === null ? [] : status.isDirectory() ? await devicesIn(pathOnHost, target) : toDevice(status, target);
    if (found.length === 0) findings.refuse('HostConfig.Devices', `error gathering device information while adding custom device "${pathOnHost}": ${status === null ? 'no such file or directory' : 'not a device node'}`);
    devices.push(...found.map((device) => ({ device, permissions: permissions === '' ? 'rwm' : permissions })));
  }
  return findings.outcome({ devices });
}

/** All devices of the host, for privileged containers. */
export async function readHostDevices(): Promise<Device[]> {
  return await devicesIn('/dev', '/dev');
}

async function devicesIn(directory: string, target: string, found: Device[] = []): Promise<Device[]> {
  const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []; // gone since it was listed
    throw error;
  });
  for (const name of names) {
    if (found.length >= maxDevices) break;
    if (directory === '/dev' && notOurs.has(name)) continue;
    const path = join(directory, name);
    const status = await lstat(path).catch(() => null); // gone since it was listed
    if (status === null) continue;
    if (status.isDirectory()) await devicesIn(path, join(target, name), found);
    else found.push(...toDevice(status, join(target, name)));
  }
  return found;
}

function toDevice(status: { mode: number; rdev: number; uid: number; gid: number; isCharacterDevice(): boolean; isBlockDevice(): boolean }, path: string): Device[] {
  if (!status.isCharacterDevice() && !status.isBlockDevice()) return [];
  const { rdev, uid, gid } = status;
  // Linux's split of a device number (sys/sysmacros.h).
  const major = (Math.floor(rdev / 2 ** 32) & 0xffff_f000) | ((rdev >>> 8) & 0xfff);
  const minor = (Math.floor(rdev / 2 ** 12) & 0xffff_ff00) | (rdev & 0xff);
  return [{ type: status.isBlockDevice() ? 'b' : 'c', path, major, minor, fileMode: status.mode & 0o777, uid, gid }];
}
