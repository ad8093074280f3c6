// Many at once: 50 containers from create to removed, 16 at a time.
import { byTurns, timed, type Side } from './figures.ts';
import { tellRatio, tellSamples } from './lifecycle.ts';
import type { Session } from './session.ts';
import { Direct } from './sides/direct.ts';
import { DockerEngine } from './sides/docker-engine.ts';
import { startPouch } from './sides/pouch.ts';
import { locateRunc } from './sides/runc.ts';
import { containerSettings } from './sides/workload.ts';

const goal = 0.4;
const containers = 50;
const atOnce = 16;
const command = ['true'];

export async function burst(session: Session, { rounds = 5 }: { readonly rounds: number | undefined }): Promise<void> {
  session.say('starting the sides');
  const direct = await Direct.start(session, await locateRunc());
  const docker = await DockerEngine.start(session);
  const pouch = await startPouch(session);
  session.tellMachine();
  const sides: Side[] = [
    { name: 'pouch', round: () => wave(() => pouch.client.lifecycle(containerSettings(command, 'none'))) },
    { name: 'containerd', round: () => wave(() => direct.lifecycle(command)) },
  ];
  if (docker !== undefined) sides.push({ name: 'docker', round: () => wave(() => docker.client.lifecycle(containerSettings(command, 'none'))) });
  session.say(`${rounds} rounds of ${sides.map(({ name }) => name).join(', ')}: ${containers} containers each, ${atOnce} at a time`);
  const samples = await byTurns(sides, { rounds, warmUp: 1, onRound: (round) => { session.say(`round ${round}`); } });
  tellSamples(session, `burst of ${containers}, ${atOnce} at a time`, samples);
  tellRatio(session, `burst of ${containers}, ${atOnce} at a time`, samples, 'docker', goal);
}

/** Milliseconds from the first create to the last removal. */
async function wave(work: () => Promise<unknown>): Promise<{ total: number }> {
  let left = containers;
  const worker = async (): Promise<void> => {
    while (left-- > 0) await work();
  };
  return { total: await timed(() => Promise.all(Array.from({ length: atOnce }, worker))) };
}
