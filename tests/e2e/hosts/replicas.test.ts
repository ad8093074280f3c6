// A service on three hosts, each with a network of its own: its replicas, of two runtimes, are spread, move away from a host that is cut off and are stopped there on its return,
// are exchanged without a moment in which fewer are healthy than asked for, and leave nothing behind.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ClusterService } from '@pouch/contracts';
import { startTestMachines, type TestMachine, type TestMachines } from '../../fixtures/machines.ts';
import { Clients, eventually, unavailable } from '../clients/clients.ts';
import { containerdOf } from '../faults/under-test.ts';

const skip = unavailable('docker');
const replicas = 5;
const parallelism = 2;

describe('a service on three hosts', { skip, timeout: 360_000 }, () => {
  let cluster: TestMachines;
  let on: Clients;

  before(async () => {
    // The second one is runc again, under containerd's own shim: any machine has it.
    cluster = await startTestMachines({ env: { POUCH_RUNTIMES: JSON.stringify({ other: 'io.containerd.runc.v2' }) } });
    on = new Clients(cluster.apis[0] as TestMachine);
  });
  after(async () => {
    await on?.close();
    await cluster?.stop();
  });

  const inspect = async (): Promise<ClusterService> => (JSON.parse(await on.p('service', 'inspect', 'web')) as [ClusterService])[0];
  const wanted = ({ tasks }: ClusterService): ClusterService['tasks'] => tasks.filter(({ desired }) => desired === 'running');
  const idsOf = (service: ClusterService): string[] => wanted(service).map(({ id }) => id).sort();
  const perHost = (service: ClusterService): number[] => cluster.machines.map(({ hostId }) => wanted(service).filter((task) => task.hostId === hostId && task.state === 'running').length);
  /** What a host's containerd really has. */
  const there = async (machine: TestMachine): Promise<{ running: string[]; containers: string[]; snapshots: string[] }> => {
    const client = containerdOf(machine);
    try {
      return {
        running: (await client.tasks.list()).filter(({ status }) => status === 'RUNNING').map(({ containerId }) => containerId).sort(),
        containers: (await client.containers.list()).map(({ id }) => id).sort(),
        snapshots: (await client.snapshots.list()).filter(({ kind }) => kind === 'ACTIVE').map(({ name }) => name),
      };
    } finally {
      client.close();
    }
  };
  /** The hosts run the service's replicas, and nothing else. */
  const inOrder = async (count: number): Promise<void> => {
    await eventually(`${count} replicas run, and nothing else`, async () => {
      const service = await inspect();
      const running = (await Promise.all(cluster.machines.map(there))).flatMap((host) => host.running).sort();
      return service.running === count && service.tasks.filter(({ state }) => state === 'running').length === count && running.join() === idsOf(service).join();
    });
  };
  /** How many were healthy, and how many there were, after each event since then: the log has one order for all hosts. */
  const counts = async (sinceMs: number, before: readonly string[]): Promise<{ healthy: number[]; running: number[] }> => {
    const lines = (await on.d('events', '--since', (sinceMs / 1_000).toFixed(3), '--until', (Date.now() / 1_000).toFixed(3), '--filter', 'type=container', '--format', '{{.Action}}|{{.ID}}')).split('\n').filter((line) => line !== '');
    const [healthy, running] = [new Set(before), new Set(before)];
    const seen: { healthy: number[]; running: number[] } = { healthy: [healthy.size], running: [running.size] };
    for (const [action = '', id = ''] of lines.map((line) => line.split('|'))) {
      if (action === 'start') running.add(id);
      if (action === 'health_status: healthy') healthy.add(id);
      if (action === 'health_status: unhealthy' || action === 'die') healthy.delete(id);
      if (action === 'die') running.delete(id);
      seen.healthy.push(healthy.size);
      seen.running.push(running.size);
    }
    return seen;
  };

  test('replicas of both runtimes are spread over the hosts', async () => {
    await on.p('service', 'create', '--name', 'web', '--replicas', String(replicas), '--runtime', 'runc,other', '--restart-delay', '100ms', '--stop-timeout', '1', '--health-cmd', 'true', '--health-interval', '200ms',
      '--update-parallelism', String(parallelism), '--update-order', 'start-first', '--update-monitor', '500ms', '--update-failure-action', 'rollback', '-e', 'VERSION=1', 'busybox', 'sleep', '1d');
    await inOrder(replicas);
    const service = await inspect();
    assert.deepEqual(perHost(service).toSorted(), [1, 2, 2]);
    assert.deepEqual(wanted(service).map(({ slot, runtime }) => `${slot} ${runtime}`).sort(), ['1 runc', '2 other', '3 runc', '4 other', '5 runc']);
  });

  test('a host is cut off: its replicas move while theirs run on there, and on its return those are stopped and removed', async () => {
    const third = cluster.machines[2] as TestMachine;
    const kept = idsOf(await inspect());
    const left = (await there(third)).running;
    assert.ok(left.length > 0);
    await third.setCable(false);
    try {
      await cluster.hosts('lost', [third.hostId]);
      await eventually('all run on the others', async () => perHost(await inspect()).join() === '2,3,0' || perHost(await inspect()).join() === '3,2,0');
      assert.deepEqual((await there(third)).running, left, 'nobody can reach it to stop them');
    } finally {
      await third.setCable(true);
    }
    await cluster.hosts('up', [third.hostId]);
    await eventually('the replaced ones are gone', async () => (await there(third)).containers.length === 0);
    await inOrder(replicas);
    assert.deepEqual(idsOf(await inspect()).filter((id) => kept.includes(id)), kept.filter((id) => !left.includes(id)), 'the others were left alone');
  });

  test('an update start-first never leaves fewer healthy replicas, nor more at once than its parallelism lets', async () => {
    const [before, sinceMs] = [idsOf(await inspect()), Date.now()];
    await on.p('service', 'update', '--env-add', 'VERSION=2', 'web');
    await inOrder(replicas);
    const service = await inspect();
    assert.deepEqual([service.rollout?.state, service.updated, idsOf(service).some((id) => before.includes(id))], ['completed', replicas, false]);
    const { healthy, running } = await counts(sinceMs, before);
    assert.ok(Math.min(...healthy) >= replicas, healthy.join());
    assert.ok(Math.max(...running) > replicas && Math.max(...running) <= replicas + parallelism, running.join());
    assert.match(await on.d('exec', idsOf(service)[0] ?? '', 'env'), /^VERSION=2$/m);
    assert.ok(perHost(service).every((count) => count > 0), 'the host that came back has its share again');
  });

  test('an update whose replicas do not become healthy is rolled back, and the old ones have served all the while', async () => {
    const [before, sinceMs] = [idsOf(await inspect()), Date.now()];
    await on.d('service', 'update', '--detach', '--no-resolve-image', '--health-cmd', 'false', '--health-retries', '2', 'web');
    await eventually('it is rolled back', async () => (await inspect()).rollout?.state === 'rollback_completed');
    await inOrder(replicas);
    assert.deepEqual(idsOf(await inspect()), before);
    const { healthy, running } = await counts(sinceMs, before);
    assert.deepEqual([Math.min(...healthy), Math.max(...healthy)], [replicas, replicas]);
    assert.ok(Math.max(...running) <= replicas + parallelism, running.join());
  });

  test('scaled down, and removed: nothing is left on any host', async () => {
    await on.p('service', 'scale', 'web=2');
    await inOrder(2);
    await on.p('service', 'rm', 'web');
    await eventually('nothing is left', async () => (await Promise.all(cluster.machines.map(there))).every(({ containers, snapshots }) => containers.length + snapshots.length === 0));
    assert.equal(await on.p('service', 'ls', '-q'), '');
    await eventually('no container is listed', async () => await on.d('ps', '-aq') === '');
    assert.match(await on.p('cluster', 'verify'), /^Log and projection agree/);
  });
});
