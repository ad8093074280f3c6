// The scripted hosts of hosts-process.ts as the benchmark holds them.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { hostId } from '@pouch/domain';
import type { TestMembers } from '../../fixtures/members.ts';
import type { Session } from '../session.ts';
import type { Arrival, FromHosts, HostSettings, ToHosts } from './hosts-process.ts';

const stopMs = 60_000;

export type Hosts = {
  readonly pid: number;
  /** Containers that came to hosts since it was last asked. */
  arrivals(): Promise<readonly Arrival[]>;
};

/** Hosts of five kinds in ten zones of twenty racks, with room for everything. Resolves when all have announced themselves and their image. */
export async function startHosts(session: Session, { count, natsUrl, members }: { readonly count: number; readonly natsUrl: string; readonly members: TestMembers }): Promise<Hosts> {
  const hosts: HostSettings[] = [];
  for (let n = 0; n < count; n++) {
    const id = hostId(`host-${n}`);
    hosts.push({
      hostId: id, member: await members.address({ kind: 'agent', hostId: id }), capacity: { cpuNanos: 64e9, memoryBytes: 512 * 2 ** 30 },
      labels: { zone: `z${n % 10}`, rack: `r${n % 200}`, disk: n % 5 === 0 ? 'hdd' : 'ssd' },
    });
  }
  const child = fork(new URL('./hosts-process.ts', import.meta.url), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], execArgv: ['--max-semi-space-size=16', ...(session.profiles === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${session.profiles}`])] });
  const tell = (message: ToHosts): void => { child.send(message); };
  const hear = async (): Promise<FromHosts> => {
    const exited = new AbortController();
    const onExit = (): void => { exited.abort(new Error('the process of the hosts has ended')); };
    child.once('exit', onExit);
    try {
      const [message] = (await once(child, 'message', { signal: exited.signal })) as [FromHosts];
      if (message.type === 'failed') throw new Error(`the scripted hosts: ${message.error}`);
      return message;
    } finally {
      child.off('exit', onExit);
    }
  };
  session.undo('scripted hosts', async () => {
    if (!child.connected || child.exitCode !== null) return;
    const exited = once(child, 'exit');
    tell({ type: 'stop' });
    const timer = setTimeout(() => child.kill('SIGKILL'), stopMs);
    await exited;
    clearTimeout(timer);
  });
  const ready = hear();
  tell({ type: 'start', natsUrl, hosts });
  await ready;
  return {
    pid: child.pid!,
    async arrivals() {
      const answer = hear();
      tell({ type: 'take' });
      const message = await answer;
      return message.type === 'arrivals' ? message.arrivals : [];
    },
  };
}
