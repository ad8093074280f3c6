// Translates what a container is asked to be into what the OCI spec is built from. Pure.
import { isMachine, volumesOf, type Container, type ContainerId, type ContainerSpec, type ExecSpec } from '@pouch/domain';
import { parseSeccompProfile, type MountInput, type ProcessInput, type ResolvedUser, type SeccompProfile, type SpecInput } from '@pouch/oci';
import { ImpossibleError } from './failures.ts';

/** What of the host stands in a spec. */
export interface Surroundings {
  readonly user: ResolvedUser;
  readonly secrets: readonly MountInput[];
  /** Where a volume of the container is, by its name. */
  readonly volumePath: (name: string) => string;
  readonly devices: NonNullable<SpecInput['devices']>;
  readonly hostDevices: NonNullable<SpecInput['hostDevices']>;
  readonly generatedFiles: NonNullable<SpecInput['generatedFiles']>;
  readonly network: NonNullable<NonNullable<SpecInput['namespaces']>['network']>;
  readonly initPath: string;
  readonly cgroupsPath: string;
}

export function specInput({ id, spec }: Container, around: Surroundings): SpecInput {
  const { capAdd, capDrop, privileged, noNewPrivileges, hostname, domainname, readonlyRootfs, sysctls, annotations, tty } = spec;
  const { user, secrets, volumePath, devices, hostDevices, generatedFiles, network, initPath, cgroupsPath } = around;
  const seccomp = seccompOf(spec);
  return {
    args: [...spec.entrypoint, ...spec.cmd], env: spec.env, cwd: spec.workingDir, rootfsPath: 'rootfs',
    user, hostname, domainname, tty, readonlyRootfs, capAdd, capDrop, privileged, noNewPrivileges, devices, hostDevices, sysctls, annotations,
    resources: resourcesOf(spec), mounts: [...plainMounts(spec), ...volumeMounts(id, spec, volumePath), ...secrets], generatedFiles, namespaces: { network }, cgroupsPath,
    ...(seccomp === undefined ? {} : { seccomp }),
    ...(spec.init ? { initPath } : {}), // in a machine, too: there its first process is PID 1 of a namespace, as anywhere
  };
}

/** A further process: the container's settings, with its own on top. */
export function execInput({ spec }: Container, exec: ExecSpec, user: ResolvedUser, size: { rows: number; columns: number } | null): ProcessInput {
  return {
    args: exec.args, env: [...spec.env, ...exec.env], cwd: exec.workingDir === '' ? spec.workingDir : exec.workingDir, user, hostname: spec.hostname, tty: exec.tty,
    capAdd: spec.capAdd, capDrop: spec.capDrop, privileged: spec.privileged || exec.privileged, noNewPrivileges: spec.noNewPrivileges,
    resources: { ulimits: spec.resources.ulimits, oomScoreAdj: spec.resources.oomScoreAdj },
    ...(exec.tty && size !== null ? { consoleSize: { height: size.rows, width: size.columns } } : {}),
  };
}

function seccompOf({ runtime, seccomp, privileged }: ContainerSpec): 'default' | 'unconfined' | SeccompProfile | undefined {
  // What a profile keeps from the host's kernel never reaches it; the guest's own kernel may lack what it takes.
  if (isMachine({ runtime })) return 'unconfined';
  switch (seccomp.profile) {
    case 'default':
      return privileged ? undefined : 'default';
    case 'unconfined':
      return 'unconfined';
    case 'custom': {
      const parsed = parseSeccompProfile(seccomp.json);
      if (!parsed.ok) throw new ImpossibleError('bad-parameter', `${parsed.refusal.field}: ${parsed.refusal.message}`);
      return parsed.profile;
    }
  }
}

function resourcesOf({ resources }: ContainerSpec): NonNullable<SpecInput['resources']> {
  const { memoryBytes, memoryReservationBytes, memorySwapBytes, nanoCpus, cpuShares, cpusetCpus, pidsLimit, ulimits, oomScoreAdj, shmSizeBytes } = resources;
  return { memoryBytes, memorySwapBytes, nanoCpus, cpuShares, cpusetCpus, pidsLimit, ulimits, oomScoreAdj, shmSizeBytes, ...(memoryReservationBytes === undefined ? {} : { memoryReservationBytes }) };
}

function plainMounts({ mounts }: ContainerSpec): MountInput[] {
  return mounts.flatMap((mount): MountInput[] => {
    if (mount.type === 'volume') return [];
    if (mount.type === 'tmpfs') return [{ type: 'tmpfs', target: mount.target, sizeBytes: mount.sizeBytes, mode: mount.mode, options: mount.options }];
    const { source, target, readonly, propagation, recursive } = mount;
    return [{ type: 'bind', source, target, readonly, propagation, recursive }];
  });
}

function volumeMounts(id: ContainerId, { mounts }: ContainerSpec, pathOf: (name: string) => string): MountInput[] {
  return volumesOf(id, mounts).map(({ name, mount: { target, readonly } }) => ({ type: 'bind', source: pathOf(name), target, readonly, propagation: 'rprivate', recursive: true }));
}
