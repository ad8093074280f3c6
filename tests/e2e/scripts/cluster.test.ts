// A cluster's life: supervised, adopted after its supervisor died, stopped with its containers, purged without a trace.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, readFile, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { callApi } from '../../../scripts/cluster/api-client.ts';
import { startCluster, stopCluster } from '../../../scripts/cluster/cluster.ts';
import { supervisorStatus } from '../../../scripts/cluster/health.ts';
import { identify, isRunning } from '../../../scripts/cluster/process-identity.ts';
import { startOrder } from '../../../scripts/cluster/options.ts';
import { clusterUnavailable, startTestCluster, type TestCluster } from '../../fixtures/cluster.ts';
import { until } from '../../fixtures/native.ts';
import { freePort } from '../../fixtures/nats.ts';

const skip = clusterUnavailable() ?? false;
const silent = (): void => undefined;
let cluster: TestCluster;

before(async () => { if (skip === false) cluster = await startTestCluster(); });
after(async () => { if (skip === false) await cluster.stop(); });

async function post(path: string, body?: object): Promise<Record<string, unknown>> {
  const { status, text } = await callApi(cluster.socket, {
    method: 'POST', path, timeoutMs: 60_000,
    ...(body === undefined ? {} : { body: Readable.from([JSON.stringify(body)]), contentType: 'application/json' }),
  });
  assert.ok(status >= 200 && status < 300, `POST ${path}: ${status} ${text}`);
  return text === '' ? {} : JSON.parse(text) as Record<string, unknown>;
}

type State = { Running: boolean; Pid: number; ExitCode: number; Status: string };

async function stateOf(id: string): Promise<State> {
  const { status, text } = await callApi(cluster.socket, { path: `/containers/${id}/json`, timeoutMs: 60_000 });
  assert.equal(status, 200, text);
  return (JSON.parse(text) as { State: State }).State;
}

async function runContainer(name: string, restart: string): Promise<string> {
  const { Id } = await post(`/containers/create?name=${name}`, {
    Image: 'busybox', Cmd: ['sh', '-c', 'trap "exit 7" TERM; while :; do sleep 0.1; done'], HostConfig: { NetworkMode: 'none', RestartPolicy: { Name: restart } },
  });
  await post(`/containers/${String(Id)}/start`);
  return String(Id);
}

test('each process that is killed is started again, and the containers go on', { skip }, async () => {
  const id = await runContainer('survivor', 'no');
  const before = await stateOf(id);
  assert.ok(before.Running);
  for (const name of startOrder) {
    const killed = await cluster.pid(name);
    await cluster.signal(name, 'SIGKILL');
    await until(`${name} is started again`, async () => {
      const now = await cluster.pid(name);
      return now !== undefined && now !== killed ? now : undefined;
    });
    await cluster.healthy();
  }
  const now = await stateOf(id);
  assert.deepEqual([now.Running, now.Pid], [true, before.Pid]);
});

test('after kill -9 of the supervisor the next start takes over, and the containers go on', { skip }, async () => {
  const id = await runContainer('orphaned', 'no');
  const before = await stateOf(id);
  const supervisor = await supervisorStatus(cluster.config);
  assert.ok(supervisor !== undefined);
  const left = Object.values(supervisor.processes).map((each) => each.pid === null ? undefined : identify(each.pid));
  process.kill(supervisor.pid, 'SIGKILL');
  await until('the supervisor is gone', () => identify(supervisor.pid) === undefined || undefined);

  await startCluster(cluster.options, silent);
  const successor = await supervisorStatus(cluster.config);
  assert.notEqual(successor?.pid, supervisor.pid);
  for (const identity of left) assert.ok(identity === undefined || !isRunning(identity), 'nothing of the old one runs beside the new one');
  const now = await stateOf(id);
  assert.deepEqual([now.Running, now.Pid], [true, before.Pid]);
});

test('a second start changes nothing', { skip }, async () => {
  const before = await supervisorStatus(cluster.config);
  await startCluster(cluster.options, silent);
  assert.deepEqual(await supervisorStatus(cluster.config), before);
});

test('a start with other options has the processes started anew with them, and the containers go on; what containers have of their host stays', { skip }, async () => {
  const id = await runContainer('unmoved', 'no');
  const before = await stateOf(id);
  const tcp = `127.0.0.1:${await freePort()}`;
  const said: string[] = [];
  await startCluster({ ...cluster.options, tcp }, (line) => said.push(line));
  assert.match(said.join('\n'), /for another --tcp; containers go on/);
  assert.equal((await fetch(`http://${tcp}/_ping`)).status, 200);
  const now = await stateOf(id);
  assert.deepEqual([now.Running, now.Pid], [true, before.Pid]);
  // Not given is no change.
  const supervisor = await supervisorStatus(cluster.config);
  await startCluster(cluster.options, silent);
  assert.deepEqual(await supervisorStatus(cluster.config), supervisor);
  await assert.rejects(startCluster({ ...cluster.options, subnet: '10.1.2.0/24', bridge: 'other0' }, silent), /another --bridge, --subnet.*npm run down/);
  assert.deepEqual(await supervisorStatus(cluster.config), supervisor);
});

test('down stops containers by their stop signal, and up brings back those whose policy says so', { skip }, async () => {
  const [once, always] = [await runContainer('once', 'no'), await runContainer('always', 'always')];
  const init = identify((await stateOf(once)).Pid);
  assert.ok(init !== undefined);
  await stopCluster(cluster.options, {}, silent);
  assert.ok(!isRunning(init));
  assert.equal(await supervisorStatus(cluster.config), undefined);

  await startCluster(cluster.options, silent);
  await until('the one with a policy runs again', async () => (await stateOf(always)).Running || undefined);
  const state = await stateOf(once);
  assert.deepEqual([state.Running, state.ExitCode], [false, 7]);
});

test('purge leaves no process, mount, interface, rule, control group or file', { skip }, async () => {
  await runContainer('left-running', 'always');
  await stopCluster(cluster.options, { purge: true }, silent);
  for (const path of [cluster.config.data, cluster.config.run, cluster.config.logs, cluster.socket]) await assert.rejects(stat(path), `${path} is gone`);
  assert.ok(!(await readFile('/proc/self/mountinfo', 'utf8')).includes(cluster.directory), 'no mounts');
  for (const entry of (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
    const command = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '');
    assert.ok(!command.includes(cluster.directory), `process ${entry} is left: ${command.replaceAll('\0', ' ')}`);
  }
  await assert.rejects(stat(`/sys/class/net/${cluster.config.bridge}`));
  const rules = await promisify(execFile)('iptables-save').then(({ stdout }) => stdout, () => '');
  assert.ok(!rules.includes(cluster.config.bridge), 'no rules');
  const parent = cluster.config.env['POUCH_CGROUP_PARENT'] ?? '';
  for (const root of ['/sys/fs/cgroup', ...(await readdir('/sys/fs/cgroup')).map((name) => `/sys/fs/cgroup/${name}`)]) {
    await assert.rejects(stat(`${root}/${parent}`), `${root}/${parent} is gone`);
  }
});
