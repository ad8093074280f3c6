// `docker run --rm busybox true`, by the real docker CLI: Docker Engine with runc, Pouch with runc, Pouch with runv.
import { execFile } from 'node:child_process';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { environment } from '../../../scripts/config.ts';
import { byTurns, ratio, type Side } from '../figures.ts';
import { tellSamples } from '../lifecycle.ts';
import type { Session } from '../session.ts';
import type { DockerEngine } from '../sides/docker-engine.ts';
import type { Pouch } from '../sides/pouch.ts';

const run = promisify(execFile);
const runv = resolve(import.meta.dirname, '../../../packages/runv/bin/runv');
const goal = 1;
/** runv waits a second before it begins with the next ready machine. */
const pauseMs = 1_200;
const readyMs = 60_000;

/** Until a machine waits for the next round, and the making of it disturbs nobody's: an operator's pause, not a burst. */
async function machineReady({ cluster }: Pouch): Promise<void> {
  const root = join(cluster.directory, 'r', 'agent', 'runtimes', 'runv', 'pouch');
  await delay(pauseMs);
  for (const until = performance.now() + readyMs; performance.now() < until; await delay(100)) {
    const { stdout } = await run(runv, ['--root', root, 'pool', 'ls'], { env: {} });
    if ((JSON.parse(stdout) as unknown[]).length > 0) return;
  }
  throw new Error(`no machine was ready within ${readyMs / 1_000} s`);
}

export async function runs(session: Session, pouch: Pouch, docker: DockerEngine | undefined, rounds: number): Promise<void> {
  const side = (name: string, socket: string, runtime: string, settle: () => Promise<void>): Side => ({
    name,
    round: async () => {
      const began = performance.now();
      await run('docker', ['-H', `unix://${socket}`, 'run', '--rm', '--runtime', runtime, 'busybox', 'true'], { env: { PATH: environment.path.join(':') } });
      const total = performance.now() - began;
      await settle();
      return { total };
    },
  });
  const shortly = (): Promise<void> => delay(300);
  const sides = [side('pouch runv', pouch.cluster.socket, 'runv', () => machineReady(pouch)), side('pouch runc', pouch.cluster.socket, 'runc', shortly)];
  if (docker !== undefined) sides.push(side('docker runc', docker.socket, 'runc', shortly));
  session.say(`docker run --rm, ${rounds} rounds of ${sides.map(({ name }) => name).join(', ')}`);
  const samples = await byTurns(sides, { rounds, warmUp: 3 });
  tellSamples(session, 'run --rm', samples);
  const against = ratio(samples, 'total', 'pouch runv', 'docker runc');
  if (against !== undefined) session.tell({ figure: 'run --rm', unit: 'ratio', side: 'pouch runv', against: 'docker runc', value: against.p50, min: against.min, goal, met: against.p50 <= goal });
}
