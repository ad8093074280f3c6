// A cluster of two hosts, one of which falls silent: what may be moved goes on elsewhere under its name and id of its own, the rest waits; what
// is asked of the lost host is answered at once; and when it is back, what was replaced goes. Real containers, a second agent with its own containerd.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
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
  await docker('load', '-q', '-i', second.imageFile);
  await until('the second host is up', async () => /^second up /m.test(await pouch('cluster', 'hosts', '--format', '{{.ID}} {{.State}} {{.Labels}}')));
});
after(async () => {
  if (skip !== false) return;
  await clients.close();
  await second?.stop();
  await cluster.stop();
});

async function ask(program: 'docker' | 'pouch', args: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const running = program === 'docker' ? clients.docker(...args) : clients.pouch(...args);
  running.child.stdin?.end();
  return await running.ended;
}
async function said(program: 'docker' | 'pouch', args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await ask(program, args);
  assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
  return stdout.trim();
}
const docker = async (...args: readonly string[]): Promise<string> => await said('docker', args);
const pouch = async (...args: readonly string[]): Promise<string> => await said('pouch', args);

async function until(what: string, look: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 120_000;
  while (!(await look())) {
    if (Date.now() > deadline) throw new assert.AssertionError({ message: `never: ${what}` });
    await delay(200);
  }
}
const run = async (name: string, ...flags: readonly string[]): Promise<string> => await docker('run', '-d', '--network', 'none', '--name', name, ...flags, 'busybox', 'sleep', '100000');
const node = async (name: string): Promise<string> => await docker('inspect', '-f', '{{.Node.Name}} {{.State.Status}}', name).catch(() => '');

test('containers go where they say, and say why; what no host can have is refused with a reason for each host', options, async () => {
  await pouch('cluster', 'hosts', 'label', 'test-host', 'rack=r1');
  for (const [rack, host] of [['r1', 'test-host'], ['r2', 'second']] as const) {
    await run(`at-${rack}`, '-e', `constraint:rack==${rack}`, '-e', 'KEPT=1');
    assert.equal(await node(`at-${rack}`), `${host} running`);
    assert.doesNotMatch(await docker('exec', `at-${rack}`, 'env'), /constraint/);
  }
  await run('beside', '-e', 'affinity:container==at-r2');
  assert.equal(await node('beside'), 'second running');
  await run('apart', '-e', 'affinity:container!=at-r2');
  assert.equal(await node('apart'), 'test-host running');
  const verdicts = JSON.parse(await docker('inspect', '-f', '{{json .Placement.Candidates}}', 'apart')) as { HostId: string; Verdict: string; Reason: string }[];
  assert.equal(verdicts.find(({ HostId }) => HostId === 'test-host')?.Verdict, 'chosen');
  assert.match(verdicts.find(({ HostId }) => HostId === 'second')?.Reason ?? '', /container!=at-r2 is asked for, and it has such container/);
  const refused = await ask('docker', ['run', '--network', 'none', '-e', 'constraint:rack==r9', 'busybox', 'true']);
  for (const [host, rack] of [['second', 'r2'], ['test-host', 'r1']] as const) assert.match(refused.stderr, new RegExp(`${host}: constraint: rack==r9 is asked for, and its rack is "${rack}"`));
  await docker('rm', '-f', 'at-r1', 'at-r2', 'beside', 'apart');
});

test('a host falls silent: one successor elsewhere, answers at once, and on its return the replaced one goes', options, async () => {
  const old = await run('moved', '-e', 'constraint:rack==~r1', '--label', 'io.pouch.reschedule=on-host-loss', '--memory-reservation', '64m');
  await run('stays', '-e', 'constraint:rack==r1');
  assert.equal(await node('moved'), 'test-host running');
  await cluster.signal('agent', 'SIGSTOP');
  await until('the successor runs', async () => (await node('moved')) === 'second running');
  const { Id, Predecessor, HostConfig } = (JSON.parse(await docker('inspect', 'moved')) as [{ Id: string; Predecessor: string; HostConfig: { MemoryReservation: number } }])[0];
  assert.deepEqual([Id === old, Predecessor, HostConfig.MemoryReservation], [false, old, 64 * 2 ** 20]);
  const stopped = await ask('docker', ['stop', 'stays']);
  assert.match(stopped.stderr, /host test-host of container stays is lost since .*: stop is possible when it is back/);
  assert.match(await docker('ps', '--format', '{{.Names}} {{.Status}}'), /^stays Host Lost .* was: Up/m);
  assert.match(await docker('ps', '-a', '--format', '{{.ID}} {{.Status}}'), new RegExp(`^${old.slice(0, 12)} Dead \\(replaced`, 'm'));
  await cluster.signal('agent', 'SIGCONT');
  await until('the replaced one is gone', async () => !(await docker('ps', '-aq', '--no-trunc')).includes(old));
  // The agent clears up before the scheduler has heard enough of it to call the host back.
  await until('the host is up', async () => /^test-host up/m.test(await pouch('cluster', 'hosts', '--format', '{{.ID}} {{.State}}')));
  await docker('stop', '-t', '0', 'stays');
  await docker('start', 'stays');
  assert.equal(await node('stays'), 'test-host running');
  assert.equal(await node('moved'), 'second running');
});

test('a drain moves what may be moved, and tells what stays and why', options, async () => {
  const drained = await pouch('cluster', 'hosts', 'drain', 'second');
  assert.match(drained, /second is drained: 1 moved/);
  await until('what was moved runs', async () => (await node('moved')) === 'test-host running');
  const stays = await pouch('cluster', 'hosts', 'drain', 'test-host');
  assert.match(stays, /stays: container stays is not to be moved/);
  assert.match(stays, /moved: no host can take the container: second: cordon: the host is being drained/);
  await pouch('cluster', 'hosts', 'uncordon', 'second', 'test-host');
  await docker('rm', '-f', 'moved', 'stays');
});

test('a host that is gone for good is removed, by force with what is on it', options, async () => {
  const id = await run('doomed', '-e', 'constraint:node==second');
  await second.kill();
  await until('it is lost', async () => /^second lost/m.test(await pouch('cluster', 'hosts', '--format', '{{.ID}} {{.State}}')));
  assert.match((await ask('pouch', ['cluster', 'hosts', 'rm', 'second'])).stderr, /has 1 containers, which would be given up/);
  assert.equal(await pouch('cluster', 'hosts', 'rm', '--force', 'second'), 'second');
  await until('its container is given up', async () => !(await docker('ps', '-aq', '--no-trunc')).includes(id));
  assert.equal(await pouch('cluster', 'hosts', '--format', '{{.ID}}'), 'test-host');
});
