// A reading of a virtual machine, from what its guest told runv (`runv events`). Pure; a guest may lie, but only in numbers.
import type { ContainerReading, LinkReading } from '@pouch/contracts';
import { bounded } from './cgroup-reading.ts';

type Fields = Readonly<Record<string, unknown>>;
const maxLinks = 64;
const maxBlkio = 64;
const fields = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {});
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const number = (value: unknown): number => (typeof value === 'number' && value > 0 ? bounded(Math.trunc(value)) : 0);

/** `data` of a stats event. */
export function machineReading(data: unknown, atMs: number): ContainerReading {
  const { cpu, memory, pids, blkio, network_interfaces: interfaces, machine } = fields(data);
  const usage = fields(fields(cpu)['usage']);
  const { cache, usage: memoryUsage, raw } = fields(memory);
  const used = number(fields(memoryUsage)['usage']);
  const total = number(fields(raw)['total']);
  // What the guest would give back counts as its inactive cache, so that clients which subtract that show what it really needs.
  const reclaimable = Math.max(0, number(fields(raw)['available']) - Math.max(0, total - used));
  const throttling = fields(fields(cpu)['throttling']);
  const entries = (name: string) => list(fields(blkio)[name]).slice(0, maxBlkio).map((entry) => {
    const { op, major, minor, value } = fields(entry);
    return { op: String(op).toLowerCase().slice(0, 16), major: number(major), minor: number(minor), value: number(value) };
  });
  return {
    readAtMs: atMs,
    cpu: {
      totalNs: number(usage['total']), userNs: number(usage['user']), kernelNs: number(usage['kernel']), perCpuNs: [],
      systemNs: number(fields(machine)['systemNs']), processors: number(fields(machine)['vcpus']),
      throttling: { periods: number(throttling['periods']), throttledPeriods: number(throttling['throttledPeriods']), throttledNs: number(throttling['throttledTime']) },
    },
    memory: {
      usageBytes: used, maxUsageBytes: null, limitBytes: number(fields(memoryUsage)['limit']), failures: null,
      stats: { file: number(cache), inactive_file: reclaimable },
    },
    pids: { current: number(fields(pids)['current']), limit: number(fields(pids)['limit']) },
    links: Object.fromEntries(list(interfaces).slice(0, maxLinks).map((link): [string, LinkReading] => {
      const of = fields(link);
      return [String(of['Name']).slice(0, 32), {
        rxBytes: number(of['RxBytes']), rxPackets: number(of['RxPackets']), rxErrors: number(of['RxErrors']), rxDropped: number(of['RxDropped']),
        txBytes: number(of['TxBytes']), txPackets: number(of['TxPackets']), txErrors: number(of['TxErrors']), txDropped: number(of['TxDropped']),
      }];
    })),
    blkio: { io_service_bytes_recursive: entries('ioServiceBytesRecursive'), io_serviced_recursive: entries('ioServicedRecursive') },
  };
}
