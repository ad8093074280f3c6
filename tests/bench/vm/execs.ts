// A further process in a running machine, against one in a running container.
import type { DockerClient } from '../docker-client.ts';
import { byTurns, ratio, type Side } from '../figures.ts';
import { tellSamples } from '../lifecycle.ts';
import type { Session } from '../session.ts';
import type { DockerEngine } from '../sides/docker-engine.ts';
import type { Pouch } from '../sides/pouch.ts';
import { containerSettings } from '../sides/workload.ts';

const goal = 1.2;

export async function execs(session: Session, pouch: Pouch, docker: DockerEngine | undefined, rounds: number): Promise<void> {
  const started: { readonly client: DockerClient; readonly id: string }[] = [];
  const side = async (name: string, client: DockerClient, runtime: string): Promise<Side> => {
    const settings = containerSettings(['sleep', '86400'], 'none') as { HostConfig: object };
    const { Id } = await client.call<{ Id: string }>('POST', '/containers/create', { ...settings, HostConfig: { ...settings.HostConfig, Runtime: runtime } });
    await client.call('POST', `/containers/${Id}/start`);
    started.push({ client, id: Id });
    return { name, round: () => client.exec(Id, ['true']) };
  };
  const sides = [await side('pouch runv', pouch.client, 'runv'), await side('pouch runc', pouch.client, 'runc')];
  if (docker !== undefined) sides.push(await side('docker runc', docker.client, 'runc'));
  session.say(`exec, ${rounds} rounds of ${sides.map(({ name }) => name).join(', ')}`);
  const samples = await byTurns(sides, { rounds, warmUp: 3 });
  tellSamples(session, 'exec', samples);
  const against = ratio(samples, 'total', 'pouch runv', 'pouch runc');
  if (against !== undefined) session.tell({ figure: 'exec', unit: 'ratio', side: 'pouch runv', against: 'pouch runc', value: against.p50, min: against.min, goal, met: against.p50 <= goal });
  for (const { client, id } of started) await client.call('DELETE', `/containers/${id}?force=1`);
}
