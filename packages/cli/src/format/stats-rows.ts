// Docker's stats as rows: rates from two readings, and memory without what can be given back. Pure.
// Source: Docker Engine API 1.43, ContainerStats, whose description tells how clients reckon these figures.
import type { StatsAnswer } from '../engine/shapes.ts';
import type { Column } from './output.ts';
import { humanMemory, humanSize } from './sizes.ts';
import { shortIdLength } from './container-rows.ts';

/** Type, not interface: it must be assignable to a record of unknown. */
export type StatsRow = {
  readonly Container: string;
  readonly ID: string;
  readonly Name: string;
  readonly CPUPerc: string;
  readonly MemUsage: string;
  readonly MemPerc: string;
  readonly NetIO: string;
  readonly BlockIO: string;
  readonly PIDs: string;
};

export const statsColumns = (truncate: boolean): Column<StatsRow>[] => [
  { title: 'Name', value: (row) => row.Name },
  { title: 'ID', value: (row) => (truncate ? row.ID.slice(0, shortIdLength) : row.ID) },
  { title: 'CPU %', value: (row) => row.CPUPerc },
  { title: 'Mem usage / limit', value: (row) => row.MemUsage },
  { title: 'Mem %', value: (row) => row.MemPerc },
  { title: 'Net I/O', value: (row) => row.NetIO },
  { title: 'Block I/O', value: (row) => row.BlockIO },
  { title: 'PIDs', value: (row) => row.PIDs },
];

const percent = (part: number, whole: number): string => `${(whole > 0 ? (100 * part) / whole : 0).toFixed(2)}%`;

/** Of one processor: 200 % are two that are busy. */
function cpuPercent({ cpu_stats: now, precpu_stats: before }: StatsAnswer): string {
  const used = (now?.cpu_usage?.total_usage ?? 0) - (before?.cpu_usage?.total_usage ?? 0);
  const passed = (now?.system_cpu_usage ?? 0) - (before?.system_cpu_usage ?? 0);
  return before?.system_cpu_usage === undefined || used <= 0 || passed <= 0 ? '0.00%' : percent(used * (now?.online_cpus ?? 1), passed);
}

/** `answer` null: there was no reading in time. `name`: as the user named it. */
export function statsRow(name: string, answer: StatsAnswer | null): StatsRow {
  if (answer?.memory_stats?.usage === undefined) {
    const none = '--';
    return { Container: name, ID: answer?.id ?? none, Name: answer?.name?.replace(/^\//, '') ?? name, CPUPerc: none, MemUsage: `${none} / ${none}`, MemPerc: none, NetIO: none, BlockIO: none, PIDs: none };
  }
  const { usage, limit = 0, stats = {} } = answer.memory_stats;
  const reclaimable = stats['total_inactive_file'] ?? stats['inactive_file'] ?? 0;
  const memory = reclaimable < usage ? usage - reclaimable : usage;
  const links = Object.values(answer.networks ?? {});
  const blocks = answer.blkio_stats?.io_service_bytes_recursive ?? [];
  const blockBytes = (op: string): number => blocks.reduce((sum, one) => (one.op.toLowerCase() === op ? sum + one.value : sum), 0);
  return {
    Container: name, ID: answer.id ?? '', Name: (answer.name ?? name).replace(/^\//, ''),
    CPUPerc: cpuPercent(answer), MemUsage: `${humanMemory(memory)} / ${humanMemory(limit)}`, MemPerc: percent(memory, limit),
    NetIO: `${humanSize(links.reduce((sum, one) => sum + one.rx_bytes, 0))} / ${humanSize(links.reduce((sum, one) => sum + one.tx_bytes, 0))}`,
    BlockIO: `${humanSize(blockBytes('read'))} / ${humanSize(blockBytes('write'))}`,
    PIDs: String(answer.pids_stats?.current ?? 0),
  };
}
