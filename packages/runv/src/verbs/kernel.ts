// runv kernel add|ls|rm|probe: the guest kernels of this host.
import { guestInitPath } from '@pouch/native';
import { parseArguments } from '../arguments.ts';
import { accelerationOf } from '../acceleration.ts';
import { readConfig } from '../config.ts';
import { Failure } from '../failure.ts';
import type { Globals } from '../globals.ts';
import { hostTscKHz } from '../machine/host-clock.ts';
import { addKernel, findKernel, listKernels, recordVerdict, removeKernel } from '../machine/kernel-store.ts';
import { probeProfile } from '../machine/boot-probe.ts';
import { profiles } from '../machine/types.ts';
import { machineForm, withCurrentVerdicts } from '../machine/verdicts.ts';

export async function run(args: readonly string[], { root }: Globals): Promise<number> {
  const { rest: [action, name], values } = parseArguments(args, { values: ['image', 'modules', 'format'] });
  const config = await readConfig(root);
  const store = { directory: config.kernelDir, initPath: guestInitPath };
  const print = (value: unknown): void => { process.stdout.write(`${JSON.stringify(value)}\n`); };
  if (action === 'ls') {
    print(await Promise.all((await listKernels(store)).map((kernel) => withCurrentVerdicts(kernel, config.qemu))));
    return 0;
  }
  if (name === undefined) throw new Failure('usage', 'runv kernel ls | add NAME --image FILE [--modules DIR] | rm NAME | probe NAME');
  switch (action) {
    case 'add': {
      const [image, modulesDir] = [values.get('image'), values.get('modules')];
      if (image === undefined) throw new Failure('usage', 'runv kernel add NAME --image FILE');
      print(await addKernel(store, { name, image, ...(modulesDir === undefined ? {} : { modulesDir }) }));
      return 0;
    }
    case 'rm':
      await removeKernel(store, name);
      return 0;
    case 'probe': {
      const kernel = await findKernel(store, name);
      const tscKHz = await hostTscKHz();
      const { acceleration } = await accelerationOf(config, kernel, tscKHz);
      for (const profile of profiles) {
        const verdict = await probeProfile({ qemu: config.qemu, kernel, profile, acceleration, tscKHz, timeoutMs: config.bootTimeoutMs, user: { uid: config.uid, gid: config.gid } });
        await recordVerdict(store, name, profile, { ...verdict, acceleration, form: await machineForm(config.qemu, profile, acceleration) });
      }
      print(await withCurrentVerdicts(await findKernel(store, name), config.qemu));
      return 0;
    }
    default:
      throw new Failure('usage', `there is no runv kernel ${String(action)}`);
  }
}
