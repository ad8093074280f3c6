// Machines: what the rest of runv uses of this directory.
export { MachineError, type MachineErrorCode } from './errors.ts';
export { addKernel, findKernel, kernelNames, listKernels, recordVerdict, removeKernel, type KernelStore, type NewKernel } from './kernel-store.ts';
export { maxDisks, portName, qemuCommand, tapFd, type Machine } from './qemu-command.ts';
export { profiles, type Acceleration, type Disk, type Kernel, type KernelRecord, type Profile, type ProfileVerdict, type SharedDirectory } from './types.ts';
