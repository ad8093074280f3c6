// How machines are accelerated here: as configured, else as booting one has shown. It keeps nothing itself.
import { join } from 'node:path';
import type { RunvConfig } from './config.ts';
import { probeAcceleration, type AccelerationVerdict } from './machine/acceleration.ts';
import type { Kernel } from './machine/types.ts';

/** The first time for a kernel this boots it. */
export async function accelerationOf(config: RunvConfig, kernel: Kernel, tscKHz: number): Promise<AccelerationVerdict> {
  if (config.acceleration !== 'auto') return { acceleration: config.acceleration, reason: 'configured' };
  return await probeAcceleration({ qemu: config.qemu, kernel, directory: join(config.templateDir, '..'), tscKHz, user: { uid: config.uid, gid: config.gid } });
}
