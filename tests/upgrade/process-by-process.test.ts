// An older cluster is upgraded process by process, as an operator with a unit for each does: between two steps old and new ones work with each other, clients of the new version ask
// whichever is there, and what runs, machines too, stays the same processes. Three orders go through all mixtures of old and new api, scheduler and agent.
import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { TestCluster } from '../fixtures/cluster.ts';
import { guestMissing } from '../fixtures/guest-boot.ts';
import { until } from '../fixtures/native.ts';
import type { OlderCheckout, Service } from '../fixtures/older-checkout.ts';
import { Clients } from '../e2e/clients/clients.ts';
import { checkOutOlder, olderMissing, startOlderCluster } from './older-cluster.ts';

const skip = olderMissing;
const withMachines = await guestMissing() === false;
const sleeper = ['--network', 'none', 'busybox', 'sleep', '1000000'];
const orders: readonly (readonly Service[])[] = [['agent', 'api', 'scheduler'], ['scheduler', 'agent', 'api'], ['api', 'scheduler', 'agent']];
let older: OlderCheckout;
let directory: string;

before(async () => {
  if (skip !== false) return;
  older = await checkOutOlder();
  directory = await mkdtemp(join(tmpdir(), 'pouch-test-upgrade-'));
  // QEMU's user reaches its kernel by its way through here.
  await chmod(directory, 0o711);
});
after(async () => {
  await older?.remove();
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
});

for (const order of orders) test(`${order.join(', then ')}: nothing stops, and all that is asked in between is done`, { skip, timeout: 330_000 }, async () => {
  await older.renew([]);
  const cluster = await startOlderCluster(older, withMachines ? join(directory, 'kernels') : null);
  const on = new Clients(cluster);
  try {
    const lasting = await lastingOf(on);
    const states = async (): Promise<string[]> => await Promise.all(lasting.map((name) => on.p('inspect', '-f', '{{.Id}} {{.State.Status}} {{.State.Pid}} {{.State.StartedAt}} {{.RestartCount}}', name)));
    const before = await states();
    await withLoad(on, async (goesOn) => {
      for (const [at, name] of order.entries()) {
        await older.renew(order.slice(0, at + 1));
        await startAnew(cluster, name);
        await goesOn();
        await worksWith(on, at + 1);
        // An older api takes members that newer agents write and it does not know for mistakes.
        if (order.indexOf('api') <= at) assert.match(await on.p('cluster', 'verify'), /^Log and projection agree/);
        assert.deepEqual(await states(), before, `after the ${name}`);
      }
    });
    const numbers = (await on.p('logs', 'talks')).split('\n').map(Number);
    assert.deepEqual(numbers, numbers.map((_, at) => at + 1), 'no line of the time between is missing');
    assert.equal((await on.http('GET', '/networks')).status, 200, 'the older version knew no networks: the new api answers');
    for (const name of lasting) await on.p('rm', '-f', name);
    await on.p('service', 'rm', 'twins');
  } finally {
    await on.close();
    await cluster.stop();
  }
});

/** What is to outlive all that happens; names. */
async function lastingOf(on: Clients): Promise<string[]> {
  await on.p('run', '-d', '--name', 'quiet', ...sleeper);
  await on.p('run', '-d', '--name', 'policy', '--restart', 'always', ...sleeper);
  await on.p('run', '-d', '--name', 'talks', '--network', 'none', 'busybox', 'sh', '-c', 'n=0; while :; do n=$((n + 1)); echo $n; sleep 0.05; done');
  if (withMachines) await on.p('run', '-d', '--name', 'machine', '--runtime', 'runv', ...sleeper);
  await on.p('service', 'create', '--name', 'twins', '--replicas', '2', '--stop-timeout', '1', '--update-parallelism', '0', ...sleeper);
  return ['quiet', 'policy', 'talks', ...(withMachines ? ['machine'] : [])];
}

/** Containers are run one after the other all the while; what cannot be reached for a moment is asked again, as every client does. `goesOn` resolves once one more has been. */
async function withLoad(on: Clients, work: (goesOn: () => Promise<void>) => Promise<void>): Promise<void> {
  const load = { stopped: false, done: 0 };
  const asking = (async () => {
    while (!load.stopped) {
      const { code, stdout } = await on.tryPouch(['run', '--rm', '--network', 'none', 'busybox', 'echo', 'done']);
      // A client whose api or agent ends while it is attached may get no output (the older version does not tell it so).
      if (code !== 0 || stdout === '') continue;
      assert.equal(stdout, 'done\n');
      load.done++;
    }
  })();
  asking.catch(() => undefined); // looked at in the end
  try {
    await work(async () => {
      // One may have been under way when the process was ended.
      const before = load.done;
      await until('the load goes on', () => load.done > before + 1 || undefined);
    });
  } finally {
    load.stopped = true;
    await asking;
  }
}

async function startAnew(cluster: TestCluster, name: Service): Promise<void> {
  const before = await cluster.pid(name);
  await cluster.signal(name, 'SIGTERM');
  await until(`another ${name} runs`, async () => { const pid = await cluster.pid(name); return (pid !== undefined && pid !== before) || undefined; });
}

/** A container's life, execs, logs and a service, with whichever versions there are. */
async function worksWith(on: Clients, step: number): Promise<void> {
  const name = `worker-${step}`;
  await on.p('run', '-d', '--name', name, '--network', 'none', 'busybox', 'sh', '-c', 'echo hello; exec sleep 1000000');
  assert.equal(await on.p('exec', name, 'echo', 'here'), 'here');
  await on.p('stop', '-t', '0', name);
  assert.equal(await on.p('inspect', '-f', '{{.State.Status}} {{.State.ExitCode}}', name), 'exited 137');
  await on.p('start', name);
  assert.equal(await on.p('logs', name), 'hello\nhello');
  await on.p('rename', name, `${name}-too`);
  await on.p('rm', '-f', `${name}-too`);
  assert.equal(await on.p('exec', 'quiet', 'echo', 'here'), 'here');
  if (withMachines) assert.equal(await on.p('exec', 'machine', 'echo', 'here'), 'here');
  await on.p('service', 'scale', `twins=${step % 2 === 0 ? 2 : 3}`);
  await on.p('service', 'update', '--env-add', `STEP=${step}`, '--update-monitor', '0s', 'twins');
  assert.equal(await on.p('service', 'ls', '--format', '{{.Replicas}} {{.Update}}'), `${step % 2 === 0 ? '2/2' : '3/3'} completed`);
}
