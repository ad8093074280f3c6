// Docker's JSON to a container's spec and back, by the tables under settings/. What is not in a table is either refused by name (it
// would not take effect) or unknown to Docker too. Pure: the cluster is asked only through `Surroundings`.
import type { DockerCreateBody } from '@pouch/contracts';
import { defaultMachineMemoryBytes, explainJoin, explainMachineMisfit, isMachine, kernelAnnotation, kernelOf, machineRuntime, noRules, readPlacementRules, type ContainerSpec } from '@pouch/domain';
import { badField, HttpError, requireSpecSize } from '../errors.ts';
import { containerSettings, noCommand } from './settings/container.ts';
import { emptyDraft, type Draft, type Surroundings } from './settings/draft.ts';
import { mountSettings } from './settings/mounts.ts';
import { networkSettings } from './settings/network.ts';
import { refuseEndpoints, refuseNotYet, shownDefaults } from './settings/not-yet.ts';
import { resourceSettings } from './settings/resources.ts';
import { securitySettings } from './settings/security.ts';
import type { Setting, Warn } from './settings/table.ts';
import { imageVolumePaths, withOwnVolumes } from './settings/volumes.ts';

/** Every setting that takes effect, in order of reading. */
export const settings: readonly Setting[] = [...containerSettings, ...networkSettings, ...mountSettings, ...resourceSettings, ...securitySettings];

/** Reads a create body that fits its schema; throws an HttpError that names the setting. */
export function readSettings(body: DockerCreateBody, surroundings: Surroundings): { spec: ContainerSpec; warnings: string[] } {
  refuseNotYet(body);
  const draft = emptyDraft(surroundings);
  const warnings: string[] = [];
  const warn: Warn = (warning) => warnings.push(warning);
  const host = (body.HostConfig ?? {}) as Readonly<Record<string, unknown>>;
  for (const { field, member, inHostConfig, read } of settings) {
    const value = inHostConfig ? host[member] : (body as Readonly<Record<string, unknown>>)[member];
    if (value !== undefined) read(draft, value, { field, surroundings, warn });
  }
  draft.mounts = withOwnVolumes(draft.mounts, imageVolumePaths(surroundings.image.defaults.volumes));
  if (draft.entrypoint.length === 0 && draft.cmd.length === 0) throw noCommand();
  checkTogether(draft, body);
  settlePlacement(draft, body);
  settleMachine(draft, surroundings);
  settleHostname(draft, body, surroundings);
  warnOfNoEffect(draft, warn);
  refuseEndpoints(body, draft);
  requireSpecSize('the body', draft);
  return { spec: draft, warnings };
}

/** Rules over more than one setting, in Docker's words. */
function checkTogether(draft: Draft, body: DockerCreateBody): void {
  const { memoryBytes, memoryReservationBytes = 0, memorySwapBytes } = draft.resources;
  if (memoryBytes !== null && memoryReservationBytes > memoryBytes) throw badField('HostConfig.MemoryReservation', 'Minimum memory limit can not be less than memory reservation limit');
  if (memorySwapBytes !== null && memorySwapBytes !== -1) {
    if (memoryBytes === null) throw badField('HostConfig.MemorySwap', 'You should always set the Memory limit when using Memoryswap limit');
    if (memorySwapBytes < memoryBytes) throw badField('HostConfig.MemorySwap', 'Minimum memoryswap limit should be larger than memory limit');
  }
  if (draft.autoRemove && draft.restartPolicy.name !== 'no') throw badField('HostConfig.AutoRemove', "can't create 'AutoRemove' container with restart policy");
  const targets = draft.mounts.map((mount) => mount.target);
  const twice = targets.find((target, index) => targets.indexOf(target) !== index);
  if (twice !== undefined) throw badField('HostConfig.Mounts', `Duplicate mount point: ${twice}`);
  if (draft.network.mode === 'container') {
    const conflict = (field: string, what: string) => badField(field, `conflicting options: ${what} and the network mode`);
    if (body.Hostname !== undefined && body.Hostname !== '') throw conflict('Hostname', 'hostname');
    if (draft.ports.length > 0 || draft.publishAllPorts) throw conflict('HostConfig.PortBindings', 'port publishing');
    if (draft.dns.length > 0) throw conflict('HostConfig.Dns', 'dns');
    if (draft.extraHosts.length > 0) throw conflict('HostConfig.ExtraHosts', 'custom host-to-IP mapping');
  }
}

