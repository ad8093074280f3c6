// What `runv update` takes, and what it refuses by name.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refuseUpdate } from '../../../packages/runv/src/update-limits.ts';

test('processors, memory, processes and weights can change; what is empty means nothing', () => {
  for (const fine of [
    {}, { cpu: { shares: 512, quota: 50_000, period: 100_000, cpus: '0', mems: '0' } }, { memory: { limit: 2 ** 27, swap: 2 ** 27, reservation: 0, kernel: -1 } }, { pids: { limit: 5 }, blockIO: { weight: 10 } },
    { devices: [], network: {}, hugepageLimits: null, unified: {}, cpu: { realtimeRuntime: 0, cpus: '' }, blockIO: { weightDevice: [] } },
  ]) assert.doesNotThrow(() => refuseUpdate(fine), JSON.stringify(fine));
});

test('everything else is refused with its name and, where there is one, the reason', () => {
  for (const [wrong, why] of [
    [{ memory: { swap: 2 ** 30 } }, /memory\.swap: .*no swap/], [{ memory: { reservation: 5 } }, /memory\.reservation/], [{ cpu: { realtimeRuntime: 5 } }, /cpu\.realtimeRuntime/], [{ hugepageLimits: [{ pageSize: '2MB', limit: 1 }] }, /hugepageLimits/],
    [{ blockIO: { throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1 }] } }, /blockIO\.throttleReadBpsDevice/], [{ unified: { 'memory.high': '5' } }, /unified/], [{ devices: [{ allow: true, access: 'rwm' }] }, /devices/],
  ] as const) assert.throws(() => refuseUpdate(wrong), { code: 'unsupported', message: why });
  for (const wrong of [null, 7, 'text', [], { memory: { limit: 'much' } }, { cpu: { quota: 1.5 } }]) assert.throws(() => refuseUpdate(wrong), { code: 'bad-spec' });
});
