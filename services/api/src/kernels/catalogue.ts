// Guest kernels as the API tells of them: the catalogue's, and those that hosts have of their own. Reads the projection only.
import type { ClusterKernel, KernelOnHost } from '@pouch/contracts';
import { isMachine, kernelOf, type Host, type Kernel } from '@pouch/domain';
import type { Projection } from '../projection/projection.ts';

/** Every name that a container may ask for, sorted. */
export function kernelNames({ present }: Projection): string[] {
  const ofHosts = present.hosts().flatMap(({ state }) => state.facts.machines?.kernels.map(({ name }) => name) ?? []);
  return [...new Set([...present.kernels().map(({ state }) => state.name), ...ofHosts])].sort();
}

/** The catalogue with what each host says, by name. */
export function listKernels(projection: Projection): ClusterKernel[] {
  const { present } = projection;
  const hosts = present.hosts().map(({ state }) => state).filter((host) => host.state !== 'removed' && host.facts.machines !== undefined);
  const catalogued = new Map(present.kernels().map(({ state }) => [state.name, state]));
  const users = usersByKernel(projection);
  return kernelNames(projection).map((name) => {
    const kernel = catalogued.get(name);
    const usedBy = users.get(name) ?? [];
    return kernel === undefined ? ofHosts(name, hosts, usedBy) : ofCatalogue(kernel, hosts, usedBy);
  });
}

/** Containers that name a kernel, whatever their status. */
export function usersOf(projection: Projection, name: string): string[] {
  return usersByKernel(projection).get(name) ?? [];
}

function usersByKernel({ present }: Projection): Map<string, string[]> {
  const users = new Map<string, string[]>();
  for (const { state: { spec, name } } of present.containers()) {
    const kernel = isMachine(spec) ? kernelOf(spec) : null;
    if (kernel !== null) users.set(kernel, [...(users.get(kernel) ?? []), name]);
  }
  return users;
}

function ofCatalogue({ name, record, probes, sinceMs }: Kernel, hosts: readonly Host[], usedBy: string[]): ClusterKernel {
  const { digest, sizeBytes, format, release, moduleCount } = record;
  const probed = probes.filter((probe) => probe.digest === digest);
  const known = hosts.flatMap((host) => {
    const own = onHost(name, digest, host);
    const profiles = own.profiles.length > 0 ? own.profiles : [...(probed.find((probe) => probe.hostId === host.id)?.profiles ?? [])];
    return own.present || profiles.length > 0 ? [{ ...own, profiles }] : [];
  });
  return { name, source: 'catalogue', digest, sizeBytes, format, release, moduleCount, addedAtMs: sinceMs, hosts: known, usedBy };
}

function ofHosts(name: string, hosts: readonly Host[], usedBy: string[]): ClusterKernel {
  const having = hosts.flatMap((host) => {
    const own = host.facts.machines?.kernels.find((kernel) => kernel.name === name);
    return own === undefined ? [] : [{ host, own }];
  });
  const first = having[0]?.own;
  return {
    name, source: 'host', digest: first?.digest ?? '', sizeBytes: null, format: null, release: first?.release ?? null, moduleCount: null, addedAtMs: null,
    hosts: having.map(({ host, own }) => onHost(name, own.digest, host)), usedBy,
  };
}

function onHost(name: string, digest: string, { id, facts: { machines } }: Host): KernelOnHost {
  const own = machines?.kernels.find((kernel) => kernel.name === name && kernel.digest === digest);
  return {
    hostId: id, present: own !== undefined, isDefault: own !== undefined && machines?.defaultKernel === name, acceleration: machines?.acceleration ?? null,
    profiles: [...(own?.profiles ?? [])],
  };
}
