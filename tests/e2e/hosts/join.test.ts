// Three hosts join a cluster of three NATS servers by command, over TLS; each works with its own credentials; one is removed and is out at once.
import assert from 'node:assert/strict';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { memberFiles } from '@pouch/membership';
import { memberDirectory, secretsKeyFile, startOrder, type ProcessName } from '../../../scripts/cluster/options.ts';
import { startTestMachines, type TestMachines } from '../../fixtures/machines.ts';
import { Clients, eventually, unavailable } from '../clients/clients.ts';

const skip = unavailable('docker');
const control: readonly ProcessName[] = ['nats', 'scheduler', 'api'];

describe('hosts that join by command', { skip }, () => {
  let cluster: TestMachines;
  let first: Clients;
  let second: Clients;
  const joined = ['host-4', 'host-5', 'host-6'];

  before(async () => {
    cluster = await startTestMachines({ processes: [startOrder, control, ['nats']], joiners: 3 });
    [first, second] = cluster.apis.map((machine) => new Clients(machine)) as [Clients, Clients];
  });
  after(async () => {
    await first?.close();
    await second?.close();
    await cluster?.stop();
  });

  test('they are hosts like others: containers run there, and are reached from every api', async () => {
    for (const id of joined) {
      await first.d('run', '-d', '--name', `on-${id}`, '-e', `constraint:node==${id}`, 'busybox', 'sleep', '100000');
      assert.equal(await second.d('exec', `on-${id}`, 'echo', 'here'), 'here');
    }
    assert.match(await first.p('cluster', 'join-token', 'ls'), /any host +0 /);
  });

  test('a secret is opened there: the key came with the join', async () => {
    assert.equal((await first.tryPouch(['secret', 'create', 'word'], 'hunter2')).code, 0);
    assert.equal(await second.p('run', '--rm', '--secret', 'word', '-e', `constraint:node==${joined[0] ?? ''}`, 'busybox', 'cat', '/run/secrets/word'), 'hunter2');
  });

  test('what it keeps is for root only, and nothing of it signs', async () => {
    const { config } = cluster.machines.find(({ hostId }) => hostId === joined[0]) ?? assert.fail();
    const files = memberFiles(memberDirectory(config));
    for (const path of [files.creds('agent'), secretsKeyFile(config)]) assert.equal((await stat(path)).mode & 0o777, 0o600, path);
    await assert.rejects(stat(join(config.data, 'authority.json')), { code: 'ENOENT' });
    assert.deepEqual(config.processes, ['containerd', 'agent']);
    const log = await readFile(join(config.logs, 'agent.log'), 'utf8');
    for (const line of (await readFile(files.creds('agent'), 'utf8')).split('\n').filter((text) => text.length > 40 && !text.startsWith('-'))) assert.ok(!log.includes(line));
  });

  test('one that is removed is out at once, and its credentials with it', async () => {
    const gone = cluster.machines.find(({ hostId }) => hostId === joined[2]) ?? assert.fail();
    await first.d('rm', '-f', `on-${joined[2] ?? ''}`);
    await gone.setCable(false);
    await cluster.hosts('lost', [gone.hostId]);
    await first.p('cluster', 'hosts', 'rm', gone.hostId);
    await gone.setCable(true);
    const logOf = async (): Promise<string> => await readFile(join(gone.config.logs, 'agent.log'), 'utf8');
    await eventually('its agent is refused', async () => /AUTHORIZATION_VIOLATION|Authorization Violation|USER_AUTHENTICATION_REVOKED|Authentication Revoked/i.test(await logOf()));
    assert.doesNotMatch(await second.p('cluster', 'hosts'), new RegExp(gone.hostId));
  });
});
