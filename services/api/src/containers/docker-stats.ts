// A reading of a container in Docker's shape (GET /containers/{id}/stats). Pure.
import type { ContainerReading } from '@pouch/contracts';

/** Go's zero time: there is none. */
const noTime = '0001-01-01T00:00:00Z';
const blkioNames = ['io_service_bytes_recursive', 'io_serviced_recursive', 'io_queue_recursive', 'io_service_time_recursive', 'io_wait_time_recursive', 'io_merged_recursive', 'io_time_recursive', 'sectors_recursive'] as const;
/** Where Docker's name is not that of the kernel's file. */
const readingNames: Readonly<Record<string, string>> = { io_queue_recursive: 'io_queued_recursive' };

const nothingUsed = { cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 }, throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 } };

function cpuStats({ cpu }: ContainerReading): object {
  return {
    cpu_usage: { total_usage: cpu.totalNs, ...(cpu.perCpuNs.length === 0 ? {} : { percpu_usage: cpu.perCpuNs }), usage_in_kernelmode: cpu.kernelNs, usage_in_usermode: cpu.userNs },
    system_cpu_usage: cpu.systemNs, online_cpus: cpu.processors,
    throttling_data: { periods: cpu.throttling.periods, throttled_periods: cpu.throttling.throttledPeriods, throttled_time: cpu.throttling.throttledNs },
  };
}

/** `before`: the reading that rates are taken from; null: the first. `reading` null: the container does not run. */
export function dockerStats({ id, name }: { readonly id: string; readonly name: string }, reading: ContainerReading | null, before: ContainerReading | null): object {
  const { memory, pids, blkio = {}, links } = reading ?? {};
  return {
    read: reading === null ? noTime : new Date(reading.readAtMs).toISOString(),
    preread: before === null ? noTime : new Date(before.readAtMs).toISOString(),
    pids_stats: pids === undefined ? {} : { current: pids.current, ...(pids.limit === 0 ? {} : { limit: pids.limit }) },
    blkio_stats: Object.fromEntries(blkioNames.map((docker) => [docker, blkio[readingNames[docker] ?? docker] ?? null])),
    num_procs: 0, storage_stats: {},
    cpu_stats: reading === null ? nothingUsed : cpuStats(reading),
    precpu_stats: before === null ? nothingUsed : cpuStats(before),
    memory_stats: memory === undefined ? {} : {
      usage: memory.usageBytes, ...(memory.maxUsageBytes === null ? {} : { max_usage: memory.maxUsageBytes }), ...(memory.failures === null || memory.failures === 0 ? {} : { failcnt: memory.failures }),
      stats: memory.stats, limit: memory.limitBytes,
    },
    name: `/${name}`, id,
    ...(links === null || links === undefined ? {} : {
      networks: Object.fromEntries(Object.entries(links).map(([link, counts]) => [link, {
        rx_bytes: counts.rxBytes, rx_packets: counts.rxPackets, rx_errors: counts.rxErrors, rx_dropped: counts.rxDropped,
        tx_bytes: counts.txBytes, tx_packets: counts.txPackets, tx_errors: counts.txErrors, tx_dropped: counts.txDropped,
      }])),
    }),
  };
}
