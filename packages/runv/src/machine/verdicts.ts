// What booting a kernel showed holds for the QEMU and the machine that it was booted with, and for no other: each verdict names them.
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { qemuCommand } from './qemu-command.ts';
import { profiles, type Acceleration, type Kernel, type Profile } from './types.ts';

/** Digest of QEMU's file and of a machine of this profile as this version puts it together. */
export async function machineForm(qemu: string, profile: Profile, acceleration: Acceleration): Promise<string> {
  // QEMU's file stands for its version: asking it would cost every start a process.
  const { size, mtimeMs } = await stat(qemu).catch(() => ({ size: 0, mtimeMs: 0 }));
  const command = qemuCommand({
    qemu, profile, acceleration, kernel: { imagePath: 'image', initrdPath: 'initrd' }, tscKHz: 0, memoryBytes: 2 ** 28, vcpus: 1, disks: [], shares: [],
    controlPath: 'control', qmpPath: 'qmp', consolePath: 'console', name: 'form',
  });
  return createHash('sha256').update([size, mtimeMs, ...command].join('\0')).digest('hex').slice(0, 16);
}

/** The kernel with those verdicts only that still hold: QEMU may be another one since, or machines be put together otherwise. */
export async function withCurrentVerdicts(kernel: Kernel, qemu: string): Promise<Kernel> {
  const current = await Promise.all(profiles.map(async (profile) => {
    const verdict = kernel.profiles[profile];
    return verdict?.acceleration !== undefined && verdict.form === (await machineForm(qemu, profile, verdict.acceleration)) ? [[profile, verdict] as const] : [];
  }));
  return { ...kernel, profiles: Object.fromEntries(current.flat()) };
}
