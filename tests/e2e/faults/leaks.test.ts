// Two hundred lives of containers, most of which go wrong in some way, and clients that go away: nothing is left behind. Never touches another cluster.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { clusterUnavailable, startTestCluster, type TestCluster } from '../../fixtures/cluster.ts';
import { busyboxImage } from '../../fixtures/images.ts';
import { startRegistry, type TestRegistry } from '../../fixtures/registry.ts';
import { runtimes } from '../clients/runtimes.ts';
import { eventually } from './client.ts';
import { leavesNothing, settled } from './many-lives.ts';
import { firstBytes, Requests } from './requests.ts';
import { differences, tracesOf } from './traces.ts';
import { troubleOf } from './under-test.ts';

const skip = clusterUnavailable() ?? false;
const [runtime] = runtimes.filter(({ sharesKernel }) => sharesKernel);

let cluster: TestCluster;
let registry: TestRegistry;

before(async () => {
  if (skip !== false) return;
  registry = await startRegistry();
  registry.push('broken', 'latest', await busyboxImage());
  cluster = await startTestCluster({ env: { POUCH_REGISTRIES: JSON.stringify({ plainHttp: [registry.host] }) } });
});
after(async () => {
  if (skip !== false) return;
  await cluster.stop();
  await registry.close();
});

test('two hundred lives of containers, most of which go wrong, leave nothing behind', { skip }, async (t) => {
  try {
    assert.ok(runtime !== undefined);
    await leavesNothing(t, cluster, registry, { runtime, lives: 200, atOnce: 8 });
  } catch (error) {
    t.diagnostic(await troubleOf(cluster));
    throw error;
  }
});

test('a client that goes away while a container is silent is let go; one that has only ended its input is not', { skip }, async (t) => {
  const on = new Requests(cluster, 'runc');
  const silent = await on.created('silent', { Cmd: ['sleep', '600'] });
  await on.start(silent);
  const late = await on.created('late', { Cmd: ['sh', '-c', 'sleep 5; echo late'] });
  try {
    // The first one makes what the agent keeps for all that follow: its means of watching files.
    const first = on.dial('POST', `/containers/${silent}/attach?stream=1&stdout=1`, { upgrade: true });
    const read = async (): Promise<boolean> => (await tracesOf(cluster))['descriptors of agent']?.some((target) => target.includes(silent)) === true;
    await eventually('its log is read', async () => await read() || undefined);
    first.destroy();
    await eventually('the first one is let go', async () => !(await read()) || undefined);
    const before = await settled(cluster);
    for (const [upgrade, stdin] of [[true, 1], [true, 0], [false, 1], [false, 0]] as const) {
      const socket = on.dial('POST', `/containers/${silent}/attach?stream=1&stdout=1&stdin=${stdin}`, { upgrade });
      await firstBytes(socket);
      socket.destroy();
    }
    let last: string[] = [];
    await eventually('everything of those clients is gone', async () => {
      last = differences(before, await tracesOf(cluster));
      return last.length === 0 ? true : undefined;
    }).catch(() => { assert.fail(last.join('\n')); });

    const patient = on.dial('POST', `/containers/${late}/attach?stream=1&stdout=1`, { upgrade: true });
    let heard = '';
    patient.on('data', (data: Buffer) => { heard += data.toString('latin1'); });
    await firstBytes(patient);
    patient.end();
    await on.start(late);
    if (!patient.closed) await once(patient, 'close');
    assert.match(heard, /late\n/);
  } catch (error) {
    t.diagnostic(await troubleOf(cluster));
    throw error;
  } finally {
    await on.remove(silent);
    await on.remove(late);
  }
});
