// The files of a permanent installation, each checked by the program that reads it.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { locateProgram } from '../../../scripts/cluster/programs.ts';
import { repositoryDir } from '../../../scripts/config.ts';
import { locateNatsServer } from '../../../scripts/nats-server.ts';

const run = promisify(execFile);
const deploy = join(repositoryDir, 'deploy');

test('docker-compose.yml passes docker-compose\'s own check', async (t) => {
  const program = await locateProgram('docker-compose');
  if (program === undefined) return t.skip('docker-compose is not installed');
  const { stdout } = await run(program, ['-f', join(repositoryDir, 'docker-compose.yml'), 'config', '--services'], { cwd: repositoryDir });
  assert.deepEqual(stdout.trim().split('\n').sort(), ['agent', 'api', 'nats', 'scheduler']);
});

test('nats-server takes its configuration', async () => {
  const { path } = await locateNatsServer();
  // It makes the store's directory only when it runs; the check reads the file alone.
  const { stdout, stderr } = await run(path, ['-t', '-c', join(deploy, 'nats.conf')], { env: { POUCH_NATS_NAME: 'test', POUCH_NATS_LISTEN: '127.0.0.1:4722', POUCH_SYNC: 'always' } });
  assert.match(stdout + stderr, /is valid/);
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
