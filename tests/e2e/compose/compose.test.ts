// docker-compose.yml for real, where a Docker Engine runs: two apis show one cluster, containers run, and one NATS server may go. It publishes ports and uses
// /run/pouch, so it never runs beside another cluster; what it makes has a project name of its own and goes with it.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { repositoryDir } from '../../../scripts/config.ts';
import { busyboxImage, busyboxMissing, dockerArchive } from '../../fixtures/images.ts';
import { eventually } from '../faults/client.ts';

const image = 'pouch:local';
const run = promisify(execFile);
const answers = (program: string, ...args: readonly string[]): boolean => spawnSync(program, args, { stdio: 'ignore', timeout: 10_000 }).status === 0;

function missing(): string | false {
  if (!answers('docker', 'info')) return 'no Docker Engine runs here (DOCKER_HOST names another one)';
  if (!answers('docker-compose', '--version')) return 'not installed: docker-compose';
  if (existsSync('/run/pouch')) return 'a cluster of Pouch runs here, or has run: /run/pouch is there (`npm run down -- --purge` removes it)';
  // Minutes, and a registry: not for a test to do unasked.
  if (!answers('docker', 'image', 'inspect', image)) return `the image ${image} is not built: \`docker-compose build\` does it`;
  if (!answers('docker', 'run', '--rm', '--privileged', image, 'true')) return 'the Docker Engine here runs no privileged containers, and the host is one';
  return busyboxMissing();
}

const skip = missing();
const project = `pouch-test-${process.pid}`;
const compose = async (...args: readonly string[]): Promise<string> => (await run('docker-compose', ['-p', project, '-f', join(repositoryDir, 'docker-compose.yml'), ...args], { maxBuffer: 16 << 20 })).stdout;
const sockets = ['/run/pouch/pouchd.sock', '/run/pouch/pouchd-2.sock'] as const;
const docker = async (socket: string, ...args: readonly string[]): Promise<string> => (await run('docker', ['-H', `unix://${socket}`, ...args], { timeout: 60_000 })).stdout.trim();
let directory: string;

before(async () => {
  if (skip !== false) return;
  directory = await mkdtemp(join(tmpdir(), 'pouch-test-compose-'));
  await compose('up', '-d', '--no-build');
});
after(async () => {
  if (skip !== false) return;
  await compose('down', '-v', '--remove-orphans', '-t', '20');
  await rm(directory, { recursive: true, force: true });
  await rm('/run/pouch', { recursive: true, force: true });
});

test('three NATS servers, two apis, two schedulers and a host are one cluster that runs containers, also with one server less', { skip, timeout: 340_000 }, async (t) => {
  try {
    for (const socket of sockets) {
      await eventually(`the host is seen by ${socket}`, async () => /host machine-1|machine-1/.test(await docker(socket, 'node', 'ls').catch(() => '')) || undefined, { withinMs: 120_000 });
    }
    const archive = join(directory, 'busybox.tar');
    await writeFile(archive, await dockerArchive([await busyboxImage()]));
    await docker(sockets[0], 'load', '-i', archive);
    assert.equal(await docker(sockets[0], 'run', '--rm', 'busybox', 'echo', 'by the first'), 'by the first');
    const id = await docker(sockets[0], 'run', '-d', '--name', 'web', '-p', '127.0.0.1:0:80', 'busybox', 'httpd', '-f', '-p', '80');
    assert.equal(await docker(sockets[1], 'inspect', '-f', '{{.Id}} {{.State.Status}} {{.Node.Name}}', 'web'), `${id} running machine-1`);
    await compose('kill', 'nats-2');
    assert.equal(await docker(sockets[1], 'run', '--rm', '--network', 'none', 'busybox', 'echo', 'by two of three'), 'by two of three');
    assert.equal(await docker(sockets[0], 'rm', '-f', 'web'), 'web');
    await compose('start', 'nats-2');
    await eventually('it is forgotten everywhere', async () => (await docker(sockets[1], 'ps', '-aq')) === '' || undefined);
  } catch (error) {
    t.diagnostic((await compose('logs', '--no-color', '--tail', '40').catch(String)).slice(-20_000));
    throw error;
  }
});
