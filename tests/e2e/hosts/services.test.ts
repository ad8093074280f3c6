// Services on two hosts with real containers: replicas are spread, one that is killed and those of a host that falls silent are replaced, updates go one
// after the other and are taken back where they fail; by pouch and by docker.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClusterService } from '@pouch/contracts';
import { startTestCluster, type TestCluster } from '../../fixtures/cluster.ts';
import { containerdMissing } from '../../fixtures/containerd.ts';
import { busyboxMissing } from '../../fixtures/images.ts';
import { startSecondHost, type SecondHost } from '../../fixtures/second-host.ts';
import { Clients, unavailable } from '../clients/clients.ts';

const skip = unavailable('docker') || containerdMissing() || busyboxMissing();
const options = { skip, timeout: 300_000 };
let cluster: TestCluster;
let clients: Clients;
let second: SecondHost;

before(async () => {
  if (skip !== false) return;
  cluster = await startTestCluster({ busybox: false });
  clients = new Clients(cluster);
  second = await startSecondHost(cluster);
  await said('docker', 'load', '-q', '-i', second.imageFile);
  await until('the second host is up', async () => /^second up/m.test(await said('pouch', 'cluster', 'hosts', '--format', '{{.ID}} {{.State}}')));
});
after(async () => {
  if (skip !== false) return;
  await clients.close();
  await second?.stop();
  await cluster.stop();
});

async function ask(program: 'docker' | 'pouch', ...args: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const running = program === 'docker' ? clients.docker(...args) : clients.pouch(...args);
  running.child.stdin?.end();
  return await running.ended;
}
async function said(program: 'docker' | 'pouch', ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await ask(program, ...args);
  assert.equal(code, 0, `${program} ${args.join(' ')}: ${stderr}`);
  return stdout.trim();
}
async function until(what: string, look: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 120_000;
  while (!(await look())) {
    if (Date.now() > deadline) throw new assert.AssertionError({ message: `never: ${what}` });
    await delay(200);
  }
}
const inspect = async (name: string): Promise<ClusterService> => (JSON.parse(await said('pouch', 'service', 'inspect', name)) as [ClusterService])[0];
const hostsOf = ({ tasks }: ClusterService): string[] => tasks.filter(({ state, desired }) => state === 'running' && desired === 'running').map(({ hostId }) => hostId ?? '').sort();
const running = async (name: string): Promise<string[]> => (await said('docker', 'ps', '--filter', `label=io.pouch.service.name=${name}`, '--format', '{{.Names}}')).split('\n').filter((line) => line !== '').sort();
const settled = async (name: string, replicas: number): Promise<void> => await until(`${name} has ${replicas} replicas`, async () => (await inspect(name)).running === replicas && (await running(name)).length === replicas);

test('replicas are made, and spread over the hosts; one that is killed is replaced', options, async () => {
  const created = await ask('pouch', 'service', 'create', '--name', 'web', '--replicas', '4', '--restart-delay', '100ms', '--update-monitor', '1s', '--network', 'none', '-e', 'VERSION=1', 'busybox', 'sleep', '100000');
  assert.equal(created.code, 0, created.stderr);
  assert.match(created.stderr, /^web: 4\/4 running$/m);
  const service = await inspect('web');
  assert.deepEqual(hostsOf(service), ['second', 'second', 'test-host', 'test-host']);
  assert.match(await said('pouch', 'service', 'ls'), /^web +\w{12} +4\/4 +busybox/m);
  const victim = service.tasks[0];
  assert.ok(victim !== undefined);
  await said('docker', 'kill', victim.id);
  await until('the killed one is replaced', async () => { const now = await inspect('web'); return now.running === 4 && !now.tasks.some(({ id, desired }) => id === victim.id && desired === 'running'); });
  assert.match(await said('pouch', 'service', 'ps', 'web'), /^web\.1\.\w+ +busybox .* shutdown +failed .* exit code 137$/m);
});

test('scaled down and up', options, async () => {
  await said('pouch', 'service', 'scale', 'web=2');
  assert.equal((await running('web')).length, 2);
  await said('pouch', 'service', 'scale', 'web=4');
  assert.equal((await running('web')).length, 4);
  assert.match((await ask('pouch', 'service', 'scale', 'web=many')).stderr, /web=many/);
});

test('an update exchanges the replicas; one that fails is taken back', options, async () => {
  await said('pouch', 'service', 'update', '--env-add', 'VERSION=2', '--update-parallelism', '2', 'web');
  const updated = await inspect('web');
  assert.deepEqual([updated.rollout?.state, updated.updated, updated.generation], ['completed', 4, 2]);
  const [first = ''] = await running('web');
  assert.match(await said('docker', 'exec', first, 'env'), /^VERSION=2$/m);
  const failed = await ask('pouch', 'service', 'update', '--args', 'false', '--update-failure-action', 'rollback', '--update-order', 'start-first', 'web');
  assert.equal(failed.code, 1, failed.stderr);
  assert.match(failed.stderr, /rolled back: 1 of the new replicas ended/);
  const back = await inspect('web');
  assert.deepEqual([back.rollout?.state, back.running, back.generation], ['rollback_completed', 4, 2]);
  assert.deepEqual(back.template['Cmd'], ['sleep', '100000']);
});

