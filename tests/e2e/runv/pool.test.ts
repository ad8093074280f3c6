// The pool through a whole cluster: a machine is made ready behind the first container of an image, the next one gets it, and none waits
// for an image that is gone. A cluster of its own.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { startTestCluster } from '../../fixtures/cluster.ts';
import { guestMissing } from '../../fixtures/guest-boot.ts';
import { Clients, eventually, unavailable } from '../clients/clients.ts';

const skip = unavailable() || (await guestMissing());
const runv = resolve(import.meta.dirname, '../../../packages/runv/bin/runv');
let on: Clients;

before(async () => {
  if (skip === false) on = new Clients(await startTestCluster({ machines: true, env: { POUCH_MACHINE_POOL: '1' } }));
});
after(async () => {
  await on?.close();
  await on?.cluster.stop();
});

async function waiting(): Promise<readonly string[]> {
  const root = join(on.cluster.directory, 'r', 'agent', 'runtimes', 'runv', 'pouch');
  const { stdout } = await promisify(execFile)(runv, ['--root', root, 'pool', 'ls'], { env: {} });
  return (JSON.parse(stdout) as { directory: string }[]).map(({ directory }) => directory);
}

test('run --rm again and again: each takes the machine that waits, and another is made; with the image the last one goes', { skip, timeout: 600_000 }, async () => {
  await on.p('run', '--rm', '--runtime', 'runv', 'busybox', 'true');
  for (let round = 0; round < 3; round++) {
    await eventually('a machine is ready', async () => (await waiting()).length === 1);
    const ready = await waiting();
    assert.equal(await on.p('run', '--rm', '--runtime', 'runv', 'busybox', 'sh', '-c', 'echo $((6 * 7)); ls /sys/class/net'), '42\neth0\nlo');
    await eventually('it was taken, and another is ready', async () => {
      const now = await waiting();
      return now.length === 1 && now[0] !== ready[0];
    });
  }
  await on.p('rmi', 'busybox');
  await eventually('none waits for an image that is gone', async () => (await waiting()).length === 0);
});
