// The docker CLI on a cluster of its own: a container's life from create to removal, restart policies, wait, events, prune.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { startTestCluster, type TestCluster } from '../../fixtures/cluster.ts';
import { begin, Clients, eventually, succeeded, unavailable, untilPrinted } from './clients.ts';
import { machines, runtimes } from './runtimes.ts';

const skip = unavailable('docker');
/** Ends by SIGTERM at once; busybox's sleep as PID 1 would not. */
const polite = ['sh', '-c', 'trap "echo bye; exit 5" TERM; trap "echo hup" HUP; echo ready; while :; do sleep 0.1; done'];
type Bag = Readonly<Record<string, unknown>>;
type Shape = { Id: string; Name: string; Path: string; Args: string[]; Config: Bag; HostConfig: Bag; State: Bag; Image: string; NetworkSettings: { Networks: Bag }; SizeRootFs: number };
let cluster: TestCluster;
let on: Clients;

before(async () => { if (skip === false) cluster = await startTestCluster({ machines }); });
after(async () => { await cluster?.stop(); });

/** A container in the background that has printed "ready". */
async function ready(name: string, flags: readonly string[] = [], command: readonly string[] = polite): Promise<string> {
  const id = await on.d('run', '-d', '--name', name, '--network', 'none', ...flags, 'busybox', ...command);
  await eventually(`${name} is ready`, async () => (await on.tryDocker(['logs', name])).stdout.includes('ready'));
  return id;
}

const refusal = async (...args: string[]): Promise<string> => {
  const { code, stderr } = await on.tryDocker(args);
  assert.notEqual(code, 0, args.join(' '));
  return stderr.trim();
};

