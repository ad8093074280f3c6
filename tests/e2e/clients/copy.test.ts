// docker cp and pouch cp on a cluster of their own: both ways, running or not, with what people and hostile archives send; afterwards nothing is left.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { filesPath } from '@pouch/native';
import { encodeTarHeader, tarEnd, tarPadding, type TarHeader } from '@pouch/oci';
import { startTestCluster, type TestCluster } from '../../fixtures/cluster.ts';
import { Clients, eventually, unavailable } from './clients.ts';
import { machines, runtimes } from './runtimes.ts';

const skip = unavailable('docker', 'tar');
let cluster: TestCluster;
let on: Clients;
let here: string;

before(async () => {
  if (skip !== false) return;
  cluster = await startTestCluster({ machines });
  on = new Clients(cluster);
  here = await mkdtemp(join(tmpdir(), 'pouch-test-copy-'));
  await mkdir(join(here, 'site/sub'), { recursive: true });
  await writeFile(join(here, 'site/index'), 'hello\n', { mode: 0o640 });
  await symlink('index', join(here, 'site/link'));
  await writeFile(join(here, 'site/sub', `${'n'.repeat(150)}`), 'a long name');
  await writeFile(join(here, 'big'), randomBytes(50 * 2 ** 20));
});
after(async () => {
  await on?.close();
  await cluster?.stop();
  if (here !== undefined) await rm(here, { recursive: true, force: true });
});

const digest = async (path: string): Promise<string> => createHash('sha256').update(await readFile(path)).digest('hex');
const member = (name: string, different: Partial<TarHeader> = {}, data = ''): Buffer => Buffer.concat([
  encodeTarHeader({ name: Buffer.from(name), type: 'file', linkName: Buffer.alloc(0), mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 0, sizeBytes: data.length, major: 0, minor: 0, capability: Buffer.alloc(0), ...different }),
  Buffer.from(data), tarPadding(data.length),
]);

/** A PUT of bytes as they are. */
async function put(name: string, path: string, body: Buffer, more = ''): Promise<{ status: number; text: string }> {
  return await new Promise((resolve, reject) => {
    const outgoing = request({ socketPath: cluster.socket, method: 'PUT', path: `/v1.43/containers/${name}/archive?path=${encodeURIComponent(path)}${more}`, agent: false, headers: { host: 'docker', 'content-type': 'application/x-tar', 'content-length': body.length } }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => { text += piece; });
      response.once('end', () => resolve({ status: response.statusCode ?? 0, text })).once('error', reject);
    });
    outgoing.once('error', reject).end(body);
  });
}

