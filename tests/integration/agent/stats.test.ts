// The agent's readings of real containers: what they compute, keep in memory and send shows; one that has ended has none.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { ContainerReading } from '@pouch/contracts';
import { containerdMissing } from '../../fixtures/containerd.ts';
import { busyboxMissing } from '../../fixtures/images.ts';
import { eventually, host, startFixture, type Fixture } from './fixture.ts';

const skip = containerdMissing() || busyboxMissing();
const options = { skip, timeout: 180_000 };
let fixture: Fixture;

before(async () => {
  if (skip !== false) return;
  fixture = await startFixture();
  await fixture.startAgent();
});
after(async () => { await fixture?.stop(); });

const read = (containerId: string): Promise<ContainerReading> => fixture.client.call(host, 'container.stats', { containerId });

test('processor time, memory and processes of a container grow as it works', options, async () => {
  const id = await fixture.created({ cmd: ['sh', '-c', 'dd if=/dev/zero of=/dev/shm/kept bs=1M count=8; while :; do :; done'] });
  await fixture.request(id, { kind: 'start' });
  await fixture.untilStatus(id, 'running');
  const early = await read(id);
  const memory = (reading: ContainerReading): number => reading.memory.usageBytes - (reading.memory.stats['total_inactive_file'] ?? reading.memory.stats['inactive_file'] ?? 0);
  await eventually(async () => {
    const now = await read(id);
    return now.cpu.totalNs >= early.cpu.totalNs + 100_000_000 && now.cpu.systemNs > early.cpu.systemNs && memory(now) >= 8 << 20;
  }, 'it has computed, and keeps what it wrote');
  const now = await read(id);
  assert.ok(now.pids.current >= 1);
  assert.ok(now.memory.limitBytes > 0 && now.cpu.processors > 0);
  assert.deepEqual(now.links, {}, 'a namespace of its own with nothing but the loopback');
  const [one, other] = await Promise.all([read(id), read(id)]);
  assert.equal(one.readAtMs, other.readAtMs, 'who asks at once is given the same reading');
  await fixture.request(id, { kind: 'kill', signal: 'SIGKILL' });
  await fixture.untilStatus(id, 'exited');
  await assert.rejects(read(id), { code: 'not-running' });
  await assert.rejects(read('nosuch'), { code: 'not-found' });
  await fixture.request(id, { kind: 'remove', force: true });
});