for (const runtime of runtimes) describe(`by ${runtime.name}`, { skip: skip || runtime.skip, timeout: 300_000 }, () => {
  before(() => { on = new Clients(cluster, runtime.name); });
  after(async () => {
    await on.close();
    await on.removeAll();
  });

  describe('the life of a container', { skip, concurrency: runtime.atOnce }, () => {
    test('stop sends the stop signal, then SIGKILL; start brings it back; states and times are those of each run', async () => {
      await ready('stopped');
      assert.equal(await on.d('stop', 'stopped'), 'stopped');
      assert.equal(await on.inspect('stopped', '{{.State.Status}} {{.State.Running}} {{.State.ExitCode}} {{.State.Pid}}'), 'exited false 5 0');
      assert.match(await on.d('ps', '-a', '-f', 'name=^stopped$', '-f', 'exited=5', '--format', '{{.Status}}'), /^Exited \(5\) /);
      assert.equal(await on.d('stop', 'stopped'), 'stopped', 'stopping it once more is no error');
      const first = await on.inspect('stopped', '{{.State.StartedAt}}');
      assert.equal(await on.d('start', 'stopped'), 'stopped');
      assert.equal(await on.d('start', 'stopped'), 'stopped');
      assert.notEqual(await on.inspect('stopped', '{{.State.StartedAt}}'), first);
      await on.d('rm', '-f', 'stopped');

      await ready('stubborn', [], ['sh', '-c', 'trap "" TERM; echo ready; while :; do sleep 0.1; done']);
      await on.d('stop', '-t', '1', 'stubborn');
      assert.equal(await on.inspect('stubborn', '{{.State.ExitCode}}'), '137');
    });

    test('--stop-signal and --stop-timeout hold', async () => {
      await ready('by-hup', ['--stop-signal', 'HUP', '--stop-timeout', '1']);
      await on.d('stop', 'by-hup');
      assert.match(await on.d('logs', 'by-hup'), /ready\nhup/);
      assert.match(await on.inspect('by-hup', '{{.State.ExitCode}} {{.Config.StopSignal}} {{.Config.StopTimeout}}'), /^137 (SIG)?HUP 1$/);
    });

    test('restart, kill with a signal, kill', async () => {
      await ready('again');
      const pid = await on.inspect('again', '{{.State.Pid}}');
      await on.d('restart', 'again');
      assert.notEqual(await on.inspect('again', '{{.State.Pid}}'), pid);
      await eventually('it has begun a second time', async () => (await on.d('logs', 'again')) === 'ready\nbye\nready');
      await on.d('kill', '-s', 'HUP', 'again');
      await eventually('the signal is there', async () => (await on.d('logs', 'again')).endsWith('hup'));
      await on.d('kill', 'again');
      await on.untilStatus('again', 'exited');
      assert.equal(await on.inspect('again', '{{.State.ExitCode}}'), '137');
      assert.match(await refusal('kill', 'again'), /Error response from daemon: .*[Cc]ontainer .* is not running/);
      assert.match(await refusal('kill', '-s', 'NOSUCH', 'again'), /[Ii]nvalid signal: NOSUCH/);
    });

    test('pause and unpause', async () => {
      await ready('frozen');
      await on.d('pause', 'frozen');
      assert.equal(await on.inspect('frozen', '{{.State.Status}} {{.State.Paused}}'), 'paused true');
      assert.match(await on.d('ps', '-f', 'status=paused', '--format', '{{.Names}} {{.Status}}'), /^frozen Up .*\(Paused\)$/);
      assert.match(await refusal('pause', 'frozen'), /is already paused/);
      assert.match(await refusal('exec', 'frozen', 'true'), /is paused/);
      await on.d('unpause', 'frozen');
      assert.match(await refusal('unpause', 'frozen'), /is not paused/);
      assert.equal(await on.d('exec', 'frozen', 'echo', 'thawed'), 'thawed');
      await on.d('pause', 'frozen');
      await on.d('stop', 'frozen');
      assert.equal(await on.inspect('frozen', '{{.State.ExitCode}}'), '5');
    });

    test('wait: until it is not running, for the next exit, until it is removed', async () => {
      const id = await ready('awaited');
      const waits = ['', '?condition=next-exit', '?condition=removed'].map(async (query) => await on.http('POST', `/containers/awaited/wait${query}`));
      const cli = on.docker('wait', 'awaited');
      await on.d('stop', 'awaited');
      assert.equal((await cli.ended).stdout, '5\n');
      assert.equal(await on.d('wait', 'awaited'), '5');
      assert.deepEqual(JSON.parse((await waits[0])?.text ?? ''), { StatusCode: 5 });
      assert.deepEqual(JSON.parse((await waits[1])?.text ?? ''), { StatusCode: 5 });
      await on.d('rm', id.slice(0, 12));
      assert.deepEqual(JSON.parse((await waits[2])?.text ?? ''), { StatusCode: 5 });
      assert.equal((await on.http('POST', '/containers/awaited/wait')).status, 404);
      assert.equal((await on.http('POST', '/containers/x/wait?condition=tired')).status, 404);
    });

    test('rm refuses a running one in Docker\'s words; -f does not; a name is free again, and rename gives another', async () => {
      const id = await ready('kept');
      assert.match(await refusal('rm', 'kept'), new RegExp(`^Error response from daemon: .*cannot remove.* container.*(${id}|kept)`));
      assert.match(await refusal('run', '--name', 'kept', 'busybox', 'true'), new RegExp(`Conflict\\. The container name "/kept" is already in use by container "${id}"\\. You have to remove \\(or rename\\) that container to be able to reuse that name\\.`));
      await on.d('rename', 'kept', 'renamed');
      assert.equal(await on.inspect(id, '{{.Name}}'), '/renamed');
      assert.match(await refusal('inspect', 'kept'), /No such object: kept/);
      assert.equal(await on.d('create', '--name', 'kept', 'busybox', 'true').then((created) => created.length), 64);
      assert.match(await refusal('rename', 'renamed', 'kept'), /already in use/);
      assert.equal(await on.d('rm', '-f', 'renamed'), 'renamed');
      assert.match(await refusal('rm', 'renamed'), /No such container: renamed/);
      await on.d('rename', 'kept', 'renamed');
      await on.d('rm', 'renamed');
    });

    test('restart policies: on-failure a number of times, always until it is stopped by hand', async () => {
      await on.d('run', '-d', '--name', 'thrice', '--network', 'none', '--restart', 'on-failure:2', 'busybox', 'sh', '-c', 'echo try; exit 3');
      await eventually('it has given up', async () => (await on.inspect('thrice', '{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}')) === 'exited 2 3');
      assert.equal(await on.d('logs', 'thrice'), 'try\ntry\ntry');

      await on.d('run', '-d', '--name', 'fine', '--network', 'none', '--restart', 'on-failure', 'busybox', 'true');
      await on.untilStatus('fine', 'exited');
      assert.equal(await on.inspect('fine', '{{.RestartCount}}'), '0');

      await on.d('run', '-d', '--name', 'always', '--network', 'none', '--restart', 'always', 'busybox', 'sh', '-c', 'echo up; sleep 0.1');
      await eventually('it has come back twice', async () => Number(await on.inspect('always', '{{.RestartCount}}')) >= 2);
      await on.d('stop', 'always');
      assert.match(await on.inspect('always', '{{.State.Status}}'), /exited/);
      const count = await on.inspect('always', '{{.RestartCount}}');
      await on.d('start', 'always');
      await eventually('it runs again', async () => (await on.inspect('always', '{{.RestartCount}}')) !== count || (await on.inspect('always', '{{.State.Running}}')) === 'true');
      await on.d('rm', '-f', 'always', 'thrice', 'fine');
    });

    test('inspect has the shape that Docker\'s clients read', async () => {
      const id = await ready('shaped', ['-e', 'A=1', '-l', 'k=v', '-m', '128m', '--hostname', 'inside']);
      const [shape] = JSON.parse(await on.d('inspect', '-s', 'shaped')) as [Shape];
      const { Id, Name, Path, Args, Config, HostConfig, State, Image, NetworkSettings, SizeRootFs } = shape;
      assert.deepEqual([Id, Name, Path, Args], [id, '/shaped', 'sh', polite.slice(1)]);
      assert.match(Image, /^sha256:[0-9a-f]{64}$/);
      assert.deepEqual([Config['Image'], Config['Hostname'], Config['Labels'], Config['Tty'], Config['OpenStdin']], ['busybox', 'inside', { k: 'v' }, false, false]);
      assert.ok((Config['Env'] as string[]).includes('A=1') && (Config['Env'] as string[]).some((line) => line.startsWith('PATH=')));
      assert.deepEqual([HostConfig['Memory'], HostConfig['NetworkMode'], HostConfig['Runtime'], HostConfig['AutoRemove'], HostConfig['RestartPolicy']], [128 << 20, 'none', runtime.name, false, { Name: 'no', MaximumRetryCount: 0 }]);
      assert.deepEqual([State['Running'], State['ExitCode'], State['OOMKilled'], State['FinishedAt']], [true, 0, false, '0001-01-01T00:00:00Z']);
      assert.ok(Number(State['Pid']) > 0);
      assert.deepEqual(Object.keys(NetworkSettings.Networks), ['none']);
      assert.ok(Number(SizeRootFs) > 1_000_000);
      await on.d('rm', '-f', 'shaped');
    });

    test('a container that takes more memory than it may is killed, and that is told', async () => {
      await on.d('run', '-d', '--name', 'greedy', '--network', 'none', '-m', runtime.leastMemory, '--memory-swap', runtime.leastMemory, 'busybox', 'tail', '/dev/zero');
      await on.untilStatus('greedy', 'exited');
      assert.equal(await on.inspect('greedy', '{{.State.OOMKilled}} {{.State.ExitCode}}'), 'true 137');
    });
  });

  test('docker-compose: up, ps, logs, down', { skip: skip || unavailable('docker-compose') }, async () => {
    const file = join(on.cluster.directory, 'compose.yml');
    await writeFile(file, [
      'version: "2.4"', 'services:',
      '  stays:', '    image: busybox', `    runtime: ${runtime.name}`, '    command: sh -c "echo composed $$A; exec sleep 1000"', '    network_mode: none', '    environment: {A: b}', '    stop_grace_period: 0s',
      '  ends:', '    image: busybox', `    runtime: ${runtime.name}`, '    command: echo ended', '    network_mode: bridge', '    depends_on: [stays]', '',
    ].join('\n'));
    const compose = async (...args: string[]): Promise<string> => {
      const running = on.keep(begin('docker-compose', ['-H', `unix://${on.cluster.socket}`, '-p', 'composed', '-f', file, ...args], { COMPOSE_ANSI: 'never' }));
      running.child.stdin?.end();
      return succeeded(`docker-compose ${args.join(' ')}`, await running.ended);
    };
    await compose('up', '-d');
    assert.equal(await on.d('ps', '-a', '-f', 'label=com.docker.compose.project=composed', '--format', '{{.Names}}').then((names) => names.split('\n').length), 2);
    await eventually('both have written', async () => /composed b[^]*ended|ended[^]*composed b/.test(await compose('logs', '--no-color')));
    assert.match(await compose('ps'), /stays[^\n]* Up /);
    await compose('down', '-t', '0');
    assert.equal(await on.d('ps', '-aq', '-f', 'label=com.docker.compose.project=composed'), '');
  });

  describe('events and prune', { skip }, () => {
    test('events: live, and from the past, in the order of a life', async () => {
      const since = String(Math.floor(Date.now() / 1_000) - 1);
      const live = on.docker('events', '--filter', 'container=told', '--format', '{{.Action}}');
      const quick = on.docker('events', '--filter', 'type=container', '--filter', 'event=destroy', '--format', '{{.Actor.Attributes.name}} {{.Actor.Attributes.part}}');
      await eventually('the stream is open', async () => {
        if (live.stdout() !== '') return true;
        await on.d('run', '--rm', '--name', 'told', '--network', 'none', '-l', 'part=two', 'busybox', 'true');
        return live.stdout().includes('destroy');
      });
      await untilPrinted(quick, 'told two');
      live.child.kill();
      const past = await on.d('events', '--since', since, '--until', String(Math.ceil(Date.now() / 1_000) + 1), '--filter', 'container=told', '--format', '{{.Type}} {{.Action}} {{.Actor.Attributes.image}}');
      const life = past.split('\n').map((line) => line.replace(/^container /, '').replace(/ busybox$/, '')).filter((action) => ['create', 'start', 'die', 'destroy'].includes(action));
      assert.deepEqual(life.slice(-4), ['create', 'start', 'die', 'destroy']);
      const [event] = (await on.d('events', '--since', since, '--until', '0s', '--filter', 'event=die', '--filter', 'container=told', '--format', '{{json .}}')).split('\n').map((line) => JSON.parse(line) as { Actor: { Attributes: Record<string, string> }; scope: string; time: number; timeNano: number });
      assert.deepEqual([event?.Actor.Attributes['exitCode'], event?.scope, event?.time], ['0', 'local', Math.floor((event?.timeNano ?? 0) / 1e9)]);
    });

    test('container prune removes what does not run, and says what', async () => {
      await on.d('run', '--name', 'done-1', '--network', 'none', 'busybox', 'true');
      await on.d('create', '--name', 'done-2', '--network', 'none', '-l', 'keep', 'busybox', 'true');
      const running = await ready('lives-on');
      const report = await on.d('container', 'prune', '-f', '--filter', 'label!=keep');
      assert.match(report, /Deleted Containers:\n[0-9a-f]{64}/);
      const left = await on.d('ps', '-a', '--format', '{{.Names}}');
      assert.ok(left.includes('done-2') && left.includes('lives-on') && !left.includes('done-1'), left);
      await on.d('container', 'prune', '-f');
      assert.equal(await on.d('ps', '-aq', '-f', 'name=done-2'), '');
      assert.equal(await on.d('ps', '-q', '--no-trunc', '-f', 'name=lives-on'), running);
    });
  });
});
