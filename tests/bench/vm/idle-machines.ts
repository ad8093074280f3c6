// A hundred machines (or as many as are asked for) that do nothing: what each takes beyond the template that they share, and whether all of it is gone once they are removed.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { median, round2, timed } from '../figures.ts';
import { everyProcess, memoryOf, type Process } from '../processes.ts';
import type { Session } from '../session.ts';
import type { Pouch } from '../sides/pouch.ts';
import { containerSettings } from '../sides/workload.ts';

const usualMachines = 100;
const atOnce = 4;
const goalMB = 20;
/** For what a start leaves to be collected, and for the guests to come to rest. */
const settleMs = 10_000;
const goneMs = 60_000;

/** Proportional share of one mapped file, in bytes. */
function sharedOf(pid: number, path: RegExp): number {
  let [inside, bytes] = [false, 0];
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'latin1').split('\n')) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) inside = path.test(line);
    const found = /^Pss:\s+(\d+) kB/.exec(line);
    if (inside && found !== null) bytes += Number(found[1]) * 1_024;
    // What the clone has written of it is its own, whatever file it came from.
    const own = /^Anonymous:\s+(\d+) kB/.exec(line);
    if (inside && own !== null) bytes -= Number(own[1]) * 1_024;
  }
  return bytes;
}

const isOf = (name: string) => ({ command }: Process): boolean => (command[0] ?? '').endsWith(name);

export async function idleMachines(session: Session, { client, cluster }: Pouch, machines = usualMachines): Promise<void> {
  session.say(`starting ${machines} machines`);
  const before = new Set(everyProcess().map(({ pid }) => pid));
  const ids: string[] = [];
  const started = await timed(async () => {
    let left = machines;
    await Promise.all(Array.from({ length: atOnce }, async () => {
      while (left-- > 0) {
        const settings = containerSettings(['sleep', '86400'], 'bridge') as { HostConfig: object };
        const { Id } = await client.call<{ Id: string }>('POST', '/containers/create', { ...settings, HostConfig: { ...settings.HostConfig, Runtime: 'runv' } });
        await client.call('POST', `/containers/${Id}/start`);
        ids.push(Id);
      }
    }));
  });
  await delay(settleMs);
  const listed = await client.call<{ State: string }[]>('GET', '/containers/json?filters=' + encodeURIComponent(JSON.stringify({ status: ['running'] })));
  const own = everyProcess().filter(({ pid }) => !before.has(pid));
  const qemus = own.filter(isOf('qemu-system-x86_64')).map(({ pid }) => pid);
  const beyond = qemus.map((pid) => memoryOf(pid).pssBytes - sharedOf(pid, /\/templates\/|\(deleted\)/));
  session.tell({ figure: 'idle machines', unit: 'MB', side: 'QEMU beyond the template', machines: listed.length, qemus: qemus.length, value: round2(median(beyond) / 1e6), max: round2(Math.max(...beyond) / 1e6), goal: goalMB, met: median(beyond) / 1e6 <= goalMB });
  session.tell({ figure: 'idle machines', unit: 'MB', side: 'QEMU, all of it', value: round2(median(qemus.map((pid) => memoryOf(pid).pssBytes)) / 1e6) });
  for (const name of ['pouch-monitor', 'containerd-shim-pouch-v2']) {
    const pss = own.filter(isOf(name)).map(({ pid }) => memoryOf(pid).pssBytes);
    session.tell({ figure: 'idle machines', unit: 'MB', side: name, processes: pss.length, value: round2(pss.reduce((sum, one) => sum + one, 0) / machines / 1e6) });
  }
  const stopped = await timed(async () => { await Promise.all(ids.map((id) => client.call('POST', `/containers/${id}/stop?t=0`))); });
  const removed = await timed(async () => { await Promise.all(ids.map((id) => client.call('DELETE', `/containers/${id}`))); });
  session.tell({ figure: 'idle machines', unit: 's', side: 'pouch', machines, atOnce, start: round2(started / 1_000), stop: round2(stopped / 1_000), remove: round2(removed / 1_000) });
  // The pool keeps a few ready; what belongs to a container must be gone.
  const left = (): object | undefined => {
    const processes = everyProcess().filter(({ pid, command }) => !before.has(pid) && /containerd-shim|pouch-monitor/.test(command[0] ?? '') && command.some((word) => ids.some((id) => word.includes(id))));
    // find passes over what goes while it looks.
    const containers = spawnSync('find', [cluster.directory], { encoding: 'utf8', maxBuffer: 256 << 20 }).stdout.split('\n').filter((path) => ids.some((id) => path.endsWith(id)));
    return processes.length + containers.length === 0 ? undefined : { processes: processes.length, paths: containers.slice(0, 5) };
  };
  for (const until = performance.now() + goneMs; left() !== undefined && performance.now() < until;) await delay(500);
  session.tell({ figure: 'idle machines', unit: 'leftovers', side: 'pouch', value: left() ?? 'none' });
}
