// Health checks by the docker CLI: what is asked of a container is shown in its status, found by the filter and told as events; probes end in time and
// leave nothing, also when the agent is killed.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startTestCluster, type TestCluster } from '../../fixtures/cluster.ts';
import { busyboxImage, dockerArchive } from '../../fixtures/images.ts';
import { Clients, eventually, unavailable } from './clients.ts';
import { machines, runtimes } from './runtimes.ts';

const skip = unavailable('docker');
let cluster: TestCluster;
let on: Clients;

before(async () => { if (skip === false) cluster = await startTestCluster({ machines }); });
after(async () => { await cluster?.stop(); });

type Health = { readonly Status: string; readonly FailingStreak: number; readonly Log: readonly { readonly Start: string; readonly End: string; readonly ExitCode: number; readonly Output: string }[] };

/** A container in the background with a health check. */
async function checked(name: string, command: string, ...flags: readonly string[]): Promise<void> {
  await on.d('run', '-d', '--name', name, '--network', 'none', '--health-cmd', command, ...flags, 'busybox', 'sleep', '900');
}

const healthOf = async (name: string): Promise<Health> => JSON.parse(await on.inspect(name, '{{json .State.Health}}')) as Health;
const untilHealth = (name: string, status: string): Promise<void> => eventually(`${name} is ${status}`, async () => (await healthOf(name)).Status === status);
/** Of the container's processes, how many have a command line with this in it. */
const processes = async (name: string, text: string): Promise<number> => (await on.d('top', name, '-eo', 'pid,args')).split('\n').filter((line) => line.includes(text)).length;
const statusOf = async (name: string): Promise<string> => await on.d('ps', '-a', '-f', `name=^${name}$`, '--format', '{{.Status}}');

