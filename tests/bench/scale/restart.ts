// An agent that is killed among many running containers: how soon the next one answers for them, and has found what happened while nobody looked.
import { loadavg } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { median, round2 } from '../figures.ts';
import { memoryOf } from '../processes.ts';
import type { Session } from '../session.ts';
import { startPouch, type Pouch } from '../sides/pouch.ts';
import { containerSettings } from '../sides/workload.ts';

/** Beside the many, to see what is due to them. */
const few = 6;
const atOnce = 16;
/** Containers whose process is killed while there is no agent. */
const killed = 3;
const longMs = 120_000;
const pollMs = 10;

type Ended = { readonly answers: number; readonly reconciled: number };

export async function restart(session: Session, { containers, rounds }: { readonly containers: number; readonly rounds: number }): Promise<void> {
  // Virtual machines would be made anew beside each restart.
  const pouch = await startPouch(session, { machinePool: 0 });
  const running: string[] = [];
  for (const count of [few, containers]) {
    const from = performance.now();
    await startMany(pouch, running, count);
    session.say(`${count} containers run after ${round2((performance.now() - from) / 1_000)} s`);
    const samples: Ended[] = [];
    for (let round = 0; round < rounds; round++) {
      await startMany(pouch, running, count);
      samples.push(await once(pouch, running));
      session.say(`restarted: ${JSON.stringify(samples.at(-1))}`);
    }
    const pid = await pouch.cluster.pid('agent');
    session.tell({
      figure: 'agent restarted after SIGKILL', unit: 'ms', side: `${count} running containers`, answers: median(samples.map(({ answers }) => answers)), reconciled: median(samples.map(({ reconciled }) => reconciled)),
      rounds, agentMiB: pid === undefined ? null : round2(memoryOf(pid).pssBytes / 2 ** 20), load: round2(loadavg()[0] ?? 0),
    });
  }
}

async function startMany({ client }: Pouch, running: string[], count: number): Promise<void> {
  let left = count - running.length;
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (left-- > 0) {
      const { Id } = await client.call<{ Id: string }>('POST', '/containers/create', containerSettings(['sleep', '86400'], 'none'));
      await client.call('POST', `/containers/${Id}/start`);
      running.push(Id);
    }
  }));
}

/** From the new process's beginning: until it answers a question about a container, and until the log tells of the ends that it was away for. */
async function once({ client, cluster }: Pouch, running: string[]): Promise<Ended> {
  // From all over the list, so that none of them is the first to be looked at by chance.
  const victims = Array.from({ length: killed }, (_, n) => running[Math.floor(((n + 0.5) / killed) * running.length)]!);
  const state = async (id: string): Promise<{ Running: boolean; Pid: number }> => (await client.call<{ State: { Running: boolean; Pid: number } }>('GET', `/containers/${id}/json`)).State;
  const pids = await Promise.all(victims.map(async (id) => (await state(id)).Pid));
  const before = await cluster.pid('agent');
  if (before === undefined) throw new Error('the agent does not run');
  process.kill(before, 'SIGKILL');
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  await until('the agent is started again', async () => ![undefined, before].includes(await cluster.pid('agent')));
  const from = performance.now();
  const survivor = running.find((id) => !victims.includes(id))!;
  const answers = until('the agent answers', async () => {
    const { Processes } = await client.call<{ Processes: unknown[] }>('GET', `/containers/${survivor}/top`);
    return Processes.length === 1;
  }).then(() => performance.now() - from);
  const reconciled = until('the ends are told', async () => (await Promise.all(victims.map(state))).every(({ Running }) => !Running)).then(() => performance.now() - from);
  const ended = { answers: Math.round(await answers), reconciled: Math.round(await reconciled) };
  for (const id of victims) {
    running.splice(running.indexOf(id), 1);
    await client.call('DELETE', `/containers/${id}`);
  }
  return ended;
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  let last: unknown;
  for (const deadline = Date.now() + longMs; Date.now() < deadline; await delay(pollMs)) {
    try {
      if (await holds()) return;
    } catch (error) {
      last = error; // nobody answers for the host yet
    }
  }
  throw new Error(`not within ${longMs / 1_000} s: ${what}`, { cause: last });
}
