// runv events: the guest's use of things, in runc's form, once (--stats) or again and again until the container ends (--interval), and want of memory.
// Two figures that runc has no place for stand in `machine`.
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { idOf, parseArguments } from '../arguments.ts';
import { askGuest } from '../ask-guest.ts';
import { Failure, hasCode } from '../failure.ts';
import type { Globals } from '../globals.ts';
import { op } from '../protocol/ops.ts';
import { u32 } from '../protocol/records.ts';
import { decodeStats } from '../protocol/replies.ts';
import { findState, readMonitorStatus, readState, statusOf } from '../state.ts';

const unitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
const leastIntervalMs = 100;
/** One after the other. */
const maxFailures = 10;
/** Between looks whether the container has ended. */
const lookMs = 200;

/** Go's durations: `5s`, `1m30s`, `800ms`. */
export function intervalOf(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  const ms = parts.reduce((sum, [, count, unit]) => sum + Number(count) * (unitsMs[unit ?? ''] ?? 0), 0);
  if (parts.map(([whole]) => whole).join('') !== text || !(ms >= leastIntervalMs && ms <= 2 ** 31 - 1)) throw new Failure('usage', `--interval: ${JSON.stringify(text)} is no duration such as 5s, of at least ${leastIntervalMs} ms`);
  return ms;
}

async function reading(root: string, id: string): Promise<Record<string, unknown>> {
  const { state, frame } = await askGuest(root, id, op.stats, op.statsReply, u32(1));
  const { memory, cpu, pids, links, block } = decodeStats(frame.payload);
  const io = (opName: string, value: number): Record<string, unknown> => ({ major: 254, minor: 0, op: opName, value });
  const data = {
    cpu: { usage: { total: cpu.user + cpu.system, kernel: cpu.system, user: cpu.user }, throttling: {} },
    memory: { cache: memory.cached, usage: { usage: memory.used, max: 0, failcnt: 0, limit: state.memoryLimitBytes ?? state.memoryBytes }, swap: {}, kernel: {}, kernelTCP: {}, raw: { total: memory.total, available: memory.available } },
    pids: { current: pids, limit: 0 },
    blkio: { ioServiceBytesRecursive: [io('Read', block.readBytes), io('Write', block.writtenBytes)], ioServicedRecursive: [io('Read', block.reads), io('Write', block.writes)] },
    hugetlb: {}, intel_rdt: {},
    network_interfaces: links.map(({ name, rx, tx }) => ({ Name: name, RxBytes: rx[0], RxPackets: rx[1], RxErrors: rx[2], RxDropped: rx[3], TxBytes: tx[0], TxPackets: tx[1], TxErrors: tx[2], TxDropped: tx[3] })),
    machine: { vcpus: state.vcpus, systemNs: cpu.user + cpu.system + cpu.idle },
  };
  return { type: 'stats', id, data };
}

async function tell(event: Record<string, unknown>): Promise<void> {
  if (!process.stdout.write(`${JSON.stringify(event)}\n`)) await once(process.stdout, 'drain');
}

const ended = (root: string, id: string): boolean => {
  const state = findState(root, id);
  return state === undefined || statusOf(root, state) === 'stopped';
};

/** Until the container ends or nobody reads any more. A paused machine tells nothing meanwhile. */
async function follow(root: string, id: string, intervalMs: number): Promise<void> {
  if (ended(root, id)) throw new Failure('wrong-state', 'container not running');
  let failures = 0;
  let told = readMonitorStatus(root, id)?.oomKilled === true;
  const readers = new AbortController();
  process.stdout.on('error', () => readers.abort());
  while (!readers.signal.aborted) {
    const next = performance.now() + intervalMs;
    const running = statusOf(root, readState(root, id)) === 'running';
    if (running) {
      try {
        await tell(await reading(root, id));
        failures = 0;
      } catch (error) {
        // A machine that was paused after the look, or is just ending, or is slow: there is another time, but not for ever.
        failures += 1;
        if (failures >= maxFailures || hasCode(error, 'EPIPE')) throw error;
      }
    }
    for (let left = next - performance.now(); ; left = next - performance.now()) {
      if (ended(root, id) || readers.signal.aborted) return;
      const oom = readMonitorStatus(root, id)?.oomKilled === true;
      if (oom && !told) await tell({ type: 'oom', id });
      told = oom;
      if (left <= 0) break;
      await delay(Math.min(lookMs, left));
    }
  }
}

export async function run(args: readonly string[], { root }: Globals): Promise<number> {
  const parsed = parseArguments(args, { flags: ['stats'], values: ['interval'] });
  const id = idOf(parsed, 'events');
  const intervalMs = intervalOf(parsed.values.get('interval') ?? '5s');
  if (parsed.flags.has('stats')) {
    await tell(await reading(root, id));
    return 0;
  }
  readState(root, id);
  try {
    await follow(root, id, intervalMs);
  } catch (error) {
    if (hasCode(error, 'EPIPE') || (error instanceof Failure && error.code === 'does-not-exist')) return 0; // nobody reads, or it was deleted
    throw error;
  }
  return 0;
}
