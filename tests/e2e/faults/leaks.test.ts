// Two hundred lives of containers, most of which go wrong in some way: afterwards everything on the machine is as it was before. Never touches
// another cluster.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, test, type TestContext } from 'node:test';
import { clusterUnavailable, startTestCluster, type TestCluster } from '../../fixtures/cluster.ts';
import { busyboxImage, tarOf } from '../../fixtures/images.ts';
import { startRegistry, type TestRegistry } from '../../fixtures/registry.ts';
import { buildBusyboxArchive } from '../../../scripts/busybox-image.ts';
import { ask, demand, eventually, NoAnswer, readJson, verified } from './client.ts';
import { anySeed, randomOf, type Random } from './random.ts';
import { differences, tracesOf, type Traces } from './traces.ts';
import { pidsOf, troubleOf } from './under-test.ts';

const skip = clusterUnavailable() ?? false;
const lives = 200;
const atOnce = 8;

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

type Life = (name: string, random: Random) => Promise<void>;

const post = async <T = unknown>(path: string, body?: unknown, allow?: readonly number[]): Promise<T> =>
  await demand<T>(cluster.socket, 'POST', path, { ...(body === undefined ? {} : { body }), ...(allow === undefined ? {} : { allow }) });

async function created(name: string, settings: Record<string, unknown> = {}, hostConfig: object = {}): Promise<string> {
  return (await post<{ Id: string }>(`/containers/create?name=${name}`, { Image: 'busybox', Cmd: ['true'], ...settings, HostConfig: { NetworkMode: 'none', ...hostConfig } })).Id;
}

const start = async (id: string): Promise<void> => { await post(`/containers/${id}/start`); };
const wait = async (id: string): Promise<number> => (await post<{ StatusCode: number }>(`/containers/${id}/wait`)).StatusCode;
const remove = async (id: string): Promise<void> => { await demand(cluster.socket, 'DELETE', `/containers/${id}?force=1`, { allow: [204, 404] }); };
const longSleep = { Cmd: ['sleep', '600'] };

