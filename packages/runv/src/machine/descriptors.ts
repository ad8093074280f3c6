// Disks by descriptor: QEMU's user need not be able to reach where they lie (a container engine's directories are root's own). Pure.
import type { Disk } from './types.ts';

/** The first descriptor for a disk; those below are QEMU's own and the tap's. */
const firstFd = 20;

/** What the monitor opens as root and QEMU inherits: lines `open FD ro|rw PATH` of its configuration. */
export interface Opening { readonly fd: number; readonly path: string; readonly readOnly: boolean }

/** The same disks, each by a descriptor. */
export function passDescriptors(disks: readonly Disk[]): { readonly disks: readonly Disk[]; readonly opens: readonly Opening[] } {
  const passed = disks.map((disk, index): Disk & { readonly fd: number } => ({ ...disk, fd: firstFd + index }));
  return { disks: passed, opens: passed.map(({ fd, path, readOnly }) => ({ fd, path, readOnly })) };
}
