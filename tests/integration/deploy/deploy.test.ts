// The files of a permanent installation, each checked by the program that reads it.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { resolveCluster } from '../../../scripts/cluster/options.ts';
import { locateProgram } from '../../../scripts/cluster/programs.ts';
import { projectDir, repositoryDir } from '../../../scripts/config.ts';
import { locateNatsServer } from '../../../scripts/nats-server.ts';
import { unitText } from '../../../scripts/systemd-unit.ts';

const run = promisify(execFile);
const deploy = join(repositoryDir, 'deploy');

test('docker-compose.yml passes docker-compose\'s own check', async (t) => {
  const program = await locateProgram('docker-compose');
  if (program === undefined) return t.skip('docker-compose is not installed');
  const { stdout } = await run(program, ['-f', join(repositoryDir, 'docker-compose.yml'), 'config', '--services'], { cwd: repositoryDir });
  assert.deepEqual(stdout.trim().split('\n').sort(), ['api-1', 'api-2', 'found', 'host', 'nats-1', 'nats-2', 'nats-3', 'scheduler-1', 'scheduler-2']);
});

test('what docker-compose.yml runs first makes three servers of one cluster, and gives the host what a host has; a second time it changes nothing', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'pouch-test-found-'));
  const [cluster, host] = [join(directory, 'cluster'), join(directory, 'host')];
  const found = (): Promise<unknown> => run(join(deploy, 'docker', 'found.sh'), [cluster, host], { env: { PATH: process.env['PATH'] ?? '', NODE_COMPILE_CACHE: join(projectDir, 'compile-cache') } });
  const texts = async (): Promise<string[]> => await Promise.all(['nats-1', 'nats-2', 'nats-3'].flatMap((name) => ['authority.json', 'secrets.key', 'nats.conf', 'member/nats-cert.pem', 'member/api.creds'].map(async (file) => await readFile(join(cluster, name, file), 'utf8'))));
  try {
    await found();
    const made = await texts();
    const { path } = await locateNatsServer();
    for (const name of ['nats-1', 'nats-2', 'nats-3']) {
      const { stdout, stderr } = await run(path, ['-t', '-c', join(cluster, name, 'nats.conf')]);
      assert.match(stdout + stderr, /is valid/);
    }
    assert.equal(new Set([made[0], made[5], made[10]]).size, 1, 'one authority');
    assert.deepEqual((await readdir(host)).sort(), ['agent.creds', 'ca.pem', 'secrets.key']);
    await found();
    assert.deepEqual(await texts(), made);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

test('the unit of a machine that has joined is understood by systemd', async (t) => {
  const program = await locateProgram('systemd-analyze');
  if (program === undefined) return t.skip('systemd-analyze is not installed');
  const directory = await mkdtemp(join(tmpdir(), 'pouch-test-unit-'));
  try {
    const file = join(directory, 'pouch-machine.service');
    await writeFile(file, unitText(resolveCluster({}), { node: process.execPath, repository: repositoryDir }));
    const { stderr } = await run(program, ['verify', file], { env: { PATH: process.env['PATH'] ?? '', SYSTEMD_LOG_LEVEL: 'warning', XDG_RUNTIME_DIR: directory } })
      .catch((error: { stderr?: string }) => ({ stderr: error.stderr ?? String(error) }));
    assert.deepEqual(stderr.split('\n').filter((line) => line.includes('pouch-machine')), []);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

test('containerd takes its configuration', async (t) => {
  const program = await locateProgram('containerd');
  if (program === undefined) return t.skip('containerd is not installed');
  const { stdout } = await run(program, ['--config', join(deploy, 'containerd.toml'), 'config', 'dump'], { maxBuffer: 4 << 20 });
  assert.match(stdout, /address = ["']\/run\/pouch\/containerd\/containerd\.sock["']/);
});

test('systemd understands every unit', async (t) => {
  const program = await locateProgram('systemd-analyze');
  if (program === undefined) return t.skip('systemd-analyze is not installed');
  const directory = await mkdtemp(join(tmpdir(), 'pouch-test-units-'));
  try {
    const units = (await readdir(join(deploy, 'systemd'))).filter((name) => /\.(service|target)$/.test(name)).map((name) => join(deploy, 'systemd', name));
    assert.equal(units.length, 6);
    const { stderr } = await run(program, ['verify', ...units], { env: { PATH: process.env['PATH'] ?? '', SYSTEMD_LOG_LEVEL: 'warning', XDG_RUNTIME_DIR: directory } })
      .catch((error: { stderr?: string }) => ({ stderr: error.stderr ?? String(error) }));
    // The programs are not in /opt/pouch here, and the machine's own units are not ours to judge.
    const ours = stderr.split('\n').filter((line) => line.includes('pouch') && !/not executable|No such file or directory|bus|Failed to (create|load) .*\/run/.test(line));
    assert.deepEqual(ours, []);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
