// How fast hosts are chosen, without a log: the scheduler's own view of many hosts, and containers of several shapes that are counted as they are placed.
// Each cluster in a process of its own, whose heap may be larger than Node's own bound.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import type { Session } from '../session.ts';
import type { Decided, ToDecide } from './decisions-process.ts';

/** The containers of the largest are a quarter of what Nomad's C2M placed; `--containers 2000000` is all of it. In the others so many that each figure rests on some seconds. */
const clusters: readonly ToDecide[] = [{ hosts: 100, containers: 50_000 }, { hosts: 1_000, containers: 100_000 }, { hosts: 6_100, containers: 500_000 }];
const goalPerSecond = 10_000;
const maxHeapMiB = 12_288;

/** `only`: one cluster of this size instead of the usual ones. */
export async function decisions(session: Session, only?: ToDecide): Promise<void> {
  for (const cluster of only === undefined ? clusters : [only]) {
    const { perSecond, ...decided } = await decide(session, cluster);
    session.tell({ figure: `decisions, ${cluster.hosts} hosts`, unit: '1/s', value: perSecond, containers: cluster.containers, goal: goalPerSecond, met: perSecond >= goalPerSecond, ...decided });
  }
}

async function decide(session: Session, cluster: ToDecide): Promise<Decided> {
  const child = fork(new URL('./decisions-process.ts', import.meta.url), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], execArgv: [`--max-old-space-size=${maxHeapMiB}`, '--expose-gc'] });
  session.undo('decisions', () => { child.kill('SIGKILL'); });
  const exited = once(child, 'exit');
  const decided = Promise.withResolvers<Decided>();
  child.on('message', (message: Decided | string) => {
    if (typeof message === 'string') session.say(message);
    else decided.resolve(message);
  });
  void exited.then(([code, signal]) => { decided.reject(new Error(`the process of the decisions ended with ${String(code ?? signal)}`)); });
  child.send(cluster);
  const result = await decided.promise;
  await exited;
  return result;
}