/** Whether a process runs whose command line is so. */
async function runs(isSo: (line: string) => boolean): Promise<boolean> {
  const lines = await Promise.all((await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
  return lines.some(isSo);
}

/** Whether a helper of a copy runs. */
const copying = (): Promise<boolean> => runs((line) => line.startsWith(`${filesPath}\0`));
/** Whether a machine runs for somebody's copy only. */
const holding = (): Promise<boolean> => runs((line) => line.includes(`${cluster.directory}/`) && line.includes('\0hold-files\0'));

/** Nothing of a copy is left: no helper, and with it none of its mounts, which nobody else ever sees. */
async function nothingLeft(): Promise<void> {
  await eventually('no helper is left', async () => !(await copying()));
  assert.equal((await readFile('/proc/self/mountinfo', 'utf8')).split('\n').filter((line) => line.includes(`${cluster.directory}/`) && / \/\S*\/containers\/[0-9a-f]{64} /.test(line)).length, 0);
}

const sleeper = ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 0.1; done'];

describe('docker cp', { skip, timeout: 300_000 }, () => {
  for (const state of ['created', 'running', 'paused', 'stopped'] as const) test(`both ways with a ${state} container: files, directories, links, 50 MB`, async () => {
    const name = `cp-${state}`;
    await on.d(state === 'created' ? 'create' : 'run', ...(state === 'created' ? [] : ['-d']), '--name', name, '--network', 'none', 'busybox', ...sleeper);
    if (state === 'paused') await on.d('pause', name);
    if (state === 'stopped') await on.d('stop', name);
    const out = join(here, `out-${state}`);
    await mkdir(out);

    await on.d('cp', join(here, 'site'), `${name}:/srv`);
    await on.d('cp', `${name}:/srv`, out);
    assert.deepEqual((await readdir(join(out, 'srv'))).toSorted(), ['index', 'link', 'sub']);
    assert.equal(await readlink(join(out, 'srv/link')), 'index');
    const [sent, back] = await Promise.all([stat(join(here, 'site/index')), stat(join(out, 'srv/index'))]);
    assert.deepEqual([back.mode, Math.floor(back.mtimeMs / 1000)], [sent.mode, Math.floor(sent.mtimeMs / 1000)]);
    assert.equal(await readFile(join(out, 'srv/sub', 'n'.repeat(150)), 'utf8'), 'a long name');

    await on.d('cp', `${join(here, 'site')}/.`, `${name}:/tmp`);
    await on.d('cp', `${name}:/tmp/index`, join(out, 'renamed'));
    assert.equal(await readFile(join(out, 'renamed'), 'utf8'), 'hello\n');

    await on.d('cp', join(here, 'big'), `${name}:/big`);
    await on.d('cp', `${name}:/big`, join(out, 'big'));
    assert.equal(await digest(join(out, 'big')), await digest(join(here, 'big')));

    assert.match((await on.tryDocker(['cp', `${name}:/nope`, out])).stderr, new RegExp(`Could not find the file /nope in container ${name}`));
    assert.match((await on.tryDocker(['cp', join(here, 'big'), `${name}:/no/such/directory/`])).stderr, /no such directory|Could not find/);

    if (state === 'created' || state === 'stopped') {
      await on.d('start', name);
      assert.equal(await on.d('exec', name, 'cat', '/srv/index'), 'hello');
    } else if (state === 'running') assert.equal(await on.d('exec', name, 'cat', '/srv/index'), 'hello');
    await on.d('rm', '-f', name);
    await nothingLeft();
  });

  test('tars by stdin and stdout, and a link that is followed when asked', async () => {
    await on.d('run', '-d', '--name', 'tars', '--network', 'none', 'busybox', 'sh', '-c', `ln -s /etc/passwd /link; ${sleeper[2]}`);
    await eventually('the link is there', async () => (await on.tryDocker(['exec', 'tars', 'ls', '/link'])).code === 0);
    const tar = execFileSync('tar', ['-C', join(here, 'site'), '-c', '.']);
    assert.equal((await on.tryDocker(['cp', '-', 'tars:/mnt'], tar)).code, 1, 'the destination must be there');
    assert.equal((await on.tryDocker(['cp', '-', 'tars:/tmp'], tar)).code, 0);
    assert.equal(await on.d('exec', 'tars', 'cat', '/tmp/link'), 'hello');
    assert.match(execFileSync('tar', ['-tv'], { input: await bytesOf('tars', '/tmp') }).toString(), /-rw-r----- .* tmp\/index/);
    await on.d('cp', '-L', 'tars:/link', join(here, 'followed'));
    assert.match(await readFile(join(here, 'followed'), 'utf8'), /^root:/);
    await on.d('rm', '-f', 'tars');
  });

  test('volumes and a tmpfs are seen as the container sees them; what is read-only is refused', async () => {
    const volume = join(here, 'volume');
    await mkdir(volume);
    await writeFile(join(volume, 'v'), 'volume');
    const mounts = ['-v', `${volume}:/rw`, '-v', `${volume}:/ro:ro`, '-v', 'named:/named', '--tmpfs', '/fleeting'];
    await on.d('run', '-d', '--name', 'volumes', '--network', 'none', '--read-only', ...mounts, 'busybox', ...sleeper);
    await on.d('cp', join(here, 'site/index'), 'volumes:/rw/new');
    assert.equal(await readFile(join(volume, 'new'), 'utf8'), 'hello\n');
    await on.d('cp', join(here, 'site/index'), 'volumes:/fleeting/x');
    assert.equal(await on.d('exec', 'volumes', 'cat', '/fleeting/x'), 'hello');
    for (const [path, words] of [['/ro/x', 'mounted volume is marked read-only'], ['/etc/x', 'container rootfs is marked read-only']] as const) assert.match((await on.tryDocker(['cp', join(here, 'site/index'), `volumes:${path}`])).stderr, new RegExp(words));
    assert.equal((await put('volumes', '/etc', Buffer.concat([member('x'), tarEnd]))).status, 403);
    await on.d('cp', join(here, 'site/index'), 'volumes:/named/running');
    await on.d('stop', 'volumes');
    await on.d('cp', join(here, 'site/index'), 'volumes:/named/stopped');
    await on.d('start', 'volumes');
    assert.equal(await on.d('exec', 'volumes', 'ls', '/named'), 'running\nstopped');
    await on.d('stop', 'volumes');
    assert.equal(await on.d('cp', 'volumes:/ro/v', join(here, 'v')), '');
    assert.equal((await put('volumes', '/etc', Buffer.concat([member('x'), tarEnd]))).status, 403);
    assert.equal((await put('volumes', '/ro', Buffer.concat([member('x'), tarEnd]))).status, 403);
    await on.d('rm', '-f', 'volumes');
    await on.d('volume', 'rm', 'named');
  });

  test('hostile archives are contained or refused, and told why', async () => {
    await on.d('run', '-d', '--name', 'hostile', '--network', 'none', 'busybox', ...sleeper);
    const victim = join(here, 'victim');
    await writeFile(victim, 'of the host');
    const refused = async (body: Buffer, words: RegExp, path = '/tmp'): Promise<void> => {
      const { status, text } = await put('hostile', path, body);
      assert.match(`${status} ${text}`, words);
    };
    await refused(Buffer.concat([member('../../etc/evil', {}, 'x'), tarEnd]), /^400 .*outside/);
    await refused(Buffer.concat([member('l', { type: 'link', linkName: Buffer.from('../../etc/passwd') }), tarEnd]), /^400 .*hard link.*outside/);
    await refused(Buffer.concat([member('huge', { sizeBytes: 2 ** 50 }, ''), Buffer.alloc(1024)]), /^400 .*middle of huge/);
    await refused(Buffer.from('no tar at all'.repeat(100)), /^400 .*no tar header/);
    await refused(Buffer.alloc(0), /^400 /);
    await refused(Buffer.concat([member('x', {}, 'x'), tarEnd]), /^400 .*extraction point is not a directory/, '/etc/passwd');
    await refused(Buffer.concat([member('x', {}, 'x'), tarEnd]), /^404 .*Could not find the file \/nope in container hostile/, '/nope');
    // An absolute name, and a file through a link to the host's: both stay in the container.
    const inside = Buffer.concat([member(victim, {}, 'absolute'), member('way', { type: 'symlink', linkName: Buffer.from(`../../../../../..${here}`) }), member('way/victim', {}, 'through'), tarEnd]);
    await put('hostile', '/tmp', inside);
    assert.equal(await readFile(victim, 'utf8'), 'of the host');
    assert.equal(await on.d('exec', 'hostile', 'cat', `/tmp${victim}`), 'absolute');
    assert.equal((await on.tryDocker(['exec', 'hostile', 'ls', '/tmp/huge'])).code, 1, 'half a file is taken away');
    await on.d('rm', '-f', 'hostile');
    await nothingLeft();
  });

  test('a link that is changed all the time never leads out', async () => {
    const secret = `${randomBytes(8).toString('hex')}`;
    await writeFile(join(here, 'secret'), secret);
    await on.d('run', '-d', '--name', 'racing', '--network', 'none', 'busybox', 'sh', '-c', `mkdir -p /real${here} /d; echo inside > /real${here}/secret; while :; do rm -rf /d; mkdir -p /d; echo mine > /d/secret; rm -rf /d; ln -s ../../../../..${here} /d; done`);
    for (let turn = 0; turn < 40; turn++) assert.doesNotMatch((await bytesOf('racing', '/d/secret').catch(() => Buffer.alloc(0))).toString('latin1'), new RegExp(secret));
    await on.d('rm', '-f', 'racing');
  });

  test('a client that goes away half-way, an agent that is killed, a start and a removal meanwhile leave nothing', async () => {
    await on.d('create', '--name', 'cut', '--network', 'none', 'busybox', ...sleeper);
    const upload = (): { outgoing: ReturnType<typeof request>; over: Promise<number | null> } => {
      const outgoing = request({ socketPath: cluster.socket, method: 'PUT', path: '/v1.43/containers/cut/archive?path=/', agent: false, headers: { host: 'docker', 'content-type': 'application/x-tar', 'transfer-encoding': 'chunked' } });
      const over = new Promise<number | null>((resolve) => {
        outgoing.once('response', (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        }).once('error', () => resolve(null));
      });
      outgoing.write(member('half', { sizeBytes: 2 ** 30 }, '').subarray(0, 512));
      outgoing.write(Buffer.alloc(100_000, 'x'));
      return { outgoing, over };
    };
    const begun = async (): Promise<ReturnType<typeof upload>> => {
      const one = upload();
      await eventually('a helper is at it', copying);
      return one;
    };

    (await begun()).outgoing.destroy();
    await nothingLeft();
    assert.match((await on.tryDocker(['cp', 'cut:/half', here])).stderr, /Could not find the file/);

    const killed = await begun();
    await cluster.signal('agent', 'SIGKILL');
    assert.notEqual(await killed.over, 200);
    await nothingLeft();
    await cluster.healthy();
    assert.match((await on.tryDocker(['cp', 'cut:/half', here])).stderr, /Could not find the file/);

    const started = await begun();
    await on.d('start', 'cut');
    assert.equal(await started.over, 409);
    await nothingLeft();
    assert.equal(await on.d('exec', 'cut', 'echo', 'up'), 'up');
    const removed = await begun();
    await on.d('rm', '-f', 'cut');
    assert.equal(await removed.over, 409);
    await nothingLeft();
  });

  test('bad requests name what is wrong', async () => {
    await on.d('create', '--name', 'bad', 'busybox', 'true');
    const answers = async (method: string, path: string): Promise<string> => {
      const { status, text } = await on.http(method, `/v1.43${path}`);
      return `${status} ${text}`;
    };
    assert.match(await answers('GET', '/containers/bad/archive'), /^400 .*path: this query parameter is required/);
    assert.match(await answers('GET', '/containers/bad/archive?path='), /^400 .*path/);
    assert.match(await answers('GET', '/containers/nope/archive?path=/'), /^404 .*No such container: nope/);
    assert.match(await answers('GET', '/containers/bad/archive?path=%00'), /^400 .*NUL/);
    assert.match(await answers('GET', '/containers/bad/archive?path=/bin/busybox/'), /^400 .*not a directory/);
    assert.match(await answers('PUT', '/containers/bad/archive?path=/'), /^400 .*the body/);
    assert.match(await answers('HEAD', '/containers/bad/archive?path=/nope'), /^404/);
    const { headers } = await on.http('HEAD', '/v1.43/containers/bad/archive?path=/bin/sh');
    const told = JSON.parse(Buffer.from(String(headers['x-docker-container-path-stat']), 'base64').toString()) as { name: string; size: number };
    assert.equal(told.name, 'sh');
    await on.d('rm', 'bad');
  });
});

describe('docker cp with a machine', { skip: skip || (runtimes.find(({ name }) => name === 'runv')?.skip ?? false), timeout: 300_000 }, () => {
  test('both ways while it runs, its guest doing it', async () => {
    const volume = join(here, 'machine-volume');
    await mkdir(volume);
    await on.d('run', '-d', '--name', 'machine', '--runtime', 'runv', '--network', 'none', '-v', `${volume}:/data`, 'busybox', ...sleeper);
    await on.d('cp', join(here, 'site'), 'machine:/srv');
    assert.equal(await on.d('exec', 'machine', 'cat', '/srv/link'), 'hello');
    await on.d('cp', 'machine:/srv', join(here, 'machine-out'));
    assert.equal(await readFile(join(here, 'machine-out/sub', 'n'.repeat(150)), 'utf8'), 'a long name');
    await on.d('cp', join(here, 'big'), 'machine:/tmp/big');
    assert.equal((await on.d('exec', 'machine', 'sha256sum', '/tmp/big')).split(' ')[0], await digest(join(here, 'big')));
    await on.d('cp', 'machine:/tmp/big', join(here, 'machine-big'));
    assert.equal(await digest(join(here, 'machine-big')), await digest(join(here, 'big')));
    await on.d('cp', join(here, 'site/index'), 'machine:/data/x');
    assert.equal(await readFile(join(volume, 'x'), 'utf8'), 'hello\n');
    assert.match((await on.tryDocker(['cp', 'machine:/nope', here])).stderr, /Could not find the file \/nope in container machine/);
    assert.match((await put('machine', '/tmp', Buffer.concat([member('../../evil', {}, 'x'), tarEnd]))).text, /outside/);
    assert.doesNotMatch(await on.d('exec', 'machine', 'ps'), /files|pouch-init/, 'nothing of it is left in the guest');
    await on.d('pause', 'machine');
    assert.match((await on.tryDocker(['cp', 'machine:/srv', here])).stderr, /unpause it first/);
    await on.d('unpause', 'machine');
    await on.d('rm', '-f', 'machine');
  });
});

describe('docker cp with a machine that does not run', { skip: skip || (runtimes.find(({ name }) => name === 'runv')?.skip ?? false), timeout: 300_000 }, () => {
  test('into one that was never started, and out of one that has ended: its guest is booted for it and its process is not started', async () => {
    const volume = join(here, 'resting-volume');
    await mkdir(volume);
    await on.d('create', '--name', 'rest', '--runtime', 'runv', '--network', 'none', '-v', `${volume}:/data`, '--tmpfs', '/gone', 'busybox', 'sh', '-c', 'cat /in/link > /out; echo ran >> /data/ran');
    await on.d('cp', join(here, 'site'), 'rest:/in');
    await on.d('cp', join(here, 'site/index'), 'rest:/data/x');
    assert.deepEqual([await readFile(join(volume, 'x'), 'utf8'), await readdir(volume)], ['hello\n', ['x']]);
    assert.match((await put('rest', '/in', Buffer.concat([member('../../evil', {}, 'x'), tarEnd]))).text, /outside/);
    assert.match((await on.tryDocker(['cp', 'rest:/nope', here])).stderr, /Could not find the file \/nope in container rest/);
    await on.d('start', '-a', 'rest'); // its machine ends first
    await on.d('cp', 'rest:/out', join(here, 'rest-out'));
    assert.equal(await readFile(join(here, 'rest-out'), 'utf8'), 'hello\n');
    await on.d('cp', 'rest:/in', join(here, 'rest-in'));
    assert.equal(await readFile(join(here, 'rest-in/sub', 'n'.repeat(150)), 'utf8'), 'a long name');
    await on.d('cp', join(here, 'big'), 'rest:/in/big');
    const [{ State: { Status: status } }] = JSON.parse(await on.d('inspect', 'rest')) as [{ State: { Status: string } }];
    assert.equal(status, 'exited');
    assert.equal(await readFile(join(volume, 'ran'), 'utf8'), 'ran\n');
    await on.d('start', '-a', 'rest');
    await on.d('cp', 'rest:/in/big', join(here, 'rest-big'));
    assert.equal(await digest(join(here, 'rest-big')), await digest(join(here, 'big')));
    await on.d('rm', 'rest');
    await eventually('nothing is left of its machine', async () => !(await holding()));
  });

  test('results out of one that was run once', async () => {
    for (const name of ['once', 'again']) {
      await on.d('run', '--name', name, '--runtime', 'runv', '--network', 'none', 'busybox', 'sh', '-c', `echo ${name} > /result`);
      await on.d('cp', `${name}:/result`, join(here, name));
      assert.equal(await readFile(join(here, name), 'utf8'), `${name}\n`);
    }
    await on.d('rm', 'once', 'again');
  });

  test('an agent that is killed leaves no machine', async () => {
    await on.d('create', '--name', 'left', '--runtime', 'runv', '--network', 'none', 'busybox', 'cat', '/in/index');
    await on.d('cp', join(here, 'site'), 'left:/in');
    await cluster.signal('agent', 'SIGKILL');
    await cluster.healthy();
    await eventually('it starts', async () => (await on.tryDocker(['start', 'left'])).code === 0);
    await eventually('it has ended', async () => (await on.d('inspect', '-f', '{{.State.Status}}', 'left')) === 'exited');
    assert.equal(await on.d('logs', 'left'), 'hello');
    assert.equal(await holding(), false);
    await on.d('rm', 'left');
  });
});

describe('pouch cp', { skip, timeout: 300_000 }, () => {
  test('both ways, renamed, and as a tar', async () => {
    await on.d('create', '--name', 'ours', '--network', 'none', 'busybox', 'true');
    assert.match((await on.tryPouch(['cp', join(here, 'site'), 'ours:/new'])).stderr, /^Successfully copied .*B to ours:\/new\n$/);
    assert.equal(await on.p('cp', '-q', 'ours:/new', join(here, 'ours')), '');
    assert.equal(await readFile(join(here, 'ours/link'), 'utf8'), 'hello\n');
    await on.p('cp', `${join(here, 'site')}/.`, 'ours:/tmp');
    await on.p('cp', 'ours:/tmp/index', join(here, 'ours-index'));
    assert.equal(await readFile(join(here, 'ours-index'), 'utf8'), 'hello\n');
    assert.match(await on.p('cp', 'ours:/tmp/index', '-'), /^index\0/);
    assert.equal((await on.tryPouch(['cp', '-', 'ours:/tmp'], execFileSync('tar', ['-C', here, '-c', 'big'], { maxBuffer: 2 ** 27 }))).code, 0);
    await on.p('cp', 'ours:/tmp/big', join(here, 'ours-big'));
    assert.equal(await digest(join(here, 'ours-big')), await digest(join(here, 'big')));
    const refused = await on.tryPouch(['cp', 'ours:/nope', here]);
    assert.deepEqual([refused.code, refused.stderr.trim()], [1, 'pouch: Could not find the file /nope in container ours']);
    assert.match((await on.tryPouch(['cp', join(here, 'site'), 'ours:/etc/passwd'])).stderr, /onto the file/);
    await on.d('rm', 'ours');
  });
});

/** A GET of a tar. */
async function bytesOf(name: string, path: string): Promise<Buffer> {
  return await new Promise((resolve, reject) => {
    request({ socketPath: cluster.socket, path: `/v1.43/containers/${name}/archive?path=${encodeURIComponent(path)}`, agent: false, headers: { host: 'docker' } }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk)).once('end', () => resolve(Buffer.concat(chunks))).once('error', reject);
    }).once('error', reject).end();
  });
}
