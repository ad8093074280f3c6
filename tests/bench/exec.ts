// A further process in a running container: create, start attached until its end, inspect.
import { byTurns, type Side } from './figures.ts';
import { tellRatio, tellSamples } from './lifecycle.ts';
import type { Session } from './session.ts';
import { Direct } from './sides/direct.ts';
import { DockerEngine } from './sides/docker-engine.ts';
import type { DockerClient } from './docker-client.ts';
import { startPouch } from './sides/pouch.ts';
import { locateRunc } from './sides/runc.ts';
import { containerSettings } from './sides/workload.ts';

const goal = 0.8;
const warmUp = 3;
const lives = ['sleep', '86400'];
const command = ['true'];

export async function exec(session: Session, { rounds = 40 }: { readonly rounds: number | undefined }): Promise<void> {
  session.say('starting the sides');
  const direct = await Direct.start(session, await locateRunc());
  const docker = await DockerEngine.start(session);
  const pouch = await startPouch(session);
  session.tellMachine();
  const inDirect = await direct.run(lives);
  const sides: Side[] = [await ofEngine('pouch', pouch.client), { name: 'containerd', round: () => direct.exec(inDirect, command) }];
  if (docker !== undefined) sides.push(await ofEngine('docker', docker.client));
  session.say(`${rounds} rounds of ${sides.map(({ name }) => name).join(', ')}`);
  const samples = await byTurns(sides, { rounds, warmUp });
  tellSamples(session, 'exec', samples);
  tellRatio(session, 'exec', samples, 'docker', goal);
}

async function ofEngine(name: string, client: DockerClient): Promise<Side> {
  const { Id } = await client.call<{ Id: string }>('POST', '/containers/create', containerSettings(lives, 'none'));
  await client.call('POST', `/containers/${Id}/start`);
  return { name, round: () => client.exec(Id, command) };
}
