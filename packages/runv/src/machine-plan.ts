// From a bundle to the machine that it gets: kernel, profile, size, disks, shares, network, and the configuration of its monitor.
// It makes images and disks that are missing and starts nothing.
import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { guestInitPath } from '@pouch/native';
import { accelerationOf } from './acceleration.ts';
import type { RunvConfig } from './config.ts';
import { Failure } from './failure.ts';
import { passDescriptors, type Opening } from './machine/descriptors.ts';
import { hostTscKHz } from './machine/host-clock.ts';
import { findKernel } from './machine/kernel-store.ts';
import type { TemplatableMachine } from './machine/template.ts';
import { profiles, type Kernel, type Profile } from './machine/types.ts';
import { withCurrentVerdicts } from './machine/verdicts.ts';
import type { GuestNetwork } from './network.ts';
import type { Places } from './places.ts';
import { record } from './protocol/records.ts';
import { planRootfs, type RootfsPlan } from './rootfs/plan.ts';
import type { SideProcess } from './rootfs/virtiofs.ts';
import { configureRecords } from './spec-to-guest.ts';
import type { RuntimeSpec } from './spec.ts';
import { planVolumes } from './volumes.ts';

/** Below this a guest of today's kernels panics before its init. */
const leastGuestBytes = 96 << 20;
const mebibyte = 1 << 20;

export interface MachinePlan {
  readonly machine: TemplatableMachine;
  readonly opens: readonly Opening[];
  readonly sides: readonly SideProcess[];
  /** CONFIGURE's records of the root, which PREPARE may have done, and the others. */
  readonly root: Buffer;
  readonly settings: Buffer;
  readonly scratch: RootfsPlan['scratch'];
  readonly network: GuestNetwork | undefined;
}

/** Where annotations and configuration leave it open: the first profile that the kernel is known to work under, else what its format says. */
export function chooseProfile(kernel: Kernel, wanted: string): Profile {
  const named = profiles.find((profile) => profile === wanted);
  if (named !== undefined) return named;
  if (wanted !== 'auto') throw new Failure('usage', `there is no machine profile ${JSON.stringify(wanted)}; there are ${profiles.join(', ')}`);
  return profiles.find((profile) => kernel.profiles[profile]?.ok === true) ?? (kernel.format === 'vmlinux' ? 'modern' : 'classic');
}

/** Guest's memory in bytes, whole mebibytes. */
export function guestMemory(limit: number | undefined, standard: number): number {
  const wanted = limit === undefined || limit <= 0 ? standard : limit;
  return Math.max(leastGuestBytes, Math.ceil(wanted / mebibyte) * mebibyte);
}

/** As many as the quota can keep busy. */
export function guestCpus(quota: number | undefined, period: number | undefined, standard: number, host: number): number {
  if (quota === undefined || quota <= 0) return Math.max(1, Math.min(standard, host));
  return Math.max(1, Math.min(host, Math.ceil(quota / (period || 100_000))));
}

export async function planMachine(spec: RuntimeSpec, bundle: string, id: string, places: Places, config: RunvConfig, reading: Promise<GuestNetwork | undefined>): Promise<MachinePlan> {
  const { annotations = {}, linux = {} } = spec;
  const kernel = await withCurrentVerdicts(await findKernel({ directory: config.kernelDir, initPath: guestInitPath }, annotations['io.pouch.kernel'] ?? config.defaultKernel), config.qemu);
  const profile = chooseProfile(kernel, annotations['io.pouch.profile'] ?? config.profile);
  const lacks = kernel.profiles[profile]?.lacks ?? [];
  const [rootfs, volumes, tscKHz] = await Promise.all([
    planRootfs({ bundle, rootfsPath: resolve(bundle, spec.root?.path ?? 'rootfs'), stateDir: places.stateDir, config, profile, kernel, lacks, deferScratch: true }),
    planVolumes(spec.mounts ?? [], places.socketDir, bundle),
    hostTscKHz(),
  ]);
  const rootShares = rootfs.virtiofs.map((share) => {
    const socketPath = join(places.socketDir, `${share.tag}.sock`);
    return { ...share, socketPath, side: { ...share.side, args: share.side.args.map((arg) => arg.replace(share.socketPath, socketPath)) } };
  });
  const shares = [...rootShares, ...volumes.shares];
  if (shares.length > 0 && (profile === 'bare' || lacks.includes('virtiofs'))) {
    throw new Failure('unsupported', `volumes (${shares.map(({ directory }) => directory).join(', ')}): the kernel ${kernel.name} under the profile ${profile} has no virtiofs`);
  }
  const network = await reading;
  const { disks, opens } = passDescriptors(rootfs.disks);
  const machine: TemplatableMachine = {
    qemu: config.qemu, profile, acceleration: (await accelerationOf(config, kernel, tscKHz)).acceleration, tscKHz,
    kernel: rootfs.initrd === undefined ? kernel : { ...kernel, initrdPath: rootfs.initrd.path },
    memoryBytes: guestMemory(linux.resources?.memory?.limit, config.memoryBytes) + Math.ceil((2 * (rootfs.initrd?.sizeBytes ?? 0)) / mebibyte) * mebibyte,
    vcpus: guestCpus(linux.resources?.cpu?.quota, linux.resources?.cpu?.period, config.vcpus, availableParallelism()),
    disks, shares: shares.map(({ tag, directory, socketPath }) => ({ tag, directory, socketPath })),
    ...(network === undefined || profile === 'bare' ? {} : { nic: { mac: network.mac } }),
    ...(profile === 'classic' && lacks.includes('multiport') ? { singlePort: true } : {}),
    controlPath: places.controlPath, qmpPath: places.qmpPath, consolePath: places.consolePath, name: id,
  };
  const settings = Buffer.concat([
    ...configureRecords(spec, { nowMs: Date.now(), seed: randomBytes(32), machineId: randomBytes(16) }, true),
    ...volumes.records,
    ...(network === undefined || profile === 'bare' ? [] : network.records),
  ]);
  const root = Buffer.concat(rootfs.guest.map(({ tag, payload }) => record(tag, payload)));
  return { machine, opens, sides: shares.map(({ side }) => side), root, settings, scratch: rootfs.scratch, network };
}

/**
 * For a machine that only has its files looked at: the same one, so that it can be a clone of the same template, whose NIC is connected to nothing.
 * Throws `unsupported` where there is no disk.
 */
export async function planFilesMachine(...request: Parameters<typeof planMachine>): Promise<MachinePlan> {
  const plan = await planMachine(...request);
  const { machine } = plan;
  if (machine.profile === 'bare') throw new Failure('unsupported', 'files of a container that does not run: under the profile bare nothing is kept of what it wrote, so there are none');
  return { ...plan, machine: { ...machine, nic: { mac: '52:54:00:00:00:02' }, unplugged: true } };
}
