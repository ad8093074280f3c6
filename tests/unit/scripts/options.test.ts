// The options of a one-machine cluster, and the identity of processes.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { changesOf, onTop } from '../../../scripts/cluster/changes.ts';
import { containerdPaths, OptionError, parseClusterArguments, resolveCluster, type ClusterConfig, type ClusterOptions } from '../../../scripts/cluster/options.ts';
import { endByPidFile, endProcess, identify, isRunning, readPidFile, writePidFile } from '../../../scripts/cluster/process-identity.ts';

test('every gap has a default, and flags fill them', () => {
  const { options, flags } = parseClusterArguments(['--data', '/a', '--nats-port', '0', '--purge']);
  const config = resolveCluster(options);
  assert.equal(config.data, '/a');
  assert.equal(config.natsPort, 0);
  assert.equal(config.sync, 'always');
  assert.ok(flags.has('purge'));
});

test('what could not work is refused with the flag\'s name', () => {
  const refused = (args: string[], words: RegExp): void => {
    assert.throws(() => resolveCluster(parseClusterArguments(args).options), (error) => error instanceof OptionError && words.test(error.message));
  };
  refused(['--nats-port', 'many'], /--nats-port/);
  refused(['--sync', 'sometimes'], /--sync/);
  refused(['--bridge', 'a-name-that-is-too-long'], /--bridge/);
  for (const subnet of ['10.147.0.0', '10.147.0.0/33', '10.147/16', '10.147.0.0/16/1']) refused(['--subnet', subnet], /--subnet .*such as/);
  refused(['--run', `/${'r'.repeat(100)}`], /--run.*107/);
  refused(['--socket', `/${'s'.repeat(120)}`], /--socket/);
  refused(['--nonsense'], /nonsense/);
  refused(['--servers', '10.0.0.1,10.0.0.2'], /--address/);
  refused(['--address', '10.0.0.1:4722'], /without a port/);
  refused(['--address', '10.0.0.3', '--servers', '10.0.0.1,10.0.0.2'], /10\.0\.0\.3, too/);
});

test('what is asked for otherwise than it runs is told by its flag, and what is not asked for stays', () => {
  const options = { natsPort: 0, logLevel: 'debug', natsCluster: { address: '10.0.0.1', servers: ['10.0.0.1'] } };
  const running: ClusterConfig = { ...resolveCluster(options), natsPort: 4_999, hostId: 'host-1', processes: ['nats'] };
  const changes = (asked: ClusterOptions): object => changesOf(running, asked, resolveCluster(asked));
  for (const same of [{}, options, { natsPort: 4_999 }, { hostId: 'host-1', natsCluster: { servers: ['10.0.0.1'], address: '10.0.0.1' } }]) assert.deepEqual(changes(same), { anew: [], fixed: [] });
  assert.deepEqual(changes({ tcp: '127.0.0.1:1', natsPort: 1, logLevel: 'info', hostId: 'b', subnet: '10.0.0.0/8' }), { anew: ['--tcp', '--nats-port', '--log-level'], fixed: ['--subnet', '--host-id'] });
  const together = resolveCluster(onTop(running, { tcp: '127.0.0.1:1', sync: undefined }));
  assert.deepEqual(together, { ...running, tcp: '127.0.0.1:1' });
});

test('a machine with an address is the only server where no others are named', () => {
  assert.deepEqual(parseClusterArguments(['--address', '10.0.0.1']).options.natsCluster, { address: '10.0.0.1', servers: ['10.0.0.1'] });
  assert.deepEqual(parseClusterArguments(['--address', '10.0.0.1', '--servers', '10.0.0.2, 10.0.0.1']).options.natsCluster, { address: '10.0.0.1', servers: ['10.0.0.2', '10.0.0.1'] });
});

test('containerd\'s sockets stand below the run directory', () => {
  assert.ok(Object.values(containerdPaths({ data: '/d', run: '/r' })).every((path) => path.startsWith('/d/') || path.startsWith('/r/')));
});

test('a pid counts only together with its start time', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'pouch-test-pid-'));
  const child = spawn('sleep', ['600'], { stdio: 'ignore' });
  try {
    assert.ok(child.pid !== undefined);
    const identity = identify(child.pid);
    assert.ok(identity !== undefined && isRunning(identity));
    const file = join(directory, 'pid');
    await writePidFile(file, identity);
    assert.deepEqual(await readPidFile(file), identity);

    // A pid file of an earlier process with the same pid names nobody, and nobody is ended for it.
    await writePidFile(file, { ...identity, startTicks: '1' });
    assert.equal(await readPidFile(file), undefined);
    await endByPidFile(file, 1_000);
    assert.ok(isRunning(identity));
    await writePidFile(file, { ...identity, bootId: 'another boot' });
    assert.equal(await readPidFile(file), undefined);

    await writeFile(file, '{"pid":');
    assert.equal(await readPidFile(file), undefined);

    const exited = once(child, 'exit');
    assert.ok(await endProcess(identity, 30_000));
    await exited;
    assert.ok(!isRunning(identity));
  } finally {
    child.kill('SIGKILL');
    await rm(directory, { recursive: true, force: true });
  }
});

test('one that ignores SIGTERM is killed', async () => {
  const child = spawn('sh', ['-c', 'trap "" TERM; echo ready; while :; do sleep 0.1; done'], { stdio: ['ignore', 'pipe', 'ignore'] });
  try {
    await once(child.stdout, 'data');
    const identity = child.pid === undefined ? undefined : identify(child.pid);
    assert.ok(identity !== undefined);
    assert.ok(await endProcess(identity, 200));
  } finally {
    child.kill('SIGKILL');
  }
});
