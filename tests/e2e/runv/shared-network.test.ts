// A machine in the network of a container, and a container in that of a machine: one address, whose ports are whoever's listens, from outside and
// from one to the other. A cluster of its own.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startTestCluster } from '../../fixtures/cluster.ts';
import { guestMissing } from '../../fixtures/guest-boot.ts';
import { Clients, eventually, unavailable } from '../clients/clients.ts';

const skip = unavailable() || (await guestMissing());
let on: Clients;

before(async () => {
  if (skip !== false) return;
  on = new Clients(await startTestCluster({ machines: true }));
});
after(async () => {
  await on?.close();
  await on?.cluster.stop();
});

/** Serves its name on a port, by TCP. */
const serve = (name: string, port: number): string => `mkdir -p /www && echo ${name} > /www/index.html && httpd -p ${port} -h /www`;

/** Each of `names` asks the address's ports; what they get, by port. */
async function answers(from: readonly string[], address: string, ports: readonly number[]): Promise<string[][]> {
  // By nc: wget of a static busybox may not do without its C library's files.
  const asked = ports.map((port) => `(printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 8 nc -w 6 ${address} ${port} 2>/dev/null || echo none) | tail -n 1`).join('; ');
  return await Promise.all(from.map(async (name) => (await on.p('exec', name, 'sh', '-c', asked)).split('\n')));
}

async function assertShared(owner: string, joined: string, inMachine: string): Promise<void> {
  const address = await on.p('inspect', '-f', '{{.NetworkSettings.IPAddress}}', owner);
  await on.p('run', '-d', '--name', 'outside', 'busybox', 'sh', '-c', `${serve('outside', 80)}; sleep 1000`);
  const outside = await on.p('inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'outside');
  const wanted = [owner, joined, 'none'];
  await eventually('both listen', async () => JSON.stringify(await answers(['outside'], address, [81, 82, 83])) === JSON.stringify([wanted]));
  assert.deepEqual(await answers([owner, joined], address, [81, 82, 83]), [wanted, wanted], 'by the address each reaches both');
  assert.deepEqual(await answers([owner, joined], outside, [80, 80, 80]), [['outside', 'outside', 'outside'], ['outside', 'outside', 'outside']], 'both call out');
  for (const name of [owner, joined]) {
    assert.match(await on.p('exec', name, 'ip', '-4', 'addr', 'show', 'eth0'), new RegExp(`inet ${address.replaceAll('.', '\\.')}/`));
    assert.match(await on.p('exec', name, 'ping', '-c', '1', '-W', '3', outside), /1 packets received/, `${name} pings`);
  }
  const names = ['sh', '-c', 'cat /etc/hosts /etc/resolv.conf; hostname'];
  assert.equal(await on.p('exec', joined, ...names), await on.p('exec', owner, ...names), 'both know the same names');
  const published = JSON.parse(await on.p('inspect', '-f', '{{json .NetworkSettings.Ports}}', owner)) as Record<string, { HostIp: string; HostPort: string }[]>;
  for (const [port, name] of [[81, owner], [82, joined]] as const) {
    const [at] = published[`${port}/tcp`] ?? [];
    assert.equal((await (await fetch(`http://${at?.HostIp}:${at?.HostPort}/`)).text()).trim(), name, `published port ${port}`);
  }
  // The machine goes, and the network is the other's alone again.
  if (inMachine === joined) {
    await on.p('rm', '-f', joined);
    assert.deepEqual(await answers(['outside', owner], address, [81, 82]), [[owner, 'none'], [owner, 'none']]);
    await on.p('rm', '-f', owner);
  } else {
    await on.p('rm', '-f', joined, owner);
  }
  await on.p('rm', '-f', 'outside');
}

describe('one network of a machine and a container', { skip, timeout: 300_000 }, () => {
  const published = ['-p', '127.0.0.1::81', '-p', '127.0.0.1::82'];

  test('a machine joins a container, also again', async () => {
    await on.p('run', '-d', '--name', 'plain', ...published, 'busybox', 'sh', '-c', `${serve('plain', 81)}; sleep 1000`);
    const machine = ['run', '-d', '--name', 'vm', '--runtime', 'runv', '--network', 'container:plain', 'busybox', 'sh', '-c', `${serve('vm', 82)}; sleep 1000`];
    await on.p(...machine);
    await on.p('rm', '-f', 'vm');
    await on.p(...machine);
    await assertShared('plain', 'vm', 'vm');
  });

  test('a container joins a machine that runs', async () => {
    await on.p('run', '-d', '--name', 'vm', '--runtime', 'runv', ...published, 'busybox', 'sh', '-c', `${serve('vm', 81)}; sleep 1000`);
    await on.p('run', '-d', '--name', 'plain', '--network', 'container:vm', 'busybox', 'sh', '-c', `${serve('plain', 82)}; sleep 1000`);
    await assertShared('vm', 'plain', 'vm');
  });

  test('two machines, and the network of the host, are refused with the reason', async () => {
    await on.p('create', '--name', 'vm', '--runtime', 'runv', 'busybox', 'true');
    await on.p('run', '-d', '--name', 'hosted', '--network', 'host', 'busybox', 'sleep', '1000');
    for (const [name, why] of [['vm', /so is vm: of two it could not be told which one listens/], ['hosted', /cannot have the host's, which hosted has/]] as const) {
      const { code, stderr } = await on.tryPouch(['create', '--runtime', 'runv', '--network', `container:${name}`, 'busybox', 'true']);
      assert.notEqual(code, 0);
      assert.match(stderr, why);
    }
    // Two that join the same container: the second finds the first.
    await on.p('run', '-d', '--name', 'plain', 'busybox', 'sleep', '1000');
    await on.p('run', '-d', '--name', 'first', '--runtime', 'runv', '--network', 'container:plain', 'busybox', 'sleep', '1000');
    const second = await on.tryPouch(['run', '--rm', '--runtime', 'runv', '--network', 'container:plain', 'busybox', 'true']);
    assert.notEqual(second.code, 0);
    assert.match(second.stderr, /another virtual machine/);
    await on.p('rm', '-f', 'first', 'plain', 'hosted', 'vm');
  });
});
