// What a cluster that does nothing takes: memory of each process with no container and with 50 that sleep.
import { setTimeout as delay } from 'node:timers/promises';
import { containerdPaths } from '../../scripts/cluster/options.ts';
import type { ProcessName } from '../../scripts/cluster/options.ts';
import { round2 } from './figures.ts';
import { everyProcess, memoryOf } from './processes.ts';
import type { Session } from './session.ts';
import { startPouch, type Pouch } from './sides/pouch.ts';
import { containerSettings } from './sides/workload.ts';

const containers = 50;
const atOnce = 8;
/** For what a start leaves to be collected. */
const settleMs = 5_000;
const names: readonly ProcessName[] = ['nats', 'containerd', 'agent', 'scheduler', 'api'];

export async function idle(session: Session, _options: { readonly rounds: number | undefined }): Promise<void> {
  session.say('starting Pouch');
  const pouch = await startPouch(session);
  await delay(settleMs);
  await tellAll(session, pouch, 0);
  session.say(`starting ${containers} containers`);
  let left = containers;
  await Promise.all(Array.from({ length: atOnce }, async () => {
    while (left-- > 0) {
      const { Id } = await pouch.client.call<{ Id: string }>('POST', '/containers/create', containerSettings(['sleep', '86400'], 'none'));
      await pouch.client.call('POST', `/containers/${Id}/start`);
    }
  }));
  await delay(settleMs);
  await tellAll(session, pouch, containers);
}

async function tellAll(session: Session, { cluster }: Pouch, count: number): Promise<void> {
  const all = everyProcess();
  const named: { name: string; pids: number[] }[] = [];
  for (const name of names) {
    const pid = await cluster.pid(name);
    if (pid === undefined) throw new Error(`${name} does not run`);
    named.push({ name, pids: [pid] });
  }
  const agent = named.find(({ name }) => name === 'agent')!.pids[0]!;
  named.push({ name: 'children of the agent', pids: all.filter(({ parent }) => parent === agent).map(({ pid }) => pid) });
  const supervisor = all.find(({ pid }) => pid === all.find((one) => one.pid === agent)?.parent);
  if (supervisor !== undefined) named.push({ name: 'supervisor', pids: [supervisor.pid] });
  const { socket } = containerdPaths(cluster.config);
  const shims = new Set(all.filter(({ command }) => /(^|\/)containerd-shim/.test(command[0] ?? '') && command[command.indexOf('-address') + 1] === socket).map(({ pid }) => pid));
  named.push({ name: 'shims', pids: [...shims] });
  // Log writers are started by shims and may outlive them: known by their program and their directory.
  named.push({ name: 'log writers', pids: all.filter(({ command }) => (command[0] ?? '').endsWith('/pouch-log') && command.some((word) => word.startsWith(cluster.directory))).map(({ pid }) => pid) });
  let [rss, pss] = [0, 0];
  for (const { name, pids } of named) {
    const memory = pids.map(memoryOf);
    const [ownRss, ownPss] = [sum(memory.map(({ rssBytes }) => rssBytes)), sum(memory.map(({ pssBytes }) => pssBytes))];
    rss += ownRss;
    pss += ownPss;
    session.tell({ figure: 'memory', unit: 'MiB', side: name, containers: count, processes: pids.length, rss: mib(ownRss), pss: mib(ownPss) });
  }
  session.tell({ figure: 'memory', unit: 'MiB', side: 'all', containers: count, rss: mib(rss), pss: mib(pss) });
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const mib = (bytes: number): number => round2(bytes / 2 ** 20);
