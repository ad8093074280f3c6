// Containers on the bridge, whole: address, hosts file, published port, a kill of the agent at any moment of a start, nothing left.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { ContainerId } from '@pouch/domain';
import { containerdMissing } from '../../fixtures/containerd.ts';
import { busyboxMissing } from '../../fixtures/images.ts';
import { eventually, leftovers, startFixture, type Fixture } from './fixture.ts';

const run = promisify(execFile);
const plugins = ['/opt/cni/bin', '/usr/lib/cni', '/usr/libexec/cni'];
const cniMissing = !plugins.some((dir) => existsSync(join(dir, 'bridge'))) ? 'no CNI plugins (containernetworking-plugins)' : !existsSync('/usr/sbin/iptables') ? 'no iptables' : false;
const skip = containerdMissing() || busyboxMissing() || cniMissing;
const options = { skip, timeout: 240_000 };
const bridge = `pa${randomBytes(3).toString('hex')}`;
const subnet = `10.214.${Math.floor(Math.random() * 256)}.0/24`;
let fixture: Fixture;

before(async () => {
  if (skip === false) fixture = await startFixture({ env: { POUCH_BRIDGE: bridge, POUCH_SUBNET: subnet } });
});
after(async () => {
  if (skip !== false) return;
  await fixture.stop();
  const { stdout } = await run('iptables-save');
  let table = '';
  for (const line of stdout.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1);
    if (!line.startsWith('-A') || !line.includes(`pouch ${bridge}`)) continue;
    const words = line.match(/"[^"]*"|\S+/g)?.map((word) => word.replaceAll('"', '')) ?? [];
    await run('iptables', ['-w', '10', '-t', table, '-D', ...words.slice(1)]);
  }
  await run('ip', ['link', 'delete', bridge]).catch(() => undefined); // no container has been on it
});

test('a container on the bridge has an address, its name in hosts, and a published port', options, async () => {
  await fixture.startAgent();
  const id = await fixture.created({
    cmd: ['sh', '-c', 'cat /etc/hosts; ip -4 addr show eth0; echo served > /tmp/answer; nc -l -p 8080 < /tmp/answer; sleep 100'], hostname: 'onbridge', network: { mode: 'bridge' },
    ports: [{ containerPort: 8080, protocol: 'tcp', hostIp: '127.0.0.1', hostPort: null }],
  });
  await fixture.request(id, { kind: 'start' });
  const { run: { network } } = await fixture.untilStatus(id, 'running');
  assert.ok(network.ipAddress?.startsWith(subnet.slice(0, subnet.lastIndexOf('.'))), `${network.ipAddress}`);
  await eventually(async () => (await fixture.output(id)).includes(`inet ${network.ipAddress}`), 'it has its address');
  assert.ok((await fixture.output(id)).includes(`${network.ipAddress}\tonbridge`));
  const port = network.ports[0]?.hostPort ?? 0;
  let answer = '';
  await eventually(async () => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined).on('data', (data: Buffer) => { answer += data.toString(); });
    await Promise.race([once(socket, 'close').catch(() => undefined), delay(500)]);
    socket.destroy();
    return answer.includes('served');
  }, 'the published port leads to it');
  await fixture.request(id, { kind: 'remove', force: true });
  await fixture.untilStatus(id, 'removed');
  await fixture.stopAgent();
});

test('who joined the network of a container that has ended does not keep its address', options, async () => {
  await fixture.startAgent();
  const owner = await fixture.created({ network: { mode: 'bridge' } });
  await fixture.request(owner, { kind: 'start' });
  await fixture.untilStatus(owner, 'running');
  const guest = await fixture.created({ network: { mode: 'container', containerId: owner } });
  await fixture.request(guest, { kind: 'start' });
  const { run: { pid } } = await fixture.untilStatus(guest, 'running');
  const interfaces = (): string => readFileSync(`/proc/${pid}/net/dev`, 'utf8');
  assert.match(interfaces(), /eth0/);
  await fixture.request(owner, { kind: 'kill', signal: 'SIGKILL' });
  await fixture.untilStatus(owner, 'exited');
  await eventually(() => !interfaces().includes('eth0'), 'the interface is gone');
  for (const id of [owner, guest]) await fixture.request(id, { kind: 'remove', force: true });
  for (const id of [owner, guest]) await fixture.untilStatus(id, 'removed');
  await fixture.stopAgent();
});

test('kill -9 of the agent at any moment of a start on the bridge: it has a network, it runs once, nothing is left', options, async () => {
  let agent = await fixture.spawnAgent();
  const ids: ContainerId[] = [];
  for (let round = 0; round < 5; round++) {
    const id = await fixture.created({ cmd: ['sh', '-c', 'ip -4 addr show eth0 | grep -o "inet [0-9.]*"; exit 4'], network: { mode: 'bridge' } });
    ids.push(id);
    await fixture.request(id, { kind: 'start' });
    await delay(15 + round * 20);
    const exited = once(agent, 'exit');
    agent.kill('SIGKILL');
    await exited;
    agent = await fixture.spawnAgent();
  }
  for (const id of ids) {
    const { lastExit } = await fixture.untilStatus(id, 'exited');
    assert.equal(lastExit.exitCode, 4, JSON.stringify(fixture.events(id)));
    assert.match(await fixture.output(id), /^inet 10\.214\.[\d.]+\n$/);
    await fixture.request(id, { kind: 'remove', force: true });
    await fixture.untilStatus(id, 'removed');
  }
  await eventually(() => leftovers(fixture)['netns']?.length === 0, 'no namespace is left');
});
