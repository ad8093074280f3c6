// A cluster as large as one likes without containers: a real nats-server with TLS and members, the real api and the real scheduler as processes, and
// scripted hosts that announce themselves, beat, and answer each container that they are given with "created". Nothing runs on them.
import { setTimeout as delay } from 'node:timers/promises';
import { toMessage, type Message } from '@pouch/contracts';
import { openEventLog, type EventLog } from '@pouch/eventlog';
import { createLogger } from '@pouch/process';
import { makeMembers, type TestMembers } from '../../fixtures/members.ts';
import { startNats, type NatsFixture } from '../../fixtures/nats.ts';
import { startApi, type ApiProcess } from '../api-process.ts';
import { cpuMs } from '../processes.ts';
import { startService, type ServiceProcess } from '../service-process.ts';
import type { Session } from '../session.ts';
import { startHosts, type Hosts } from './hosts.ts';

const longMs = 120_000;

export type LargeCluster = {
  readonly nats: NatsFixture;
  readonly members: TestMembers;
  readonly api: ApiProcess;
  readonly scheduler: ServiceProcess;
  readonly hosts: Hosts;
  /** The log, as an api may see it. */
  readonly log: EventLog<Message>;
  /** Processor time so far, in ms by process; `bench` is this one. */
  cpu(): Readonly<Record<string, number>>;
};

export async function startLargeCluster(session: Session, { hosts: count, sync }: { readonly hosts: number; readonly sync: string }): Promise<LargeCluster> {
  const members = await makeMembers();
  session.undo('members', () => members.remove());
  const nats = await startNats({ sync, config: members.config });
  session.undo('nats-server', () => nats.stop());
  const asApi = await members.address({ kind: 'api' });
  const log = openEventLog<Message>({ servers: nats.url, ...asApi, name: 'bench', logger: createLogger({ service: 'bench', level: 'silent' }), check: toMessage });
  session.undo('log', () => log.close());
  await log.ready(longMs);
  const scheduler = await startService(session, 'scheduler', { url: nats.url, member: await members.address({ kind: 'scheduler' }) });
  const from = performance.now();
  const hosts = await startHosts(session, { count, natsUrl: nats.url, members });
  session.say(`${count} hosts have announced themselves after ${Math.round(performance.now() - from)} ms`);
  const api = await startApi(session, { url: nats.url, member: asApi }, (await log.identity()).lastSeq);
  for (const deadline = Date.now() + longMs; ;) {
    const { scheduler: leader, hosts: { up } } = await api.client.call<{ scheduler: object | null; hosts: { up: number } }>('GET', '/cluster/health');
    if (leader !== null && up === count) break;
    if (Date.now() > deadline || scheduler.ended) throw new Error(`no scheduler leads, or not all of ${count} hosts are up:\n${await scheduler.log()}`);
    await delay(50);
  }
  return {
    nats, members, api, scheduler, hosts, log,
    cpu: () => {
      const { user, system } = process.cpuUsage();
      return { nats: cpuMs(nats.pid!), api: cpuMs(api.pid), scheduler: cpuMs(scheduler.pid), hosts: cpuMs(hosts.pid), bench: (user + system) / 1_000 };
    },
  };
}