test('a host that falls silent: its replicas go on elsewhere, and on its return none is too many', options, async () => {
  await cluster.signal('agent', 'SIGSTOP');
  await until('all run on the other host', async () => hostsOf(await inspect('web')).join() === 'second,second,second,second');
  await cluster.signal('agent', 'SIGCONT');
  await until('the host is back', async () => /^test-host up/m.test(await said('pouch', 'cluster', 'hosts', '--format', '{{.ID}} {{.State}}')));
  await settled('web', 4);
});

test('docker makes, lists, scales, updates and removes services', options, async () => {
  await said('docker', 'service', 'create', '--name', 'db', '--replicas', '2', '--update-monitor', '1s', '--stop-grace-period', '1s', '--constraint', 'node.hostname != nowhere', '--env', 'A=1', '--no-resolve-image', 'busybox', 'sleep', '100000');
  assert.match(await said('docker', 'service', 'ls'), /db +replicated +2\/2 +busybox/);
  assert.match(await said('docker', 'service', 'ps', 'db'), /^\w+ +db\.1 +busybox.* +Running +Running/m);
  await said('docker', 'service', 'scale', 'db=3');
  await settled('db', 3);
  const before = await inspect('db');
  assert.equal(before.generation, 1, 'the number is no update');
  await said('docker', 'service', 'update', '--env-add', 'B=2', '--no-resolve-image', 'db');
  // docker has its own opinion of when an update is proven.
  await until('the update is completed', async () => (await inspect('db')).rollout?.state === 'completed');
  const after = await inspect('db');
  // docker writes the variables in an order of its own, another each time.
  assert.deepEqual([after.generation, (after.template['Env'] as string[]).toSorted()], [2, ['A=1', 'B=2']]);
  const spec = JSON.parse(await said('docker', 'service', 'inspect', '--format', '{{json .Spec}}', 'db')) as { TaskTemplate: { Placement: { Constraints: string[] } }; Mode: { Replicated: { Replicas: number } } };
  assert.deepEqual([spec.TaskTemplate.Placement.Constraints, spec.Mode.Replicated.Replicas], [['node.hostname!=nowhere'], 3]);
  await said('docker', 'service', 'rollback', 'db');
  await until('it is back', async () => (await inspect('db')).rollout?.state === 'rollback_completed');
  const refused = await ask('docker', 'service', 'create', '--name', 'mesh', '-p', '80:80', '--no-resolve-image', 'busybox', 'true');
  assert.match(refused.stderr, /there is no routing mesh: publish with mode=host/);
  await said('docker', 'service', 'rm', 'db', 'web');
  await until('nothing is left', async () => (await running('db')).length + (await running('web')).length === 0 && (await said('docker', 'service', 'ls', '-q')) === '');
});

test('an unhealthy replica is replaced, and an update whose replicas do not become healthy is taken back', options, async () => {
  const rules = ['--update-monitor', '1s', '--update-order', 'start-first', '--update-failure-action', 'rollback', '--restart-delay', '100ms', '--stop-grace-period', '1s'];
  await said('docker', 'service', 'create', '--name', 'asked', '--replicas', '2', ...rules, '--health-cmd', 'test ! -f /tmp/bad', '--health-interval', '300ms', '--health-retries', '2', '--no-resolve-image', 'busybox', 'sleep', '100000');
  await settled('asked', 2);
  const [victim = ''] = await running('asked');
  await said('docker', 'exec', victim, 'touch', '/tmp/bad');
  await until('another one has its place', async () => { const names = await running('asked'); return names.length === 2 && !names.includes(victim); });
  await settled('asked', 2);
  assert.match(await said('pouch', 'service', 'ps', 'asked'), / shutdown +failed .*its health check failed/);
  const kept = await running('asked');
  await said('docker', 'service', 'update', '--detach', '--health-cmd', 'false', '--no-resolve-image', 'asked');
  await until('it is taken back', async () => (await inspect('asked')).rollout?.state === 'rollback_completed');
  assert.deepEqual(await running('asked'), kept, 'the old ones went on meanwhile');
  assert.deepEqual(JSON.parse(await said('docker', 'service', 'inspect', '--format', '{{json .Spec.TaskTemplate.ContainerSpec.Healthcheck}}', 'asked')), { Test: ['CMD-SHELL', 'test ! -f /tmp/bad'], Interval: 300_000_000, Retries: 2 });
  await said('docker', 'service', 'rm', 'asked');
  await until('nothing is left', async () => (await running('asked')).length === 0);
});
