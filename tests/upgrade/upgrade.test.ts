// A cluster of an older version is started anew by this one, as an operator does, while its containers run under load: none stops or begins again, everything that was asked of the
// older version is answered by this one, and the log agrees.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startCluster, stopCluster } from '../../scripts/cluster/cluster.ts';
import type { TestCluster } from '../fixtures/cluster.ts';
import { until } from '../fixtures/native.ts';
import type { OlderCheckout } from '../fixtures/older-checkout.ts';
import { Clients } from '../e2e/clients/clients.ts';
import { checkOutOlder, olderMissing, startOlderCluster } from './older-cluster.ts';

const skip = olderMissing;
const options = { skip, timeout: 330_000 };
const silent = (): void => undefined;
const sleeper = ['--network', 'none', 'busybox', 'sleep', '1000000'];
let older: OlderCheckout;
let cluster: TestCluster;
let on: Clients;

before(async () => {
  if (skip !== false) return;
  older = await checkOutOlder();
  cluster = await startOlderCluster(older);
  on = new Clients(cluster);
});
after(async () => {
  await on?.close();
  await cluster?.stop();
  await older?.remove();
});

const portsOf = async (): Promise<string> => await on.p('inspect', '-f', '{{json .NetworkSettings.Ports}}', 'networked');
const stateOf = async (name: string): Promise<string> => await on.p('inspect', '-f', '{{.Id}} {{.State.Status}} {{.State.Pid}} {{.State.StartedAt}} {{.RestartCount}}', name);

test('nothing stops while every process is replaced, and what the older version said stands', options, async () => {
  await on.tryPouch(['secret', 'create', 'key'], 'of the older version');
  await on.p('run', '-d', '--name', 'quiet', '--secret', 'key', ...sleeper);
  await on.p('run', '-d', '--name', 'policy', '--restart', 'always', ...sleeper);
  await on.p('run', '-d', '--name', 'talks', '--network', 'none', 'busybox', 'sh', '-c', 'n=0; while :; do n=$((n + 1)); echo $n; sleep 0.05; done');
  await on.p('run', '-d', '--name', 'networked', '-p', '127.0.0.1::80', 'busybox', 'sleep', '1000000');
  assert.equal((await on.tryPouch(['run', '--name', 'ended', '--network', 'none', 'busybox', 'sh', '-c', 'exit 7'])).code, 7);
  await on.p('service', 'create', '--name', 'twins', '--replicas', '2', ...sleeper);
  await until('both replicas run', async () => /2\/2/.test(await on.p('service', 'ls')) || undefined);
  const names = ['quiet', 'policy', 'talks', 'networked', 'ended'];
  const states = async (): Promise<string[]> => await Promise.all(names.map(stateOf));
  const [before, port, tasks] = [await states(), await portsOf(), await on.p('service', 'ps', 'twins', '--format', '{{.ID}}')];
  const atMs = Date.now();
  const eventsUntilThen = async (): Promise<string> => await on.p('events', '--since', '0', '--until', new Date(atMs).toISOString(), '--format', '{{.Type}} {{.Action}} {{.Actor.ID}}');
  const told = await eventsUntilThen();

  // Asked of the older version, and answered by whichever is there: what cannot be reached meanwhile is asked again, as every client does.
  const load = { stopped: false, done: 0 };
  const asking = (async () => {
    while (!load.stopped) {
      const { code, stdout } = await on.tryPouch(['run', '--rm', '--network', 'none', 'busybox', 'echo', 'done']);
      if (code === 0) assert.equal(stdout, 'done\n');
      load.done += code === 0 ? 1 : 0;
    }
  })();
  await until('the load is under way', () => load.done > 0 || undefined);
  await stopCluster(cluster.options, { keepContainers: true }, silent);
  await startCluster(cluster.options, silent);
  const doneBefore = load.done;
  await until('the load goes on', () => load.done > doneBefore || undefined);
  load.stopped = true;
  await asking;

  assert.deepEqual(await states(), before);
  assert.equal(await portsOf(), port);
  assert.equal(await on.p('service', 'ps', 'twins', '--format', '{{.ID}}'), tasks);
  // This version may tell more of the same log.
  const toldLines = told.split('\n');
  assert.deepEqual((await eventsUntilThen()).split('\n').filter((line) => toldLines.includes(line)), toldLines);
  const numbers = (await on.p('logs', 'talks')).split('\n').map(Number);
  assert.deepEqual(numbers, numbers.map((_, at) => at + 1), 'no line of the time between is missing');
  assert.equal(await on.p('exec', 'quiet', 'cat', '/run/secrets/key'), 'of the older version');
  assert.match(await on.p('cluster', 'verify'), /^Log and projection agree/);
  assert.doesNotMatch(await on.p('cluster', 'hosts'), /unknown/);
  for (const name of names) await on.p('rm', '-f', name);
});
