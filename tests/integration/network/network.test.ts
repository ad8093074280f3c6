// The host's network for real: a bridge, namespaces and CNI plugins of the test's own, and nothing left afterwards.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { containerId, type Container, type ContainerSpec } from '@pouch/domain';
import { SysHelper } from '@pouch/native';
import { createLogger } from '@pouch/process';
import { readConfig } from '../../../services/agent/src/config.ts';
import { createNetwork } from '../../../services/agent/src/network/index.ts';
import type { NetworkRoom } from '../../../services/agent/src/rooms.ts';
import { aHostId, aSpec } from '../../fixtures/domain.ts';

const run = promisify(execFile);
const plugins = ['/opt/cni/bin', '/usr/lib/cni', '/usr/libexec/cni'];
const skip = process.getuid?.() !== 0 ? 'not root' : !plugins.some((dir) => existsSync(join(dir, 'bridge'))) ? 'no CNI plugins (containernetworking-plugins)' : !existsSync('/usr/sbin/iptables') ? 'no iptables' : false;
const tag = randomBytes(3).toString('hex');
const bridge = `pt${tag}`;
const subnet = `10.213.${Math.floor(Math.random() * 256)}.0/24`;
const logger = createLogger({ service: 'test', level: 'silent' });
let dir = '';
let sys: SysHelper;
let network: NetworkRoom;

function createRoom(): NetworkRoom {
  const config = readConfig({ POUCH_DATA_DIR: dir, POUCH_RUN_DIR: dir, POUCH_BRIDGE: bridge, POUCH_SUBNET: subnet, POUCH_HOST_ID: 'test', PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' });
  return createNetwork({ config, sys, logger });
}

function aContainer(different: Partial<ContainerSpec> = {}): Container {
  return {
    status: 'created', id: containerId(randomBytes(32).toString('hex')), hostId: aHostId, name: 'c', spec: aSpec({ network: { mode: 'bridge' }, ...different }), createdAtMs: 0,
    requests: [], failures: [], restartCount: 0, backoffStep: 0, manuallyStopped: false, lastExit: null,
  };
}

async function rulesOfBridge(): Promise<string[]> {
  const { stdout } = await run('iptables-save');
  return stdout.split('\n').filter((line) => line.includes(bridge) || line.includes(subnet));
}

before(async () => {
  if (skip !== false) return;
  dir = await mkdtemp(join(tmpdir(), 'pouch-test-network-'));
  sys = new SysHelper();
  network = createRoom();
});
after(async () => {
  if (skip !== false) return;
  await network.cleanupOrphans(new Set());
  for (const line of await rulesOfBridge()) {
    if (!line.startsWith('-A')) continue;
    const table = line.includes('MASQUERADE') ? 'nat' : 'filter';
    await run('sh', ['-c', `iptables -w 10 -t ${table} ${line.replace(/^-A/, '-D')}`]).catch(() => undefined); // it went with another one
  }
  await run('ip', ['link', 'delete', bridge]).catch(() => undefined); // never made if the first test failed
  await sys.unmount(join(dir, 'netns')).catch(() => undefined); // never made if the first test failed
  await sys.close();
  await rm(dir, { recursive: true, force: true });
});

test('a container gets an address, reaches the host, and gives it all back', { skip }, async () => {
  const container = aContainer();
  const { netnsPath, attachment } = await network.attach(container);
  assert.ok(netnsPath !== null);
  assert.ok(attachment.ipAddress?.startsWith(subnet.split('.').slice(0, 3).join('.')));
  assert.equal(attachment.gateway, network.gateway());
  assert.match(attachment.macAddress ?? '', /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
  const { stdout } = await run('nsenter', [`--net=${netnsPath}`, 'ip', '-4', '-o', 'addr', 'show', 'eth0']);
  assert.ok(stdout.includes(`${attachment.ipAddress}/${attachment.prefixLength}`));
  await network.detach(container.id);
  assert.equal(existsSync(netnsPath), false);
  await network.detach(container.id); // nothing there is no error
});

test('attaching again, also by an agent that was started anew, changes nothing', { skip }, async () => {
  const container = aContainer();
  const first = await network.attach(container);
  assert.deepEqual(await network.attach(container), first);
  assert.deepEqual(await createRoom().attach(container), first);
  await network.detach(container.id);
});

test('a published port leads to the container, is refused to a second one, and is free again afterwards', { skip }, async () => {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const hostPort = (probe.address() as { port: number }).port;
  await new Promise((resolve) => probe.close(resolve));
  const ports = [{ containerPort: 80, protocol: 'tcp', hostIp: '', hostPort } as const];
  const one = aContainer({ ports });
  const two = aContainer({ ports });
  const { attachment } = await network.attach(one);
  assert.deepEqual(attachment.ports, [{ containerPort: 80, protocol: 'tcp', hostIp: '0.0.0.0', hostPort }]);
  await assert.rejects(network.attach(two), /port is already allocated/);
  await network.detach(one.id);
  await network.attach(two);
  await network.detach(two.id);
  assert.ok(!(await rulesOfBridge()).some((line) => line.includes(String(hostPort))));
});

test('a port that a process of the host listens on is refused by its number', { skip }, async () => {
  const server = createServer().listen(0, '0.0.0.0');
  await once(server, 'listening');
  const hostPort = (server.address() as { port: number }).port;
  await assert.rejects(network.attach(aContainer({ ports: [{ containerPort: 80, protocol: 'tcp', hostIp: '', hostPort }] })), new RegExp(`${hostPort}.*already allocated`));
  await new Promise((resolve) => server.close(resolve));
});

test('all exposed ports are published where that is asked', { skip }, async () => {
  const container = aContainer({ publishAllPorts: true, exposedPorts: ['80/tcp', '53/udp'] });
  const { attachment } = await network.attach(container);
  assert.deepEqual(attachment.ports.map(({ containerPort, protocol }) => `${containerPort}/${protocol}`), ['80/tcp', '53/udp']);
  assert.ok(attachment.ports.every(({ hostPort }) => hostPort >= 49_153));
  await network.detach(container.id);
});

test('what belongs to no container is cleaned up, what does stays', { skip }, async () => {
  const [known, unknown] = [aContainer(), aContainer()];
  const kept = await network.attach(known);
  const gone = await network.attach(unknown);
  await createRoom().cleanupOrphans(new Set([known.id]));
  assert.equal(existsSync(kept.netnsPath ?? ''), true);
  assert.equal(existsSync(gone.netnsPath ?? ''), false);
  await network.detach(known.id);
  assert.deepEqual(await readdir(join(dir, 'netns')), []);
});
