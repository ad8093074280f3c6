// runv acceleration: whether machines run on KVM here, found out by booting one the first time.
import { guestInitPath } from '@pouch/native';
import { accelerationOf } from '../acceleration.ts';
import { readConfig } from '../config.ts';
import type { Globals } from '../globals.ts';
import { hostTscKHz } from '../machine/host-clock.ts';
import { findKernel } from '../machine/kernel-store.ts';

export async function run(_args: readonly string[], { root }: Globals): Promise<number> {
  const config = await readConfig(root);
  const kernel = await findKernel({ directory: config.kernelDir, initPath: guestInitPath }, config.defaultKernel);
  process.stdout.write(`${JSON.stringify(await accelerationOf(config, kernel, await hostTscKHz()))}\n`);
  return 0;
}
