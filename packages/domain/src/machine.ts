// Containers that are virtual machines: what a host says of its ability to run them, which of them it can take, and which settings they cannot have.
import type { ContainerSpec } from './container/spec.ts';

/** The runtime whose containers have a kernel of their own. */
export const machineRuntime = 'runv';
/** Annotation that names a guest kernel. */
export const kernelAnnotation = 'io.pouch.kernel';
/** A machine's memory where none is asked for; its containers are counted with it. */
export const defaultMachineMemoryBytes = 256 * 2 ** 20;
/** A guest kernel with its file systems does not come up with less. */
export const minMachineMemoryBytes = 96 * 2 ** 20;

/** What booting a kernel under one machine profile showed. */
export interface KernelProbe {
  /** `modern`, `classic` or `bare`. */
  readonly profile: string;
  readonly ok: boolean;
  /** Until its init answered; null where it did not. */
  readonly bootMs: number | null;
  /** What the kernel cannot do, e.g. `overlay`; or why it did not come up. */
  readonly lacks: readonly string[];
}

/** A kernel in a host's own store. */
export interface HostKernel {
  readonly name: string;
  readonly digest: string;
  readonly release: string | null;
  /** Empty: not booted yet. */
  readonly profiles: readonly KernelProbe[];
}

/** What a host says of the virtual machines that it can run. */
export interface MachineFacts {
  /** `kvm` where it truly works, else `tcg`: software emulation. Null: not probed yet. */
  readonly acceleration: 'kvm' | 'tcg' | null;
  readonly kernels: readonly HostKernel[];
  /** Of containers that name none; null: there is none. */
  readonly defaultKernel: string | null;
}

export const isMachine = (spec: Pick<ContainerSpec, 'runtime'>): boolean => spec.runtime === machineRuntime;

/** The guest kernel that a container asks for; null: the host's default. */
export function kernelOf({ annotations }: Pick<ContainerSpec, 'annotations'>): string | null {
  const name = annotations[kernelAnnotation];
  return name === undefined || name === '' ? null : name;
}

/** Whether a kernel was booted and came up under no profile. */
export const isUnbootable = (profiles: readonly KernelProbe[]): boolean => profiles.length > 0 && profiles.every(({ ok }) => !ok);

/** What the cluster's catalogue says of a kernel on one host: null where it has no such kernel. */
export type CataloguedKernel = (name: string) => { readonly profilesOn: (hostId: string) => readonly KernelProbe[] } | null;

/** Why a host cannot run a container's guest kernel, as a sentence, or null. A kernel of the catalogue reaches a host when it needs it. */
export function explainKernel(spec: ContainerSpec, { id, facts }: { readonly id: string; readonly facts: { readonly machines?: MachineFacts } }, catalogued: CataloguedKernel): string | null {
  if (!isMachine(spec)) return null;
  const { machines } = facts;
  if (machines === undefined) return null; // an agent of an earlier version, or one that was given a runv of its own
  const name = kernelOf(spec);
  if (name === null) return machines.defaultKernel === null ? 'it has no guest kernel of its own yet; name one of the catalogue, or add one with `pouch kernel add`' : null;
  const own = machines.kernels.find((kernel) => kernel.name === name);
  const found = catalogued(name);
  if (own === undefined && found === null) return `it has no guest kernel ${JSON.stringify(name)}${machines.kernels.length === 0 ? '' : `; it has ${machines.kernels.map((kernel) => kernel.name).join(', ')}`}`;
  const profiles = own === undefined ? (found?.profilesOn(id) ?? []) : own.profiles;
  return isUnbootable(profiles) ? `the guest kernel ${JSON.stringify(name)} does not boot there: ${profiles.map((probe) => `${probe.profile}: ${probe.lacks.join(', ') || 'no answer'}`).join('; ')}` : null;
}

/** Why a container cannot join another one's network, as a sentence, or null: a machine has a network stack of its own beside the host's, and there can be one such at most. */
export function explainJoin(joining: Pick<ContainerSpec, 'runtime'>, { name, spec }: { readonly name: string; readonly spec: ContainerSpec }): string | null {
  if (!isMachine(joining)) return null;
  const own = `a container of runtime ${machineRuntime} is a virtual machine with a network stack of its own`;
  if (isMachine(spec)) return `${own}, and so is ${name}: of two it could not be told which one listens on a port; a container of another runtime can join it`;
  return spec.network.mode === 'host' ? `${own} and cannot have the host's, which ${name} has` : null;
}

/** A setting that a container with a kernel of its own cannot have. */
export interface MachineMisfit {
  /** Docker's name of the setting. */
  readonly field: string;
  readonly reason: string;
}

/** The first setting that cannot be, with its reason; null: all can. */
export function explainMachineMisfit(spec: ContainerSpec): MachineMisfit | null {
  const own = `a container of runtime ${machineRuntime} is a virtual machine`;
  if (spec.network.mode === 'host') return { field: 'HostConfig.NetworkMode', reason: `${own} with a network stack of its own and cannot have the host's; bridge, none and container:NAME are possible` };
  if (spec.privileged) return { field: 'HostConfig.Privileged', reason: `${own} with a kernel of its own: there is nothing of the host to be privileged on; CapAdd gives capabilities inside it` };
  if (spec.devices.length > 0) return { field: 'HostConfig.Devices', reason: `${own} and does not reach devices of the host` };
  if (spec.seccomp.profile === 'custom') return { field: 'HostConfig.SecurityOpt', reason: `${own} with a kernel of its own, to which no seccomp profile is applied; leave it out` };
  for (const mount of spec.mounts) {
    if (mount.type !== 'bind') continue;
    const field = `HostConfig.${({ binds: 'Binds', mounts: 'Mounts', 'volumes-from': 'VolumesFrom' } as const)[mount.declaredAs]}`;
    if (mount.propagation !== 'rprivate') return { field, reason: `${own} with mounts of its own, so that ${mount.target} cannot have the propagation ${mount.propagation}; rprivate is possible` };
    if (!mount.recursive) return { field, reason: `${own}, which sees ${mount.source} with everything mounted below it: a bind mount that is not recursive is not possible` };
  }
  const { memoryBytes, memorySwapBytes } = spec.resources;
  if (memorySwapBytes !== null && memorySwapBytes !== memoryBytes) return { field: 'HostConfig.MemorySwap', reason: `${own}, whose kernel has no swap: as much as HostConfig.Memory is possible, or nothing` };
  if (memoryBytes !== null && memoryBytes < minMachineMemoryBytes) return { field: 'HostConfig.Memory', reason: `${own}, whose kernel needs at least ${minMachineMemoryBytes / 2 ** 20} MiB` };
  return null;
}
