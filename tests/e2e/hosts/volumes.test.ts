// Volumes among several hosts: containers come to where their volume is, whoever asks; a lost host keeps its volumes, and nothing takes their place.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { startTestMachines, type TestMachines } from '../../fixtures/machines.ts';
import { Clients, eventually, unavailable } from '../clients/clients.ts';

const skip = unavailable('docker');

describe('volumes of three hosts', { skip, timeout: 360_000 }, () => {
  let cluster: TestMachines;
  let clients: Clients[] = [];
  const on = (api: number): Clients => {
    const client = clients[api];
    assert.ok(client !== undefined);
    return client;
  };
  const run = async (api: number, ...args: string[]): Promise<string> => await on(api).d('run', '--network', 'none', ...args);
  const refused = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await on(0).tryDocker(['create', '--network', 'none', ...args, 'busybox', 'true']);
    assert.notEqual(code, 0);
    return stderr;
  };
  const mountpoint = async (name: string): Promise<string> => await on(0).d('volume', 'inspect', '-f', '{{.Mountpoint}}', name);

  before(async () => {
    cluster = await startTestMachines();
    clients = cluster.apis.map((machine) => new Clients(machine));
  });
  after(async () => {
    for (const each of clients) await each.close();
    await cluster?.stop();
  });

  test('a container comes to the host that has its volume; where it may not, the refusal says so', async () => {
    await run(0, '--rm', '-e', 'constraint:node==host-3', '-v', 'data:/data', 'busybox', 'sh', '-c', 'echo of host-3 > /data/file');
    for (const api of [0, 1]) {
      assert.equal(await run(api, '--name', `reader${api}`, '-v', 'data:/data:ro', 'busybox', 'cat', '/data/file'), 'of host-3');
      assert.equal(JSON.parse(await on(api).inspect(`reader${api}`, '{{json .Node.Name}}')), 'host-3');
    }
    assert.match(await refused('-e', 'constraint:node==host-1', '-v', 'data:/data'), /host-1: volumes: volume data is on host host-3, and its data cannot be had elsewhere/);
    assert.equal(await on(1).d('volume', 'ls', '-q'), 'data');
    await run(0, '--name', 'bound', '-e', 'constraint:node==host-2', '-v', '/tmp:/elsewhere', 'busybox', 'true');
    assert.equal(JSON.parse(await on(1).inspect(await on(1).d('create', '--network', 'none', '--volumes-from', 'bound', 'busybox', 'true'), '{{json .Node.Name}}')), 'host-2');
    assert.match(await refused('--volumes-from', 'bound', '--volumes-from', 'reader0'), /host-3: volumes: the mounts of container \w{12} are asked for, and that container is not on this host/);
  });

  test('many containers at once that are the first to have a volume are all on one host', async () => {
    const ids = await Promise.all(Array.from({ length: 8 }, async (_, at) => await on(at % 2).d('create', '--network', 'none', '-v', 'rushed:/data', 'busybox', 'true')));
    const hosts = await Promise.all(ids.map(async (id) => await on(0).inspect(id, '{{json .Node.Name}}')));
    assert.equal(new Set(hosts).size, 1, hosts.join());
    await on(0).d('rm', ...ids);
    await eventually('the volume can be removed', async () => (await on(1).tryDocker(['volume', 'rm', 'rushed'])).code === 0);
  });

  test('a lost host keeps its volumes: what has one waits, what has none moves; a volume that is removed meanwhile goes when the host is back', async () => {
    const third = cluster.machines[2];
    assert.ok(third !== undefined);
    for (const [name, ...flags] of [['stays', '-v', 'data:/data'], ['moves', '-v', '/own']]) {
      await run(0, '-d', '--name', name ?? '', '-e', 'constraint:node==~host-3', '--label', 'io.pouch.reschedule=on-host-loss', ...flags, 'busybox', 'sleep', '1d');
    }
    await run(0, '--rm', '-e', 'constraint:node==host-3', '-v', 'unwanted:/data', 'busybox', 'touch', '/data/x');
    const [kept, unwanted] = [await mountpoint('data'), await mountpoint('unwanted')];
    await third.setCable(false);
    await cluster.hosts('lost', ['host-3']);
    await eventually('the one with a volume of its own has a successor', async () => (await on(0).tryDocker(['inspect', '-f', '{{json .Node.Name}}', 'moves'])).stdout.trim() !== '"host-3"');
    assert.equal(await on(0).inspect('stays', '{{json .Node.Name}}'), '"host-3"');
    assert.match(await refused('-v', 'data:/data'), /host-1: volumes: volume data is on host host-3/);
    await eventually('users that are gone are known to be', async () => (await on(0).tryDocker(['volume', 'rm', 'unwanted'])).code === 0);
    assert.ok(existsSync(unwanted));
    await third.setCable(true);
    await cluster.hosts('up', ['host-3']);
    await eventually('the removed data are gone', () => !existsSync(unwanted));
    assert.ok(existsSync(kept));
    assert.equal(await run(1, '--rm', '-v', 'data:/data', 'busybox', 'cat', '/data/file'), 'of host-3');
    assert.equal((await on(0).tryPouch(['cluster', 'verify'])).code, 0);
  });
});
