// Three hosts, three NATS servers, two apis, two schedulers: every container is reached from every api, wherever it runs.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { busyboxImage, dockerArchive } from '../../fixtures/images.ts';
import { startTestMachines, type TestMachines } from '../../fixtures/machines.ts';
import { Clients, unavailable } from '../clients/clients.ts';

const skip = unavailable('docker');

describe('a cluster of three hosts', { skip }, () => {
  let cluster: TestMachines;
  let clients: Clients[] = [];
  const ids = ['host-1', 'host-2', 'host-3'];
  const names = ids.map((id) => `on-${id}`);

  before(async () => {
    cluster = await startTestMachines();
    clients = cluster.apis.map((machine) => new Clients(machine));
    for (const [at, id] of ids.entries()) {
      const ended = await docker(at % 2, 'run', '-d', '--name', names[at] ?? '', '-e', `constraint:node==${id}`, 'busybox', 'sh', '-c', 'echo hello from $HOSTNAME; while read line; do echo got $line; done; sleep 3600');
      assert.equal(ended.code, 0, ended.stderr);
    }
  });
  after(async () => {
    for (const each of clients) await each.close();
    await cluster?.stop();
  });

  const docker = async (api: number, ...args: string[]) => {
    const client = clients[api];
    assert.ok(client !== undefined);
    return await client.docker(...args).ended;
  };
  const out = async (api: number, ...args: string[]): Promise<string> => {
    const ended = await docker(api, ...args);
    assert.equal(ended.code, 0, `docker ${args.join(' ')}: ${ended.stderr}`);
    return ended.stdout;
  };

  test('both apis list all containers and all hosts', async () => {
    for (const api of [0, 1]) {
      const listed = (await out(api, 'ps', '--format', '{{.Names}}')).trim().split('\n').sort();
      assert.deepEqual(listed, names);
      const info = await out(api, 'info');
      for (const id of ids) assert.match(info, new RegExp(id));
    }
  });

  test('inspect tells the host, as classic Swarm did', async () => {
    for (const api of [0, 1]) {
      for (const [at, id] of ids.entries()) {
        const node = JSON.parse(await out(api, 'inspect', '--format', '{{json .Node}}', names[at] ?? '')) as Record<string, unknown>;
        assert.equal(node['Name'], id);
        assert.equal(node['ID'], id);
        assert.equal(node['IP'], cluster.machines[at]?.address);
        assert.match(String(node['Addr']), new RegExp(`^${cluster.machines[at]?.address ?? '-'}`));
        assert.ok(Number(node['Cpus']) > 0 && Number(node['Memory']) > 0);
        assert.equal(typeof node['Labels'], 'object');
      }
    }
  });

  test('exec, logs and top reach every host from every api', async () => {
    for (const api of [0, 1]) {
      for (const name of names) {
        assert.equal(await out(api, 'exec', name, 'echo', 'here'), 'here\n');
        assert.match(await out(api, 'logs', name), /^hello from /);
        assert.match(await out(api, 'top', name), /sleep 3600/);
      }
    }
  });

  test('an attached client of one api and one of the other see the same container', async () => {
    for (const id of ids) {
      const name = `attached-${id}`;
      await out(0, 'create', '-i', '--name', name, '-e', `constraint:node==${id}`, 'busybox', 'cat');
      const first = clients[0]?.docker('start', '-ai', name);
      assert.ok(first !== undefined);
      first.child.stdin?.write('one\n');
      await until(() => first.stdout() === 'one\n');
      const other = clients[1]?.docker('attach', '--no-stdin', name);
      assert.ok(other !== undefined);
      await until(async () => (await out(1, 'logs', name)) === 'one\n');
      first.child.stdin?.end('two\n');
      assert.equal((await first.ended).stdout, 'one\ntwo\n');
      await other.ended;
      assert.equal((await out(1, 'inspect', '--format', '{{.State.Status}} {{.State.ExitCode}}', name)).trim(), 'exited 0');
      await out(1, 'rm', name);
    }
  });

  test('an image that a host lacks, and no registry has, comes from hosts that have it', async () => {
    const third = cluster.machines[2];
    const [client] = clients;
    assert.ok(third !== undefined && client !== undefined);
    const image = await busyboxImage({ reference: 'docker.io/library/only-here:1', config: { Cmd: ['echo', 'it came over'] } });
    await third.signal('agent', 'SIGSTOP');
    try {
      await cluster.hosts('lost', [third.hostId]);
      const loading = client.docker('load');
      loading.child.stdin?.end(await dockerArchive([image]));
      const loaded = await loading.ended;
      assert.equal(loaded.code, 0, loaded.stderr);
    } finally {
      await third.signal('agent', 'SIGCONT');
    }
    await cluster.hosts('up', ids);
    assert.equal(await out(1, 'run', '--rm', '--network', 'none', '-e', `constraint:node==${third.hostId}`, 'only-here:1'), 'it came over\n');
    assert.match(await out(1, 'images', '--no-trunc', 'only-here'), new RegExp(image.imageId));
  });

  test('a host and NATS server whose cable is pulled are lost and come back; what ran there has run on', async () => {
    const [third, name] = [cluster.machines[2], names[2] ?? ''];
    assert.ok(third !== undefined);
    const started = await out(0, 'inspect', '--format', '{{.State.StartedAt}}', name);
    await third.setCable(false);
    try {
      await cluster.hosts('lost', [third.hostId]);
      assert.equal(await out(1, 'exec', names[0] ?? '', 'echo', 'here'), 'here\n');
    } finally {
      await third.setCable(true);
    }
    await cluster.hosts('up', ids);
    await until(async () => (await docker(1, 'exec', name, 'echo', 'here')).stdout === 'here\n');
    assert.equal(await out(1, 'inspect', '--format', '{{.State.StartedAt}}', name), started);
  });

  test('a container made at one api is stopped and removed at the other', async () => {
    for (const [at, name] of names.entries()) {
      await out((at + 1) % 2, 'kill', name);
      // The other api may hear of the end a moment later.
      await out(at % 2, 'wait', name);
      await out(at % 2, 'rm', name);
    }
    for (const api of [0, 1]) assert.equal(await out(api, 'ps', '-aq'), '');
  });

  test('pouch cluster hosts shows all of them at either api', async () => {
    for (const machine of cluster.apis) {
      const client = new Clients(machine);
      const ended = await client.pouch('cluster', 'hosts').ended;
      assert.equal(ended.code, 0, ended.stderr);
      for (const id of ids) assert.match(ended.stdout, new RegExp(`${id} +up`));
      await client.close();
    }
  });
});

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 60_000; !(await condition()); await new Promise((resolve) => setTimeout(resolve, 20))) {
    assert.ok(Date.now() < deadline, 'the condition did not come true within a minute');
  }
}
