// runv acceleration: whether machines run on KVM here, found out by booting one the first time.
import { join } from 'node:path';
import { guestInitPath } from '@pouch/native';
import { readConfig } from '../config.ts';
import type { Globals } from '../globals.ts';
import { probeAcceleration } from '../machine/acceleration.ts';
import { hostTscKHz } from '../machine/host-clock.ts';
import { findKernel } from '../machine/kernel-store.ts';

export async function run(_args: readonly string[], { root }: Globals): Promise<number> {
  const config = await readConfig(root);
  if (config.acceleration !== 'auto') {
    process.stdout.write(`${JSON.stringify({ acceleration: config.acceleration, reason: 'configured' })}\n`);
    return 0;
  }
  const kernel = await findKernel({ directory: config.kernelDir, initPath: guestInitPath }, config.defaultKernel);
  const verdict = await probeAcceleration({ qemu: config.qemu, kernel, directory: join(config.templateDir, '..'), tscKHz: await hostTscKHz(), user: { uid: config.uid, gid: config.gid } });
  process.stdout.write(`${JSON.stringify(verdict)}\n`);
  return 0;
}
