// Readings of containers: from control groups of both versions, and from what a guest says, lies included.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeMetrics, protoAny } from '@pouch/containerd';
import { cgroupReading, parseLinks, parseSystemNs, type HostFigures } from '../../../services/agent/src/stats/cgroup-reading.ts';
import { machineReading } from '../../../services/agent/src/stats/machine-reading.ts';

const host: HostFigures = { atMs: 5, systemNs: 77, processors: 4, memoryBytes: 8_000, links: null };

function read(typeName: string, metrics: object): ReturnType<typeof cgroupReading> {
  const decoded = decodeMetrics(protoAny(typeName, metrics));
  assert.ok(decoded);
  return cgroupReading(decoded, host);
}

test('cgroup v1: figures by the kernel’s names; no limit becomes the host’s memory', () => {
  const reading = read('io.containerd.cgroups.v1.Metrics', {
    pids: { current: 3, limit: 0 }, cpu: { usage: { total: 10, kernel: 4, user: 6, perCpu: [7, 3] }, throttling: { periods: 1, throttledPeriods: 2, throttledTime: 3 } },
    memory: { totalInactiveFile: 30, hierarchicalMemoryLimit: '9223372036854771712', usage: { limit: '9223372036854771712', usage: 100, max: 120, failcnt: 2 } },
    blkio: { ioServiceBytesRecursive: [{ op: 'Read', major: 8, minor: 1, value: 512 }] },
  });
  assert.deepEqual(reading.cpu, { totalNs: 10, userNs: 6, kernelNs: 4, perCpuNs: [7, 3], systemNs: 77, processors: 4, throttling: { periods: 1, throttledPeriods: 2, throttledNs: 3 } });
  assert.deepEqual([reading.memory.usageBytes, reading.memory.maxUsageBytes, reading.memory.limitBytes, reading.memory.failures, reading.memory.stats['total_inactive_file']], [100, 120, 8_000, 2, 30]);
  assert.equal(reading.memory.stats['hierarchical_memory_limit'], Number.MAX_SAFE_INTEGER);
  assert.deepEqual(reading.blkio['io_service_bytes_recursive'], [{ op: 'Read', major: 8, minor: 1, value: 512 }]);
  assert.deepEqual(reading.pids, { current: 3, limit: 0 });
});

test('cgroup v2: microseconds become nanoseconds, reads and writes become entries, no limit of processes is none', () => {
  const reading = read('io.containerd.cgroups.v2.Metrics', {
    pids: { current: 1, limit: '18446744073709551615' }, cpu: { usageUsec: 10, userUsec: 6, systemUsec: 4, nrPeriods: 1, nrThrottled: 2, throttledUsec: 3 },
    memory: { usage: 100, usageLimit: 4_000, inactiveFile: 30, anon: 60 }, io: { usage: [{ major: 8, minor: 0, rbytes: 1, wbytes: 2, rios: 3, wios: 4 }] },
  });
  assert.deepEqual([reading.cpu.totalNs, reading.cpu.throttling.throttledNs, reading.pids.limit, reading.memory.limitBytes], [10_000, 3_000, 0, 4_000]);
  assert.deepEqual([reading.memory.stats['inactive_file'], reading.memory.stats['anon'], 'total_inactive_file' in reading.memory.stats], [30, 60, false]);
  assert.deepEqual(reading.blkio['io_service_bytes_recursive']?.map(({ op, value }) => [op, value]), [['read', 1], ['write', 2]]);
});

test('a group of which nothing is known has used nothing; figures of another kind are none', () => {
  const reading = read('io.containerd.cgroups.v1.Metrics', {});
  assert.deepEqual([reading.cpu.totalNs, reading.memory.usageBytes, reading.memory.limitBytes], [0, 0, 8_000]);
  assert.equal(decodeMetrics({ type_url: 'somebody.else/Metrics', value: new Uint8Array() }), undefined);
});

test('/proc: links without the loopback, and what all processors did', () => {
  const text = 'Inter-|   Receive\n face |bytes\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0:1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0\n broken: x\n';
  assert.deepEqual(parseLinks(text), { eth0: { rxBytes: 1000, rxPackets: 10, rxErrors: 1, rxDropped: 2, txBytes: 2000, txPackets: 20, txErrors: 3, txDropped: 4 } });
  assert.equal(parseSystemNs('cpu  1 2 3 4 5 6 7 100 100 100\ncpu0 1'), 28 * 10_000_000);
  assert.throws(() => parseSystemNs('nothing'), /begins with/);
});

const told = {
  cpu: { usage: { total: 50, kernel: 20, user: 30 }, throttling: {} }, memory: { cache: 40, usage: { usage: 100, limit: 256 }, raw: { total: 250, available: 190 } }, pids: { current: 2 },
  blkio: { ioServiceBytesRecursive: [{ major: 254, minor: 0, op: 'Read', value: 9 }] }, network_interfaces: [{ Name: 'eth0', RxBytes: 5, TxBytes: 6 }], machine: { vcpus: 2, systemNs: 900 },
};

test('a machine: what its guest could give back counts as its inactive cache', () => {
  const reading = machineReading(told, 5);
  assert.deepEqual([reading.cpu.totalNs, reading.cpu.systemNs, reading.cpu.processors], [50, 900, 2]);
  // 250 − 190 are really needed, and that is what clients show: 100 − 40.
  assert.deepEqual([reading.memory.usageBytes, reading.memory.stats['inactive_file'], reading.memory.limitBytes], [100, 40, 256]);
  assert.deepEqual([reading.links?.['eth0']?.rxBytes, reading.links?.['eth0']?.txBytes, reading.blkio['io_service_bytes_recursive']], [5, 6, [{ op: 'read', major: 254, minor: 0, value: 9 }]]);
});

test('a guest that lies gives numbers all the same, and not more of them than there may be', () => {
  for (const lie of [null, 'text', {}, { cpu: 1, memory: [], network_interfaces: 'x', blkio: null, machine: 7 }, { cpu: { usage: { total: -1, kernel: 'x', user: 1e300 } }, memory: { raw: { total: 1, available: 1e300 } }, network_interfaces: Array.from({ length: 10_000 }, (_, index) => ({ Name: `l${index}` })) }]) {
    const reading = machineReading(lie, 5);
    assert.ok(Object.keys(reading.links ?? {}).length <= 64);
    for (const number of [reading.cpu.totalNs, reading.cpu.userNs, reading.memory.usageBytes, reading.memory.stats['inactive_file'] ?? NaN]) assert.ok(Number.isSafeInteger(number) && number >= 0, String(number));
  }
});
