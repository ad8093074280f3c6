// From nothing to a removed container: create, start, wait, remove of `true`, without a network and on the bridge.
import { byTurns, median, ratio, round2, summary, type Samples, type Side } from './figures.ts';
import type { Session } from './session.ts';
import { Direct } from './sides/direct.ts';
import { DockerEngine } from './sides/docker-engine.ts';
import { startPouch } from './sides/pouch.ts';
import { BareRunc, locateRunc } from './sides/runc.ts';
import { containerSettings } from './sides/workload.ts';

const goals = { direct: 1.25, docker: 0.45, bridgeDocker: 0.6 };
const warmUp = 3;
const command = ['true'];

export async function lifecycle(session: Session, { rounds = 30 }: { readonly rounds: number | undefined }): Promise<void> {
  const runc = await locateRunc();
  const bare = await BareRunc.start(session, runc);
  session.say('starting containerd');
  const direct = await Direct.start(session, runc);
  session.say('starting Docker Engine');
  const docker = await DockerEngine.start(session);
  session.say('starting Pouch');
  const pouch = await startPouch(session);
  session.tellMachine();
  if (docker !== undefined) session.tell({ figure: 'docker', unit: 'version', value: docker.version, storage: docker.storage });

  const none: Side[] = [
    { name: 'pouch', round: () => pouch.client.lifecycle(containerSettings(command, 'none')) },
    { name: 'containerd', round: () => direct.lifecycle(command) },
    { name: 'runc', round: () => bare.lifecycle(command) },
  ];
  if (docker !== undefined) none.push({ name: 'docker', round: () => docker.client.lifecycle(containerSettings(command, 'none')) });
  session.say(`network none, ${rounds} rounds of ${none.map(({ name }) => name).join(', ')}`);
  const withoutNetwork = await byTurns(none, { rounds, warmUp });
  tellSamples(session, 'lifecycle none', withoutNetwork);
  tellRatio(session, 'lifecycle none', withoutNetwork, 'containerd', goals.direct);
  tellRatio(session, 'lifecycle none', withoutNetwork, 'docker', goals.docker);

  const bridge: Side[] = [{ name: 'pouch', round: () => pouch.client.lifecycle(containerSettings(command, 'bridge')) }];
  if (docker !== undefined) bridge.push({ name: 'docker', round: () => docker.client.lifecycle(containerSettings(command, 'bridge')) });
  session.say(`network bridge, ${rounds} rounds of ${bridge.map(({ name }) => name).join(', ')}`);
  const withBridge = await byTurns(bridge, { rounds, warmUp });
  tellSamples(session, 'lifecycle bridge', withBridge);
  tellRatio(session, 'lifecycle bridge', withBridge, 'docker', goals.bridgeDocker);
}

/** One line per side, with the medians of its steps. */
export function tellSamples(session: Session, figure: string, samples: Samples): void {
  for (const [side, steps] of samples) {
    const rest = [...steps].filter(([step]) => step !== 'total').map(([step, ms]) => [step, round2(median(ms))]);
    session.tell({ figure, unit: 'ms', side, ...summary(steps.get('total') ?? []), ...(rest.length > 0 && { steps: Object.fromEntries(rest) as object }) });
  }
}

/** Pouch against another side, beside the goal; nothing where that side was not measured. */
export function tellRatio(session: Session, figure: string, samples: Samples, against: string, goal: number): void {
  const found = ratio(samples, 'total', 'pouch', against);
  if (found === undefined) return;
  session.tell({ figure, unit: 'ratio', side: 'pouch', against, value: found.p50, min: found.min, goal, met: found.p50 <= goal });
}
