// Sets up what containers with a kernel of their own take: QEMU and its companions, and the default guest kernel.
// Its failure must not keep a cluster from running: such containers are then not offered, and the reason is said.
import { provideDefaultKernel } from './guest-kernel.ts';
import { installMissing, machineNeeds } from './system-packages.ts';

/** Whether containers of runtime runv can be had on this machine afterwards. Idempotent; quick when all is in place. Needs root. */
export async function provideMachines(say: (line: string) => void): Promise<boolean> {
  try {
    if (process.arch !== 'x64') throw new Error(`guest kernels are for x86-64, and this machine is ${process.arch}`);
    await installMissing(machineNeeds, say);
    await provideDefaultKernel(say);
    return true;
  } catch (error) {
    say(`the runtime runv is not offered: ${error instanceof Error ? error.message : String(error)}`);
    return false;
  }
}