for (const runtime of runtimes) describe(`by ${runtime.name}`, { skip: skip || runtime.skip, timeout: 300_000 }, () => {
  before(() => { on = new Clients(cluster, runtime.name); });
  after(async () => {
    await on.close();
    await on.removeAll();
  });

  test('a container that is asked becomes unhealthy and healthy, as ps, pouch ps, inspect, the filter and the events have it', async () => {
    await checked('later', 'true', '--health-interval', '1h');
    await checked('asked', 'test -f /tmp/ok || { echo no file; exit 3; }', '--health-interval', '500ms', '--health-retries', '2');
    assert.match(await statusOf('later'), /^Up .* \(health: starting\)$/);
    assert.deepEqual(await healthOf('later'), { Status: 'starting', FailingStreak: 0, Log: [] });
    await untilHealth('asked', 'unhealthy');
    assert.match(await statusOf('asked'), /^Up .* \(unhealthy\)$/);
    const { FailingStreak: streak, Log: log } = await healthOf('asked');
    assert.ok(streak >= 2);
    assert.deepEqual([log[0]?.ExitCode, log[0]?.Output], [3, 'no file\n']);
    await on.d('exec', 'asked', 'touch', '/tmp/ok');
    await untilHealth('asked', 'healthy');
    assert.match(await statusOf('asked'), /^Up .* \(healthy\)$/);
    assert.match(await on.p('ps', '-f', 'name=asked', '--format', '{{.Status}}'), /\(healthy\)/);
    assert.equal(await on.d('ps', '-f', 'health=healthy', '--format', '{{.Names}}'), 'asked');
    assert.equal(await on.d('ps', '-f', 'health=starting', '--format', '{{.Names}}'), 'later');
    const told = await on.d('events', '--since', '1', '--until', String(Math.ceil(Date.now() / 1_000) + 1), '-f', `container=${await on.inspect('asked', '{{.Id}}')}`, '-f', 'event=health_status', '--format', '{{.Action}}');
    assert.deepEqual(told.split('\n'), ['health_status: unhealthy', 'health_status: healthy']);
    assert.equal(await on.d('ps', '-a', '--format', '{{.Names}}', '-f', 'health=none'), '');
    await on.d('kill', 'asked');
    await on.untilStatus('asked', 'exited');
    assert.doesNotMatch(await statusOf('asked'), /healthy/);
    await on.d('start', 'asked');
    assert.match(await statusOf('asked'), /\(health: starting\)|\(healthy\)/);
    await untilHealth('asked', 'healthy');
    await on.d('rm', '-f', 'asked', 'later');
  });

  test('a probe that takes too long is ended with all that it has started', async () => {
    await checked('slow', 'echo so far; sleep 777 & sleep 777', '--health-interval', '1s', '--health-timeout', '1s', '--health-retries', '1');
    await untilHealth('slow', 'unhealthy');
    const [first] = (await healthOf('slow')).Log;
    assert.equal(first?.ExitCode, -1);
    assert.match(first?.Output ?? '', /^Health check exceeded timeout \(1000 ms\): so far/);
    await eventually('three probes were run', async () => (await healthOf('slow')).FailingStreak >= 3);
    assert.ok(await processes('slow', 'sleep 777') <= 3, 'no more than of one probe');
    await eventually('nothing of them is left', async () => await processes('slow', 'sleep 777') === 0);
    await on.d('rm', '-f', 'slow');
  });

  test('a program that is not there is told of, and makes it unhealthy', async () => {
    const { text } = await on.http('POST', '/v1.43/containers/create?name=none', { body: { Image: 'busybox', Cmd: ['sleep', '900'], Healthcheck: { Test: ['CMD', '/no/such/program'], Interval: 300_000_000, Retries: 1 }, HostConfig: { NetworkMode: 'none', Runtime: runtime.name } } });
    assert.match(text, /"Id"/);
    await on.d('start', 'none');
    await untilHealth('none', 'unhealthy');
    const [first] = (await healthOf('none')).Log;
    assert.equal(first?.ExitCode, -1);
    assert.match(first?.Output ?? '', /no such file|not found/);
    await on.d('rm', '-f', 'none');
  });

  test('the image’s health check is had, changed member by member, and left out by --no-healthcheck', async () => {
    const archive = await dockerArchive([await busyboxImage({ reference: 'docker.io/library/asking:1', config: { Healthcheck: { Test: ['CMD', 'test', '-d', '/bin'], Interval: 300_000_000, Retries: 7 } } })]);
    assert.equal((await on.tryDocker(['load', '-q'], archive)).code, 0);
    assert.equal(await on.d('image', 'inspect', '-f', '{{json .Config.Healthcheck.Test}}', 'asking:1'), '["CMD","test","-d","/bin"]');
    await on.d('run', '-d', '--name', 'inherited', '--network', 'none', '--health-timeout', '20s', 'asking:1', 'sleep', '900');
    await untilHealth('inherited', 'healthy');
    assert.deepEqual(JSON.parse(await on.inspect('inherited', '{{json .Config.Healthcheck}}')), { Test: ['CMD', 'test', '-d', '/bin'], Interval: 300_000_000, Timeout: 20_000_000_000, Retries: 7 });
    await on.d('run', '-d', '--name', 'silent', '--network', 'none', '--no-healthcheck', 'asking:1', 'sleep', '900');
    assert.equal(await on.inspect('silent', '{{json .State.Health}}'), 'null');
    await on.d('rm', '-f', 'inherited', 'silent');
  });

  test('--no-healthcheck, and a container that is paused', async () => {
    await on.d('run', '-d', '--name', 'unasked', '--network', 'none', '--no-healthcheck', 'busybox', 'sleep', '900');
    assert.equal(await on.inspect('unasked', '{{json .State.Health}} {{json .Config.Healthcheck.Test}}'), 'null ["NONE"]');
    await checked('still', 'echo x >> /tmp/asked', '--health-interval', '200ms');
    await untilHealth('still', 'healthy');
    await on.d('pause', 'still');
    assert.match(await statusOf('still'), /\(Paused\)$/);
    const { Log: before } = await healthOf('still');
    await on.d('exec', 'unasked', 'sleep', '2');
    assert.deepEqual((await healthOf('still')).Log, before, 'it is asked nothing meanwhile');
    await on.d('unpause', 'still');
    await eventually('it is asked again', async () => JSON.stringify((await healthOf('still')).Log) !== JSON.stringify(before));
    assert.equal((await healthOf('still')).Status, 'healthy');
    await on.d('rm', '-f', 'unasked', 'still');
  });

  test('an agent that is killed goes on where it was, and ends the probe that was under way', async () => {
    await checked('kept', 'test ! -f /tmp/bad', '--health-interval', '500ms', '--health-retries', '1');
    await checked('busy', 'echo x >> /tmp/begun; exec sleep 888', '--health-interval', '1s', '--health-timeout', '1h');
    const begun = async (): Promise<number> => (await on.tryDocker(['exec', 'busy', 'cat', '/tmp/begun'])).stdout.split('\n').filter((line) => line === 'x').length;
    await untilHealth('kept', 'healthy');
    await eventually('a probe is under way', async () => await begun() === 1 && await processes('busy', 'sleep 888') === 1);
    await cluster.signal('agent', 'SIGKILL');
    await cluster.healthy();
    await eventually('it is asked anew', async () => await begun() === 2);
    assert.equal(await processes('busy', 'sleep 888'), 1, 'the probe of before is gone');
    assert.match(await statusOf('kept'), /\(healthy\)$/);
    await on.d('exec', 'kept', 'touch', '/tmp/bad');
    await untilHealth('kept', 'unhealthy');
    await on.d('rm', '-f', 'kept', 'busy');
  });
});
