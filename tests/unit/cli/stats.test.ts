// What `pouch stats` makes of Docker's figures.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { statsRow } from '../../../packages/cli/src/format/stats-rows.ts';

const answer = {
  id: 'a'.repeat(64), name: '/web', pids_stats: { current: 3 },
  cpu_stats: { cpu_usage: { total_usage: 1_500 }, system_cpu_usage: 3_000, online_cpus: 2 }, precpu_stats: { cpu_usage: { total_usage: 1_000 }, system_cpu_usage: 1_000, online_cpus: 2 },
  memory_stats: { usage: 10 << 20, limit: 64 << 20, stats: { inactive_file: 2 << 20 } },
  networks: { eth0: { rx_bytes: 1_000, tx_bytes: 2_000 }, eth1: { rx_bytes: 500, tx_bytes: 0 } },
  blkio_stats: { io_service_bytes_recursive: [{ op: 'Read', value: 4_000 }, { op: 'Write', value: 1_000 }, { op: 'Total', value: 5_000 }] },
};

test('rates are of one processor, memory is without what can be given back, links and disks are added up', () => {
  assert.deepEqual(statsRow('web', answer), {
    Container: 'web', ID: 'a'.repeat(64), Name: 'web', CPUPerc: '50.00%', MemUsage: '8MiB / 64MiB', MemPerc: '12.50%', NetIO: '1.5kB / 2kB', BlockIO: '4kB / 1kB', PIDs: '3',
  });
});

test('cgroup v1 tells the cache by another name; a first reading has no rate; what does not run has nothing', () => {
  assert.equal(statsRow('web', { ...answer, memory_stats: { usage: 10 << 20, limit: 64 << 20, stats: { total_inactive_file: 4 << 20, inactive_file: 1 << 20 } } }).MemUsage, '6MiB / 64MiB');
  assert.equal(statsRow('web', { ...answer, precpu_stats: { cpu_usage: { total_usage: 0 } } }).CPUPerc, '0.00%');
  assert.deepEqual([statsRow('web', { id: 'b', name: '/web', memory_stats: {} }).CPUPerc, statsRow('web', null).MemUsage], ['--', '-- / --']);
});
