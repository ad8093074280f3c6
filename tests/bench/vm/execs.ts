// A further process in a running machine, against one in a running container: the first in its container, and one of many that follow each other, for
// which a process is ready under runc.
import type { DockerClient } from '../docker-client.ts';
import { byTurns, ratio, type Side } from '../figures.ts';
import { tellSamples } from '../lifecycle.ts';
import type { Session } from '../session.ts';
import type { DockerEngine } from '../sides/docker-engine.ts';
import type { Pouch } from '../sides/pouch.ts';
import { containerSettings } from '../sides/workload.ts';

const goal = 1.2;
const command = ['true'];

/** Name of the side, who is asked, and the runtime. */
type Where = readonly [name: string, client: DockerClient, runtime: string];

export async function execs(session: Session, pouch: Pouch, docker: DockerEngine | undefined, rounds: number): Promise<void> {
  const places: readonly Where[] = [['pouch runv', pouch.client, 'runv'], ['pouch runc', pouch.client, 'runc'], ...(docker === undefined ? [] : [['docker runc', docker.client, 'runc'] as const])];
  await measure(session, 'exec, the first', places.map(([name, client, runtime]) => ({ name, round: async () => await inContainer(client, runtime, async (id) => await client.exec(id, command)) })), rounds);
  const started = await Promise.all(places.map(async ([name, client, runtime]) => ({ name, client, id: await start(client, runtime) })));
  await measure(session, 'exec, one after the other', started.map(({ name, client, id }) => ({ name, round: async () => await client.exec(id, command) })), rounds);
  for (const { client, id } of started) await remove(client, id);
}

async function measure(session: Session, figure: string, sides: readonly Side[], rounds: number): Promise<void> {
  session.say(`${figure}: ${rounds} rounds of ${sides.map(({ name }) => name).join(', ')}`);
  const samples = await byTurns(sides, { rounds, warmUp: 3 });
  tellSamples(session, figure, samples);
  for (const other of ['pouch runc', 'docker runc']) {
    const against = ratio(samples, 'total', 'pouch runv', other);
    if (against !== undefined) session.tell({ figure, unit: 'ratio', side: 'pouch runv', against: other, value: against.p50, min: against.min, ...(other === 'pouch runc' ? { goal, met: against.p50 <= goal } : {}) });
  }
}

async function inContainer<T>(client: DockerClient, runtime: string, work: (id: string) => Promise<T>): Promise<T> {
  const id = await start(client, runtime);
  try {
    return await work(id);
  } finally {
    await remove(client, id);
  }
}

async function start(client: DockerClient, runtime: string): Promise<string> {
  const settings = containerSettings(['sleep', '86400'], 'none') as { HostConfig: object };
  const { Id } = await client.call<{ Id: string }>('POST', '/containers/create', { ...settings, HostConfig: { ...settings.HostConfig, Runtime: runtime } });
  await client.call('POST', `/containers/${Id}/start`);
  return Id;
}

const remove = async (client: DockerClient, id: string): Promise<unknown> => await client.call('DELETE', `/containers/${id}?force=1`);