/** A raw connection on which a request has been sent; nothing has been read. */
function dial(method: string, path: string, { body = '', upgrade = false }: { body?: string; upgrade?: boolean } = {}): Socket {
  const socket = connect({ path: cluster.socket, allowHalfOpen: true });
  socket.on('error', () => undefined); // these connections are there to be cut
  const more = upgrade ? 'Connection: Upgrade\r\nUpgrade: tcp\r\n' : '';
  socket.write(`${method} ${path} HTTP/1.1\r\nHost: pouch\r\n${more}Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  return socket;
}

/** Waits for the first bytes, at most. */
async function firstBytes(socket: Socket): Promise<void> {
  await Promise.race([once(socket, 'data'), once(socket, 'close'), delay(10_000, undefined, { ref: false })]);
}

const inTheMiddle = async (random: Random): Promise<void> => { await delay(random.between(0, 30)); };

/** Ways to live; each leaves nothing that has not been asked to be removed. */
const ways: Readonly<Record<string, Life>> = {
  async plain(name) {
    const id = await created(name);
    await start(id);
    assert.equal(await wait(id), 0);
    await remove(id);
  },
  async 'with a network and ports'(name) {
    const id = await created(name, { ...longSleep, ExposedPorts: { '80/tcp': {}, '53/udp': {} } }, { NetworkMode: 'bridge', PortBindings: { '80/tcp': [{ HostPort: '' }], '53/udp': [{ HostPort: '' }] } });
    await start(id);
    await post(`/containers/${id}/kill`);
    await wait(id);
    await remove(id);
  },
  async 'removed by itself'(name) {
    const id = await created(name, { Cmd: ['sh', '-c', 'exit 3'] }, { AutoRemove: true, NetworkMode: 'bridge' });
    await start(id);
    await eventually(`${name} is gone`, async () => (await ask(cluster.socket, 'GET', `/containers/${id}/json`)).status === 404 || undefined);
  },
  async 'attached, cut in the middle'(name, random) {
    const id = await created(name, { Cmd: ['sh', '-c', 'while :; do echo on and on; done'], Tty: random.oneIn(2) });
    await start(id);
    const socket = dial('POST', `/containers/${id}/attach?stream=1&stdout=1&logs=1`, { upgrade: random.oneIn(2) });
    await firstBytes(socket);
    socket.destroy();
    await remove(id);
  },
  async 'gone while attaching'(name, random) {
    const id = await created(name, { ...longSleep, OpenStdin: true });
    await start(id);
    for (const upgrade of [true, false]) {
      const socket = dial('POST', `/containers/${id}/attach?stream=1&stdin=1&stdout=1`, { upgrade });
      await inTheMiddle(random);
      socket.destroy();
    }
    await remove(id);
  },
  async 'with input to its end'(name, random) {
    const id = await created(name, { Cmd: ['cat'], OpenStdin: true, StdinOnce: true, Tty: random.oneIn(3) });
    const socket = dial('POST', `/containers/${id}/attach?stream=1&stdin=1&stdout=1`, { upgrade: true });
    await firstBytes(socket);
    await start(id);
    socket.resume();
    socket.write('some input\n');
    if (random.oneIn(3)) socket.destroy();
    else socket.end();
    if (random.oneIn(2)) await post(`/containers/${id}/kill`, undefined, [204, 409]);
    await remove(id);
    socket.destroy();
  },
  async 'with execs'(name, random) {
    const id = await created(name, longSleep);
    await start(id);
    const begin = async (Cmd: string[], more: object = {}): Promise<string> => (await post<{ Id: string }>(`/containers/${id}/exec`, { Cmd, AttachStdout: true, AttachStderr: true, AttachStdin: true, ...more })).Id;
    const whole = dial('POST', `/exec/${await begin(['echo', 'hello'])}/start`, { body: '{}', upgrade: true });
    whole.resume();
    const cut = dial('POST', `/exec/${await begin(['sh', '-c', 'while :; do echo more; done'], { Tty: true })}/start`, { body: '{"Tty":true}', upgrade: true });
    await firstBytes(cut);
    cut.destroy();
    const gone = dial('POST', `/exec/${await begin(['cat'])}/start`, { body: '{}', upgrade: random.oneIn(2) });
    await inTheMiddle(random);
    gone.destroy();
    const bad = await ask(cluster.socket, 'POST', `/exec/${await begin(['no-such-command'])}/start`, { body: { Detach: true } });
    assert.ok(bad.status >= 400 && bad.status < 500, `an exec of what is not there: ${bad.status} ${bad.text}`);
    await begin(['never', 'started']);
    await remove(id);
    whole.destroy();
  },
  async 'clients gone in the middle of everything'(name, random) {
    const making = dial('POST', `/containers/create?name=${name}`, { body: JSON.stringify({ Image: 'busybox', ...longSleep, HostConfig: { NetworkMode: 'bridge' } }) });
    await inTheMiddle(random);
    making.destroy();
    for (const path of ['start', 'wait', 'stop?t=0', 'restart?t=0']) {
      const socket = dial('POST', `/containers/${name}/${path}`);
      await inTheMiddle(random);
      socket.destroy();
    }
    for (const path of [`/containers/${name}/logs?stdout=1&follow=1`, '/events', '/cluster/events', '/system/df', '/containers/json?size=1&all=1', `/containers/${name}/top`]) {
      const socket = dial('GET', path);
      await inTheMiddle(random);
      socket.destroy();
    }
  },
  async 'a command that is not there'(name, random) {
    const id = await created(name, { Cmd: ['/no/such/command'] }, { NetworkMode: random.oneIn(2) ? 'bridge' : 'none' });
    const { status, text } = await ask(cluster.socket, 'POST', `/containers/${id}/start`);
    assert.ok(status === 400 || status === 404, `${status} ${text}`);
    assert.equal((await readJson<{ State: { ExitCode: number } }>(cluster.socket, `/containers/${id}/json`)).State.ExitCode, 127);
    await remove(id);
  },
  async 'a mount of nothing'(name) {
    const { status, text } = await ask(cluster.socket, 'POST', `/containers/create?name=${name}`, { body: { Image: 'busybox', HostConfig: { Mounts: [{ Type: 'bind', Source: '/no/such/directory', Target: '/mnt' }] } } });
    if (status === 201) {
      const answer = await ask(cluster.socket, 'POST', `/containers/${name}/start`);
      assert.ok(answer.status >= 400, `${answer.status} ${answer.text}`);
      await remove(name);
    } else assert.equal(status, 400, text);
  },
  async 'an image that is not there'(name) {
    assert.equal((await ask(cluster.socket, 'POST', `/containers/create?name=${name}`, { body: { Image: 'no-such-image' } })).status, 404);
  },
  async 'removed while it starts'(name, random) {
    const id = await created(name, longSleep, { NetworkMode: random.oneIn(2) ? 'bridge' : 'none' });
    const starting = ask(cluster.socket, 'POST', `/containers/${id}/start`);
    await inTheMiddle(random);
    await remove(id);
    await starting;
  },
  async 'killed while it is stopped'(name) {
    const id = await created(name, { Cmd: ['sh', '-c', 'trap "" TERM; while :; do sleep 0.1; done'] });
    await start(id);
    const stopping = ask(cluster.socket, 'POST', `/containers/${id}/stop?t=300`);
    await delay(50);
    await post(`/containers/${id}/kill`);
    assert.equal((await stopping).status, 204);
    await remove(id);
  },
  async 'paused and restarted'(name) {
    const id = await created(name, longSleep, { NetworkMode: 'bridge' });
    await start(id);
    await post(`/containers/${id}/restart?t=0`);
    await post(`/containers/${id}/pause`);
    await remove(id);
  },
  async 'crashing again and again'(name) {
    const id = await created(name, { Cmd: ['false'], Tty: true }, { RestartPolicy: { Name: 'always' }, NetworkMode: 'bridge' });
    await start(id);
    await eventually(`${name} is started again`, async () => (await readJson<{ RestartCount: number }>(cluster.socket, `/containers/${id}/json`)).RestartCount > 0 || undefined);
    await remove(id);
  },
  async 'logs that are followed, cut'(name) {
    const id = await created(name, { Cmd: ['sh', '-c', 'while :; do echo line; sleep 0.01; done'] });
    await start(id);
    const socket = dial('GET', `/containers/${id}/logs?follow=1&stdout=1`);
    await firstBytes(socket);
    socket.destroy();
    await remove(id);
  },
  async 'a pull that breaks off'(_name, random) {
    registry.options = { fault: ({ path }) => (path.includes('/blobs/') ? random.pick([{ breakAfter: 100 }, { status: 500 }, { replace: Buffer.from('something else') }]) : undefined) };
    const leave = new AbortController();
    if (random.oneIn(3)) setTimeout(() => leave.abort(), random.between(0, 100));
    try {
      const { text } = await ask(cluster.socket, 'POST', `/images/create?fromImage=${encodeURIComponent(`${registry.host}/broken`)}&tag=latest`, { signal: leave.signal });
      assert.match(text, /"error"|"message"/, 'a pull that breaks off says so');
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
    }
  },
  async 'an archive that is none'(_name, random) {
    const archive = await buildBusyboxArchive('broken:load');
    const raw = random.pick([
      archive.subarray(0, random.between(1, archive.length - 2_000)), Buffer.from('no archive at all'),
      await tarOf([{ name: 'manifest.json', data: JSON.stringify([{ Config: '../../../../etc/passwd', RepoTags: ['x:y'], Layers: ['../escape.tar'] }]) }]),
    ]);
    const { status, text } = await ask(cluster.socket, 'POST', '/images/load', { raw, headers: { 'content-type': 'application/x-tar' } });
    assert.ok((status >= 400 && status < 500) || /"error"/.test(text), `a broken archive is refused: ${status} ${text.slice(0, 300)}`);
    const socket = dial('POST', '/images/load', { body: 'only the beginning' });
    await inTheMiddle(random);
    socket.destroy();
  },
};

const names = Object.keys(ways);

async function live(way: string, name: string, random: Random): Promise<void> {
  try {
    await ways[way]?.(name, random);
  } catch (error) {
    throw new Error(`${name}, ${way}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** What clients that went away have left by rights. */
async function removeEverything(): Promise<void> {
  await eventually('every container is removed', async () => {
    const all = await readJson<{ Id: string }[]>(cluster.socket, '/containers/json?all=1');
    await Promise.all(all.map(async ({ Id }) => await ask(cluster.socket, 'DELETE', `/containers/${Id}?force=1`)));
    const { containers } = await readJson<{ containers: { status: string }[] }>(cluster.socket, '/cluster/containers');
    return containers.every(({ status }) => status === 'removed') ? true : undefined;
  });
}

async function leavesNothing(t: TestContext): Promise<void> {
  const seed = Number(process.env['POUCH_TEST_SEED'] ?? anySeed());
  t.diagnostic(`seed ${seed}`);
  const random = randomOf(seed);
  // The first of each kind makes what stays: the bridge, caches, connections.
  for (const way of names) await live(way, `first-${names.indexOf(way)}`, random.fork());
  await removeEverything();
  const base = await settled();
  t.diagnostic(`before: ${Object.entries(base).map(([kind, all]) => `${all.length} ${kind}`).join(', ')}`);
  for (const kind of ['containerd snapshots', 'containerd blobs', 'run files', 'processes', 'firewall rules', 'descriptors of api', 'descriptors of agent']) assert.ok((base[kind] ?? []).length > 0, `${kind} are seen`);
  const pids = await pidsOf(cluster);

  const left = Array.from({ length: lives }, (_, n) => ({ name: `life-${n}`, way: names[n % names.length] ?? '', random: random.fork() }));
  const begun = Date.now();
  await Promise.all(Array.from({ length: atOnce }, async () => {
    for (let one = left.shift(); one !== undefined; one = left.shift()) await live(one.way, one.name, one.random);
  })).finally(() => { left.length = 0; });
  t.diagnostic(`${lives} lives in ${Math.round((Date.now() - begun) / 1_000)} s`);
  await removeEverything();

  let last: string[] = [];
  await eventually('everything is as it was before', async () => {
    // A connection that was kept open for reuse may have been closed since: fewer descriptors are nothing left behind.
    last = differences(base, await tracesOf(cluster)).filter((line) => !line.startsWith('- descriptors of'));
    return last.length === 0 ? true : undefined;
  }, { withinMs: 60_000 }).catch(() => { assert.fail(`${last.length} differences after ${lives} lives:\n${last.slice(0, 60).join('\n')}`); });
  assert.deepEqual(await pidsOf(cluster), pids, 'no process was started again');
  await verified(cluster.socket);
}

/** The traces when two looks in a row see the same. */
async function settled(): Promise<Traces> {
  let before = await tracesOf(cluster);
  return await eventually('the cluster comes to rest', async () => {
    await delay(500);
    const now = await tracesOf(cluster);
    // A pull whose client has gone takes a moment to be given up.
    const resting = now['containerd leases']?.length === 0 && now['containerd ingests']?.length === 0;
    if (resting && differences(before, now).length === 0) return now;
    before = now;
    return undefined;
  });
}

test('two hundred lives of containers, most of which go wrong, leave nothing behind', { skip }, async (t) => {
  try {
    await leavesNothing(t);
  } catch (error) {
    t.diagnostic(await troubleOf(cluster));
    throw error;
  }
});

test('a client that goes away while a container is silent is let go; one that has only ended its input is not', { skip }, async (t) => {
  const silent = await created('silent', longSleep);
  await start(silent);
  const late = await created('late', { Cmd: ['sh', '-c', 'sleep 5; echo late'] });
  try {
    const before = await settled();
    for (const [upgrade, stdin] of [[true, 1], [true, 0], [false, 1], [false, 0]] as const) {
      const socket = dial('POST', `/containers/${silent}/attach?stream=1&stdout=1&stdin=${stdin}`, { upgrade });
      await firstBytes(socket);
      socket.destroy();
    }
    let last: string[] = [];
    await eventually('everything of those clients is gone', async () => {
      last = differences(before, await tracesOf(cluster));
      return last.length === 0 ? true : undefined;
    }).catch(() => { assert.fail(last.join('\n')); });

    const patient = dial('POST', `/containers/${late}/attach?stream=1&stdout=1`, { upgrade: true });
    let heard = '';
    patient.on('data', (data: Buffer) => { heard += data.toString('latin1'); });
    await firstBytes(patient);
    patient.end();
    await start(late);
    if (!patient.closed) await once(patient, 'close');
    assert.match(heard, /late\n/);
  } catch (error) {
    t.diagnostic(await troubleOf(cluster));
    throw error;
  } finally {
    await remove(silent);
    await remove(late);
  }
});
