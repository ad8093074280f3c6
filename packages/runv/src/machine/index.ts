// Machines: what the rest of runv uses of this directory.
export { probeAcceleration, type AccelerationProbe, type AccelerationVerdict } from './acceleration.ts';
export { probeBoot, probeProfile, type Probe } from './boot-probe.ts';
export { passDescriptors, type Opening } from './descriptors.ts';
export { MachineError, type MachineErrorCode } from './errors.ts';
export { hostTscKHz } from './host-clock.ts';
export { addKernel, findKernel, kernelNames, listKernels, recordVerdict, removeKernel, type KernelStore, type NewKernel } from './kernel-store.ts';
export { maxDisks, portName, qemuCommand, tapFd, type Machine } from './qemu-command.ts';
export { Qmp, type RunState } from './qmp.ts';
export { cloneOf, findTemplate, isTemplatable, makeTemplate, stateFd, sweepTemplates, templateKey, wakeClone, type TemplatableMachine, type Template, type TemplateOptions } from './template.ts';
export { machineForm, withCurrentVerdicts } from './verdicts.ts';
export { profiles, type Acceleration, type Disk, type Kernel, type KernelRecord, type Profile, type ProfileVerdict, type SharedDirectory } from './types.ts';
