// Disks by descriptor: QEMU's user need not be able to reach where they lie (a container engine's directories are root's own). Pure.
import type { Disk } from './types.ts';

/** The first descriptor for a disk; those below are QEMU's own and the tap's. */
const firstFd = 20;

/** What the monitor opens as root and QEMU inherits: lines `open FD ro|rw PATH` of its configuration. */
export interface Opening { readonly fd: number; readonly path: string; readonly readOnly: boolean }

/** The same disks, each by descriptors: QEMU opens a writable one for reading first, and takes of a set what fits its mode. */
export function passDescriptors(disks: readonly Disk[]): { readonly disks: readonly Disk[]; readonly opens: readonly Opening[] } {
  const opens: Opening[] = [];
  const passed = disks.map((disk): Disk => {
    const modes = disk.readOnly ? [true] : [true, false];
    const own = modes.map((readOnly, index) => ({ fd: firstFd + opens.length + index, path: disk.path, readOnly }));
    opens.push(...own);
    return { ...disk, fds: own.map(({ fd }) => fd) };
  });
  return { disks: passed, opens };
}