/** Where it may run: by entries of the environment that are not for the container, and by labels, the image's too. */
function settlePlacement(draft: Draft, { Env: given = [] }: DockerCreateBody): void {
  const read = readPlacementRules(given ?? [], draft.labels);
  if (!read.ok) throw new HttpError(400, read.problem);
  if (JSON.stringify(read.value.rules) !== JSON.stringify(noRules)) draft.placement = read.value.rules;
}

/** What a container with a kernel of its own cannot have, and what it has where nothing is said. */
function settleMachine(draft: Draft, surroundings: Surroundings): void {
  const kernel = kernelOf(draft);
  if (!isMachine(draft)) {
    if (kernel !== null) throw badField(`HostConfig.Annotations.${kernelAnnotation}`, `the runtime ${draft.runtime} shares the kernel of its host; a guest kernel is possible with the runtime ${machineRuntime}`);
    return;
  }
  // Looked at only here: the names of all kernels are read from all hosts.
  const { kernels, findContainer } = surroundings;
  const misfit = explainMachineMisfit(draft);
  if (misfit !== null) throw badField(misfit.field, misfit.reason);
  const joined = draft.network.mode === 'container' ? findContainer(draft.network.containerId) : null;
  const apart = joined === null ? null : explainJoin(draft, joined);
  if (apart !== null) throw badField('HostConfig.NetworkMode', apart);
  if (kernel !== null && !kernels.includes(kernel)) throw badField(`HostConfig.Annotations.${kernelAnnotation}`, `there is no guest kernel ${JSON.stringify(kernel.slice(0, 80))}; ${kernels.length === 0 ? 'none has been added yet' : `there are ${kernels.join(', ')}`}`);
  if (draft.resources.memoryBytes === null) draft.resources = { ...draft.resources, memoryBytes: defaultMachineMemoryBytes };
}

/** In the host's network a container that was given no name has the host's; beside another container it has that one's. */
function settleHostname(draft: Draft, body: DockerCreateBody, { findContainer }: Surroundings): void {
  if (body.Hostname !== undefined && body.Hostname !== '') return;
  if (draft.network.mode === 'host') draft.hostname = '';
  if (draft.network.mode === 'container') draft.hostname = findContainer(draft.network.containerId)?.spec.hostname ?? draft.hostname;
}

function warnOfNoEffect(draft: Draft, warn: Warn): void {
  const { mode } = draft.network;
  if ((mode === 'host' || mode === 'none') && (draft.ports.length > 0 || draft.publishAllPorts)) {
    warn(`Published ports are discarded when using ${mode} network mode`);
    draft.ports = [];
    draft.publishAllPorts = false;
  }
}

/** `Config` of inspect. */
export function showConfig(spec: ContainerSpec): Record<string, unknown> {
  const shown: Record<string, unknown> = { Image: spec.image.reference, ...shownDefaults('Config') };
  for (const setting of settings) if (!setting.inHostConfig) shown[setting.member] = setting.show(spec);
  if (spec.stopTimeoutSeconds === null) delete shown.StopTimeout;
  return shown;
}

/** `HostConfig` of inspect. */
export function showHostConfig(spec: ContainerSpec): Record<string, unknown> {
  const shown = shownDefaults('HostConfig');
  for (const setting of settings) if (setting.inHostConfig) shown[setting.member] = setting.show(spec);
  return shown;
}

/** A create body without a known image is refused before anything is read. */
export function requireImage(body: DockerCreateBody): string {
  if (body.Image === undefined || body.Image === '') throw new HttpError(400, 'Image: no image specified');
  return body.Image;
}
