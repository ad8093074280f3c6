// A reading of a container that shares the host's kernel, from its control group and the host's own figures. Pure.
import { blkioGroups, type MetricsV1, type MetricsV2 } from '@pouch/containerd';
import type { BlkioReading, ContainerReading, LinkReading } from '@pouch/contracts';

/** What the host itself says at the time of the reading. */
export interface HostFigures {
  readonly atMs: number;
  readonly systemNs: number;
  readonly processors: number;
  readonly memoryBytes: number;
  /** Of the container's namespace; null where that is the host's. */
  readonly links: Readonly<Record<string, LinkReading>> | null;
}

/** "No limit" is near 2⁶³ or 2⁶⁴, which no number of JavaScript tells exactly and some readers cannot take. */
export const bounded = (value: number): number => Math.min(Number.isFinite(value) ? value : 0, Number.MAX_SAFE_INTEGER);
const limitOf = (value: number): number => (value >= Number.MAX_SAFE_INTEGER ? 0 : value);
const snake = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const figures = (values: Readonly<Record<string, unknown>>): Record<string, number> =>
  Object.fromEntries(Object.entries(values).flatMap(([name, value]) => (typeof value === 'number' ? [[snake(name), bounded(value)]] : [])));
const nothing = { total: 0, kernel: 0, user: 0, perCpu: [] };

export function cgroupReading(metrics: MetricsV1 | MetricsV2, host: HostFigures): ContainerReading {
  const { cpu, memory, blkio } = metrics.version === 1 ? ofV1(metrics) : ofV2(metrics);
  return {
    readAtMs: host.atMs,
    cpu: { ...cpu, systemNs: host.systemNs, processors: host.processors },
    memory: { ...memory, limitBytes: memory.limitBytes <= 0 ? host.memoryBytes : Math.min(memory.limitBytes, host.memoryBytes) },
    pids: { current: metrics.pids?.current ?? 0, limit: limitOf(metrics.pids?.limit ?? 0) },
    links: host.links, blkio,
  };
}

type Parts = { cpu: Omit<ContainerReading['cpu'], 'systemNs' | 'processors'>; memory: ContainerReading['memory']; blkio: Record<string, BlkioReading[]> };

function ofV1({ cpu, memory, blkio }: MetricsV1): Parts {
  const { total, kernel, user, perCpu } = cpu?.usage ?? nothing;
  const throttling = cpu?.throttling;
  const { usage, ...rest } = memory ?? { usage: null };
  return {
    cpu: { totalNs: total, userNs: user, kernelNs: kernel, perCpuNs: perCpu, throttling: { periods: throttling?.periods ?? 0, throttledPeriods: throttling?.throttledPeriods ?? 0, throttledNs: throttling?.throttledTime ?? 0 } },
    memory: { usageBytes: usage?.usage ?? 0, maxUsageBytes: usage?.max ?? null, limitBytes: usage?.limit ?? 0, failures: usage?.failcnt ?? null, stats: figures(rest) },
    blkio: Object.fromEntries(blkioGroups.map((group) => [snake(group), (blkio?.[group] ?? []).map(({ op, major, minor, value }) => ({ op, major, minor, value: bounded(value) }))])),
  };
}

function ofV2({ cpu, memory, io }: MetricsV2): Parts {
  const { usage = 0, usageLimit = 0, ...rest } = memory ?? {};
  const ns = (microseconds = 0): number => microseconds * 1_000;
  return {
    cpu: { totalNs: ns(cpu?.usageUsec), userNs: ns(cpu?.userUsec), kernelNs: ns(cpu?.systemUsec), perCpuNs: [], throttling: { periods: cpu?.nrPeriods ?? 0, throttledPeriods: cpu?.nrThrottled ?? 0, throttledNs: ns(cpu?.throttledUsec) } },
    memory: { usageBytes: usage, maxUsageBytes: null, limitBytes: usageLimit, failures: null, stats: figures(rest) },
    blkio: {
      io_service_bytes_recursive: (io?.usage ?? []).flatMap(({ major, minor, rbytes, wbytes }) => [{ major, minor, op: 'read', value: rbytes }, { major, minor, op: 'write', value: wbytes }]),
      io_serviced_recursive: (io?.usage ?? []).flatMap(({ major, minor, rios, wios }) => [{ major, minor, op: 'read', value: rios }, { major, minor, op: 'write', value: wios }]),
    },
  };
}

/** /proc/PID/net/dev, without the loopback. */
export function parseLinks(text: string): Record<string, LinkReading> {
  const links: Record<string, LinkReading> = {};
  for (const line of text.split('\n')) {
    const [, name = '', counts = ''] = /^\s*([^:\s]+):\s*(.*)$/.exec(line) ?? [];
    const numbers = counts.trim().split(/\s+/).map(Number);
    if (name === '' || name === 'lo' || numbers.length < 12 || numbers.some(Number.isNaN)) continue;
    const [rxBytes = 0, rxPackets = 0, rxErrors = 0, rxDropped = 0] = numbers;
    const [txBytes = 0, txPackets = 0, txErrors = 0, txDropped = 0] = numbers.slice(8);
    links[name] = { rxBytes, rxPackets, rxErrors, rxDropped, txBytes, txPackets, txErrors, txDropped };
  }
  return links;
}

const nsPerTick = 10_000_000; // USER_HZ is 100 on every architecture that we run on

/** First line of /proc/stat: user to softirq, as Docker adds them up. */
export function parseSystemNs(text: string): number {
  const [name, ...ticks] = (text.split('\n')[0] ?? '').trim().split(/\s+/);
  if (name !== 'cpu' || ticks.length < 4) throw new Error(`/proc/stat begins with ${JSON.stringify(text.slice(0, 40))}`);
  return ticks.slice(0, 7).reduce((sum, tick) => sum + Number(tick), 0) * nsPerTick;
}
