// From the start of QEMU to the guest's first answer: booted, and as a clone of a template.
import { mkdtemp, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { awaitHello } from '../../../packages/runv/src/machine/hello.ts';
import { cloneOf, hostTscKHz, makeTemplate, qemuCommand, stateFd, wakeClone, type TemplatableMachine } from '../../../packages/runv/src/machine/index.ts';
import { launchQemu } from '../../../packages/runv/src/machine/launch.ts';
import { layerDiskBytes } from '../../../packages/runv/src/machine/disk-sizes.ts';
import { provideScratch } from '../../../packages/runv/src/rootfs/scratch.ts';
import { GuestKit, guestMissing } from '../../fixtures/guest-boot.ts';
import { byTurns, ratio } from '../figures.ts';
import { tellSamples } from '../lifecycle.ts';
import type { Session } from '../session.ts';

const goals = { cloneMs: 80, ofCold: 0.12 };
const memoryBytes = 256 << 20; // as a container without a limit gets

export async function boots(session: Session, rounds: number): Promise<void> {
  const missing = await guestMissing();
  if (missing !== false) throw new Error(`no machine can be booted here: ${missing}`);
  const kit = await GuestKit.make();
  session.undo('kernel and disks', () => kit.remove());
  const root = await kit.root();
  await truncate(root, layerDiskBytes);
  const tscKHz = await hostTscKHz();
  const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

  const machine = async (): Promise<TemplatableMachine> => {
    const place = await mkdtemp(join(kit.directory, 'm-'));
    return {
      qemu: '/usr/bin/qemu-system-x86_64', profile: 'modern', acceleration: 'tcg', kernel: kit.kernel, memoryBytes, vcpus: 1, tscKHz, shares: [],
      disks: [{ id: 'layer0', path: root, readOnly: true }, { id: 'scratch', path: await provideScratch(join(place, 'scratch.img'), join(kit.directory, 'images'), owner), readOnly: false }],
      controlPath: join(place, 'control.sock'), qmpPath: join(place, 'qmp.sock'), consolePath: join(place, 'console.log'), name: 'bench',
    };
  };
  const answered = async (command: readonly string[], wanted: TemplatableMachine, wake?: () => Promise<void>): Promise<{ total: number }> => {
    const began = performance.now();
    const qemu = await launchQemu(command);
    try {
      const [features] = await Promise.all([awaitHello(wanted.controlPath, () => qemu.runs()), wake?.()]);
      if (features === undefined) throw new Error(`the guest did not answer: ${qemu.words()}`);
      return { total: performance.now() - began };
    } finally {
      await qemu.end();
    }
  };

  const template = await makeTemplate(join(kit.directory, 'templates'), await machine());
  session.say(`first answer, ${rounds} rounds of booted and cloned`);
  const samples = await byTurns([
    { name: 'booted', round: async () => { const wanted = await machine(); return await answered(qemuCommand(wanted), wanted); } },
    {
      name: 'cloned',
      round: async () => {
        const wanted = await machine();
        // The state is handed to QEMU as an open file, as the monitor does it.
        const command = ['/bin/bash', '-c', `exec ${stateFd}<"$0"; exec "$@"`, template.statePath, ...qemuCommand(cloneOf(wanted, template))];
        return await answered(command, wanted, () => wakeClone(wanted.qmpPath));
      },
    },
  ], { rounds, warmUp: 1 });
  tellSamples(session, 'first answer', samples);
  const against = ratio(samples, 'total', 'cloned', 'booted');
  if (against !== undefined) session.tell({ figure: 'first answer', unit: 'ratio', side: 'cloned', against: 'booted', value: against.p50, min: against.min, goal: goals.ofCold, met: against.p50 <= goals.ofCold, goalMs: goals.cloneMs });
}
