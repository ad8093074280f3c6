// Limits: what the runtime is told, what is refused, and what a poorer host makes of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ResourceLimits } from '@pouch/oci';
import { refusalOf, specOf } from './given.ts';

const MiB = 2 ** 20;
const cgroup = (resources: ResourceLimits, host: Parameters<typeof specOf>[1] = {}) => {
  const { devices, ...rest } = specOf({ resources }, host).spec.linux.resources;
  return rest;
};
const warnings = (resources: ResourceLimits, host: Parameters<typeof specOf>[1]) => specOf({ resources }, host).warnings.join('\n');

test('nothing asked limits nothing', () => {
  assert.deepEqual(cgroup({}), {});
  assert.deepEqual(cgroup({ memoryBytes: 0, memorySwapBytes: 0, nanoCpus: 0, cpuShares: 0, cpusetCpus: '', pidsLimit: -1, blkioWeight: 0 }), {});
  assert.deepEqual(cgroup({ memoryBytes: null, memorySwapBytes: null, nanoCpus: null, cpuShares: null, pidsLimit: null }), {});
});

test('memory and swap: one number for both together, -1 for as much swap as there is', () => {
  assert.deepEqual(cgroup({ memoryBytes: 64 * MiB, memorySwapBytes: 96 * MiB }).memory, { limit: 64 * MiB, swap: 96 * MiB });
  assert.deepEqual(cgroup({ memoryBytes: 64 * MiB, memorySwapBytes: -1 }).memory, { limit: 64 * MiB, swap: -1 });
  assert.deepEqual(cgroup({ memoryReservationBytes: 32 * MiB }).memory, { reservation: 32 * MiB });
});

test('CPUs: a quota of each tenth of a second, a share, a choice', () => {
  assert.deepEqual(cgroup({ nanoCpus: 1.5e9, cpuShares: 512, cpusetCpus: '0-2,3', cpusetMems: '0' }).cpu, { quota: 150_000, period: 100_000, shares: 512, cpus: '0-2,3', mems: '0' });
  assert.equal(cgroup({ cpuShares: 1 }).cpu?.shares, 2);
  assert.match(warnings({ cpuShares: 1 }, {}), /becomes 2/);
});

test('processes and block devices', () => {
  assert.deepEqual(cgroup({ pidsLimit: 10, blkioWeight: 300 }), { pids: { limit: 10 }, blockIO: { weight: 300 } });
});

test('a limit whose controller the host lacks is left out, and said', () => {
  const all: ResourceLimits = { memoryBytes: 64 * MiB, nanoCpus: 1e9, cpusetCpus: '0', pidsLimit: 5, blkioWeight: 10 };
  assert.deepEqual(cgroup(all, { cgroupControllers: [] }), {});
  for (const name of ['memory', 'cpu', 'cpuset', 'pids', 'blkio or io']) assert.ok(warnings(all, { cgroupControllers: [] }).includes(`no ${name} controller`), name);
  assert.deepEqual(cgroup({ memoryBytes: 64 * MiB, memorySwapBytes: 65 * MiB }, { limitsSwap: false }).memory, { limit: 64 * MiB });
  assert.match(warnings({ memoryBytes: 64 * MiB, memorySwapBytes: 65 * MiB }, { limitsSwap: false }), /cannot limit swap/);
});

test('what can never be is refused by its field', () => {
  const wrong: [ResourceLimits, string][] = [
    [{ memoryBytes: 6 * MiB - 1 }, 'Memory'], [{ memoryBytes: -5 }, 'Memory'], [{ memoryBytes: 1e300 }, 'Memory'], [{ memoryBytes: Number.NaN }, 'Memory'],
    [{ memoryBytes: 64 * MiB, memorySwapBytes: 63 * MiB }, 'MemorySwap'], [{ memoryBytes: 64 * MiB, memorySwapBytes: -2 }, 'MemorySwap'],
    [{ memoryReservationBytes: 1 }, 'MemoryReservation'], [{ memoryBytes: 64 * MiB, memoryReservationBytes: 65 * MiB }, 'MemoryReservation'],
    [{ nanoCpus: 1 }, 'NanoCpus'], [{ nanoCpus: -1 }, 'NanoCpus'], [{ nanoCpus: 4e9 + 1 }, 'NanoCpus'], [{ cpuShares: -1 }, 'CpuShares'], [{ cpuShares: 1.5 }, 'CpuShares'],
    [{ cpusetCpus: '4' }, 'CpusetCpus'], [{ cpusetCpus: '2-1' }, 'CpusetCpus'], [{ cpusetCpus: '0,,1' }, 'CpusetCpus'], [{ cpusetCpus: '-1' }, 'CpusetCpus'], [{ cpusetMems: 'all' }, 'CpusetMems'],
    [{ pidsLimit: -2 }, 'PidsLimit'], [{ pidsLimit: 1.5 }, 'PidsLimit'], [{ blkioWeight: 9 }, 'BlkioWeight'], [{ blkioWeight: 1001 }, 'BlkioWeight'],
    [{ shmSizeBytes: -1 }, 'ShmSize'], [{ oomScoreAdj: -1001 }, 'OomScoreAdj'], [{ oomScoreAdj: 0.5 }, 'OomScoreAdj'],
    [{ ulimits: [{ name: 'nofile', soft: 2, hard: 1 }] }, 'Ulimits'], [{ ulimits: [{ name: 'nofile', soft: -1, hard: 5 }] }, 'Ulimits'], [{ ulimits: [{ name: 'nofile', soft: -2, hard: -2 }] }, 'Ulimits'], [{ ulimits: [{ name: 'nofile', soft: 1, hard: 1e300 }] }, 'Ulimits'],
  ];
  for (const [resources, field] of wrong) assert.equal(refusalOf({ resources }).field, `HostConfig.${field}`, JSON.stringify(resources));
});

test('ulimits: by the kernel\'s names, the last of a name', () => {
  const ulimits = [{ name: 'nofile', soft: 1, hard: 2 }, { name: 'core', soft: 0, hard: -1 }, { name: 'nofile', soft: 3, hard: 4 }];
  assert.deepEqual(specOf({ resources: { ulimits } }).spec.process.rlimits, [{ type: 'RLIMIT_NOFILE', soft: 3n, hard: 4n }, { type: 'RLIMIT_CORE', soft: 0n, hard: 2n ** 64n - 1n }]);
});

test('oom score: always said, lowered only where the host may', () => {
  assert.equal(specOf({}).spec.process.oomScoreAdj, 0);
  assert.equal(specOf({ resources: { oomScoreAdj: -500 } }).spec.process.oomScoreAdj, -500);
  assert.equal(specOf({ resources: { oomScoreAdj: -500 } }, { hasCapSysResource: false }).spec.process.oomScoreAdj, 0);
  assert.equal(specOf({ resources: { oomScoreAdj: 500 } }, { hasCapSysResource: false }).spec.process.oomScoreAdj, 500);
});

test('without CAP_SYS_RESOURCE no limit ends above the host\'s, nor soft above hard', () => {
  const limit = fc.oneof(fc.constant(-1), fc.integer({ min: 0, max: 1e9 }));
  fc.assert(fc.property(limit, limit, (soft, hard) => {
    fc.pre(hard === -1 || (soft !== -1 && soft <= hard));
    const [rlimit] = specOf({ resources: { ulimits: [{ name: 'nofile', soft, hard }] } }, { hasCapSysResource: false }).spec.process.rlimits ?? [];
    assert.ok(rlimit !== undefined && rlimit.soft <= rlimit.hard && rlimit.hard <= 1024n);
  }));
});
