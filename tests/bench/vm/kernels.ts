// Every kernel that Debian's suites have, forced into each profile, through a whole cluster: what `uname -r` printed in it, and how long `run --rm` took.
import { execFile } from 'node:child_process';
import { profiles } from '../../../packages/runv/src/machine/types.ts';
import { debianKernels, provideKernelSource } from '../../../scripts/guest-kernel.ts';
import { pouchProgram } from '../../e2e/clients/clients.ts';
import { startTestCluster } from '../../fixtures/cluster.ts';
import type { Session } from '../session.ts';

const limitMs = 300_000;

export async function kernels(session: Session): Promise<void> {
  session.tellMachine();
  const cluster = await startTestCluster({ machines: true });
  session.undo('the cluster', () => cluster.stop());
  const pouch = (...args: readonly string[]): Promise<{ ok: boolean; out: string; why: string }> => new Promise((settle) => {
    execFile(pouchProgram, ['-H', `unix://${cluster.socket}`, ...args], { timeout: limitMs, killSignal: 'SIGKILL' }, (error, out, why) => settle({ ok: error === null, out: out.trim(), why: why.trim() }));
  });
  for (const kernel of Object.keys(debianKernels)) {
    const { image, modulesDir } = await provideKernelSource(kernel, (line) => session.say(line));
    const name = `bench-${kernel}`;
    const added = await pouch('kernel', 'add', name, '-q', '--image', image, '--modules', modulesDir);
    if (!added.ok) throw new Error(`the kernel ${kernel} could not be added: ${added.why}`);
    for (const profile of profiles) {
      session.say(`${kernel} under ${profile}`);
      const began = performance.now();
      const { ok, out, why } = await pouch('run', '--rm', '--kernel', name, '--annotation', `io.pouch.profile=${profile}`, 'busybox', 'uname', '-r');
      session.tell({ figure: 'run', unit: 'ms', value: Math.round(performance.now() - began), kernel, profile, ok, release: out, ...(ok ? {} : { reason: why }) });
    }
  }
}
