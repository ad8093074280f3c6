// `docker run --rm busybox true`, by the real docker CLI: Docker Engine with runc, Pouch with runc, Pouch with runv.
import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { environment } from '../../../scripts/config.ts';
import { byTurns, ratio, type Side } from '../figures.ts';
import { tellSamples } from '../lifecycle.ts';
import type { Session } from '../session.ts';
import type { DockerEngine } from '../sides/docker-engine.ts';
import type { Pouch } from '../sides/pouch.ts';

const run = promisify(execFile);
const goal = 1;
/** Between two rounds, so that what a start leaves to be done (the next ready clone) is done: an operator's pause, not a burst. */
const pauseMs = 2_500;

export async function runs(session: Session, pouch: Pouch, docker: DockerEngine | undefined, rounds: number): Promise<void> {
  const side = (name: string, socket: string, runtime: string): Side => ({
    name,
    round: async () => {
      await delay(pauseMs);
      const began = performance.now();
      await run('docker', ['-H', `unix://${socket}`, 'run', '--rm', '--runtime', runtime, 'busybox', 'true'], { env: { PATH: environment.path.join(':') } });
      return { total: performance.now() - began };
    },
  });
  const sides = [side('pouch runv', pouch.cluster.socket, 'runv'), side('pouch runc', pouch.cluster.socket, 'runc')];
  if (docker !== undefined) sides.push(side('docker runc', docker.socket, 'runc'));
  session.say(`docker run --rm, ${rounds} rounds of ${sides.map(({ name }) => name).join(', ')}`);
  const samples = await byTurns(sides, { rounds, warmUp: 3 });
  tellSamples(session, 'run --rm', samples);
  const against = ratio(samples, 'total', 'pouch runv', 'docker runc');
  if (against !== undefined) session.tell({ figure: 'run --rm', unit: 'ratio', side: 'pouch runv', against: 'docker runc', value: against.p50, min: against.min, goal, met: against.p50 <= goal });
}
