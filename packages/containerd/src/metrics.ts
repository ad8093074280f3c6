// What containerd tells of a task's control group, decoded. Types and decoding only; whoever shows the figures decides what they mean.
import { decodeAny, type Any } from './wire.ts';

export type BlkioEntry = { op: string; major: number; minor: number; value: number };

/** The groups of version 1, by the names of its files without what stands before the first dot. */
export const blkioGroups = [
  'ioServiceBytesRecursive', 'ioServicedRecursive', 'ioQueuedRecursive', 'ioServiceTimeRecursive', 'ioWaitTimeRecursive', 'ioMergedRecursive', 'ioTimeRecursive', 'sectorsRecursive',
] as const;

/** Version 1: times in ns. What the kernel does not tell is null or 0. */
export type MetricsV1 = {
  version: 1;
  pids: { current: number; limit: number } | null;
  cpu: { usage: { total: number; kernel: number; user: number; perCpu: number[] } | null; throttling: { periods: number; throttledPeriods: number; throttledTime: number } | null } | null;
  memory: (Record<string, unknown> & { usage: { limit: number; usage: number; max: number; failcnt: number } | null }) | null;
  blkio: Record<(typeof blkioGroups)[number], BlkioEntry[]> | null;
};

/** Version 2: times in µs. "No limit" is near 2⁶⁴. */
export type MetricsV2 = {
  version: 2;
  pids: { current: number; limit: number } | null;
  cpu: { usageUsec: number; userUsec: number; systemUsec: number; nrPeriods: number; nrThrottled: number; throttledUsec: number } | null;
  memory: (Record<string, number> & { usage: number; usageLimit: number }) | null;
  io: { usage: { major: number; minor: number; rbytes: number; wbytes: number; rios: number; wios: number }[] } | null;
};

/** `data` of `Tasks.metrics`. Undefined where it is of another kind than control groups have. */
export function decodeMetrics(data: Any): MetricsV1 | MetricsV2 | undefined {
  const decoded = decodeAny(data);
  switch (decoded?.typeName) {
    case 'io.containerd.cgroups.v1.Metrics':
      return { ...(decoded.value as Omit<MetricsV1, 'version'>), version: 1 };
    case 'io.containerd.cgroups.v2.Metrics':
      return { ...(decoded.value as Omit<MetricsV2, 'version'>), version: 2 };
    default:
      return undefined;
  }
}
