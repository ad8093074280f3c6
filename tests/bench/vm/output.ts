// How fast a process's output leaves a machine: through runv's own monitor to a pipe, and through the whole of Pouch to the docker CLI.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { template } from '../../../packages/runv/src/verbs/spec.ts';
import { GuestKit, guestMissing } from '../../fixtures/guest-boot.ts';
import { environment } from '../../../scripts/config.ts';
import { median, round2 } from '../figures.ts';
import type { Session } from '../session.ts';
import type { Pouch } from '../sides/pouch.ts';
import { newId } from '../sides/workload.ts';

const runv = resolve(import.meta.dirname, '../../../packages/runv/bin/runv');
const mebibytes = 256;
const goal = 50;
const times = 3;
const command = ['dd', 'if=/dev/zero', 'bs=64k', `count=${mebibytes * 16}`];

/** MB/s between the first and the last byte on stdout. */
async function rate(program: string, args: readonly string[], environment: NodeJS.ProcessEnv): Promise<number> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: environment });
  let [bytes, first, last, words] = [0, 0, 0, ''];
  child.stdout.on('data', (piece: Buffer) => {
    last = performance.now();
    if (bytes === 0) first = last;
    bytes += piece.length;
  });
  child.stderr.on('data', (piece: Buffer) => { words = (words + piece.toString()).slice(-500); });
  const [code] = await once(child, 'close') as [number | null];
  if (code !== 0 || bytes !== mebibytes * 2 ** 20) throw new Error(`${program} gave ${bytes} bytes and ended with ${code}: ${words}`);
  return bytes / 1e6 / ((last - first) / 1_000);
}

export async function output(session: Session, { cluster }: Pouch): Promise<void> {
  session.say(`output of ${mebibytes} MiB, ${times} times each`);
  const missing = await guestMissing();
  if (missing !== false) throw new Error(missing);
  const kit = await GuestKit.make();
  session.undo('kernel and bundle', () => kit.remove());
  const root = join(kit.directory, 'run');
  const bundle = join(kit.directory, 'bundle');
  await mkdir(root);
  await mkdir(bundle);
  await writeFile(join(root, 'runv.json'), JSON.stringify({
    kernelDir: join(kit.directory, 'kernels'), layerDir: join(kit.directory, 'layers'), templateDir: join(kit.directory, 'templates', 'all'), defaultKernel: kit.kernel.name, templates: false,
    uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0,
  }));
  await writeFile(join(bundle, 'config.json'), JSON.stringify({ ...template, process: { ...(template.process as object), terminal: false, args: command }, root: { path: await kit.tree(), readonly: false } }));
  const docker = (runtime: string): (() => Promise<number>) => () => rate('docker', ['-H', `unix://${cluster.socket}`, 'run', '--rm', '--runtime', runtime, 'busybox', ...command], { PATH: environment.path.join(':') });
  const sides: readonly (readonly [name: string, work: () => Promise<number>])[] = [
    ['runv run', () => rate(runv, ['--root', root, 'run', '--bundle', bundle, `bench-${newId().slice(0, 8)}`], {})],
    ['docker run, pouch runv', docker('runv')],
    ['docker run, pouch runc', docker('runc')],
  ];
  for (const [side, work] of sides) {
    const found: number[] = [];
    for (let time = 0; time < times; time++) found.push(await work());
    session.tell({ figure: 'output', unit: 'MB/s', side, value: round2(median(found)), best: round2(Math.max(...found)), samples: times, ...(side === 'runv run' && { goal, met: median(found) >= goal }) });
  }
}
