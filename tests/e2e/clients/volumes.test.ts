// The docker CLI and `pouch` on volumes: made, written, read by others, filled from images, refused, listed, pruned; and nothing of them lost or left where
// agents, apis and schedulers are killed.
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { startTestCluster, type TestCluster } from '../../fixtures/cluster.ts';
import { busyboxImage, dockerArchive, layerOf, tarOf } from '../../fixtures/images.ts';
import { Clients, eventually, unavailable } from './clients.ts';
import { machines, runtimes } from './runtimes.ts';

const skip = unavailable('docker');
let cluster: TestCluster;
let on: Clients;

/** An image that has files at its VOLUME, of several owners and kinds, and a link on the way to it. */
async function imageWithData(): Promise<Buffer> {
  const [below, above] = await Promise.all([
    tarOf([
      { name: 'srv', type: 'directory', uid: 33, gid: 50, mode: 0o750 }, { name: 'srv/kept', data: 'from the image\n', uid: 33, gid: 50, mode: 0o640 }, { name: 'srv/whited-out', data: 'x' },
      { name: 'srv/deep', type: 'directory', uid: 1, gid: 1, mode: 0o711 }, { name: 'srv/deep/script', data: '#!/bin/sh\n', mode: 0o4755 }, { name: 'srv/link', type: 'symlink', linkname: '/etc/passwd' }, { name: 'data', type: 'symlink', linkname: 'srv' },
    ]),
    tarOf([{ name: 'srv/.wh.whited-out', data: '' }, { name: 'srv/deep/upper', data: 'upper\n', mode: 0o600 }]),
  ]);
  return await dockerArchive([await busyboxImage({ reference: 'docker.io/library/with-data:latest', config: { Volumes: { '/data': {} } }, layers: [layerOf(below), layerOf(above)] })]);
}

before(async () => {
  if (skip !== false) return;
  cluster = await startTestCluster({ machines });
  on = new Clients(cluster);
  assert.equal((await on.tryDocker(['load'], await imageWithData())).code, 0);
});
after(async () => {
  await on?.close();
  await cluster?.stop();
});

const volumes = async (...flags: string[]): Promise<string[]> => (await on.d('volume', 'ls', '-q', ...flags)).split('\n').filter((name) => name !== '').sort();
const directories = (): string[] => readdirSync(join(cluster.config.data, 'agent', 'volumes')).sort();
const mountpoint = async (name: string): Promise<string> => await on.d('volume', 'inspect', '-f', '{{.Mountpoint}}', name);
const refused = async (...args: string[]): Promise<string> => {
  const { code, stderr } = await on.tryDocker(args);
  assert.notEqual(code, 0, args.join(' '));
  return stderr;
};

beforeEach(async () => {
  if (skip !== false) return;
  await on.removeAll();
  const left = await volumes();
  if (left.length > 0) await on.d('volume', 'rm', ...left);
  await eventually('no data are left', () => directories().length === 0);
});

for (const runtime of runtimes) describe(`by ${runtime.name}`, { skip: skip || runtime.skip, timeout: 300_000 }, () => {
  const flags = ['--rm', '--network', 'none', '--runtime', runtime.name];
  const run = async (more: readonly string[], image: string, script: string): Promise<string> => await on.d('run', ...flags, ...more, image, 'sh', '-c', script);

  test('what one container writes another one reads; a read-only one cannot write', async () => {
    await run(['-v', 'data:/data'], 'busybox', 'echo hello > /data/file');
    assert.equal(await run(['-v', 'data:/elsewhere:ro'], 'busybox', 'cat /elsewhere/file; touch /elsewhere/x 2>&1 | grep -o "Read-only.*"'), 'hello\nRead-only file system');
    assert.equal(await run(['--mount', 'type=volume,src=data,dst=/m,readonly'], 'busybox', 'cat /m/file'), 'hello');
    assert.deepEqual(await volumes(), ['data']);
  });

  test('an empty volume gets what the image has there, once, with owners, modes and links as they are', async () => {
    const shown = 'stat -c "%n %u:%g %a" /data/. /data/kept /data/deep /data/deep/script /data/deep/upper; readlink /data/link; cat /data/kept; ls /data | tr "\\n" " "';
    const expected = '/data/. 33:50 750\n/data/kept 33:50 640\n/data/deep 1:1 711\n/data/deep/script 0:0 4755\n/data/deep/upper 0:0 600\n/etc/passwd\nfrom the image\ndeep kept link ';
    assert.equal(await run(['-v', 'filled:/data'], 'with-data', shown), expected);
    await run(['-v', 'filled:/data'], 'with-data', 'rm /data/kept; echo mine > /data/own');
    assert.equal(await run(['-v', 'filled:/data'], 'with-data', 'ls /data | tr "\\n" " "'), 'deep link own ');
    assert.equal(await run(['-v', 'bare:/data:nocopy'], 'with-data', 'ls -A /data'), '');
  });

  test('--volumes-from: binds and volumes of another container that does not run, read-only where either says so; they outlive it', async () => {
    const bound = await mkdtemp(join(cluster.directory, 'bound-'));
    await writeFile(join(bound, 'file'), 'bound');
    await on.d('run', '--name', 'first', ...flags.slice(1), '-v', `${bound}:/bound:ro`, '-v', 'named:/named', '-v', '/own', '--tmpfs', '/fleeting', 'with-data', 'sh', '-c', 'echo named > /named/file; echo own > /own/file');
    const all = 'cat /bound/file /named/file /own/file /data/kept; ls -d /fleeting 2>&1 | grep -c No';
    assert.equal(await run(['--volumes-from', 'first'], 'busybox', `${all}; echo more > /named/file; touch /bound/x 2>/dev/null || echo kept`), 'boundnamed\nown\nfrom the image\n1\nkept');
    assert.equal(await run(['--volumes-from', 'first:ro', '--mount', 'type=volume,dst=/own'], 'busybox', 'cat /named/file; ls -A /own; touch /named/x 2>/dev/null || echo kept'), 'more\nkept');
    await on.d('create', '--name', 'second', ...flags.slice(1), '--volumes-from', 'first:ro', 'busybox', 'cat', '/own/file');
    assert.deepEqual(JSON.parse(await on.inspect('second', '[{{json .HostConfig.VolumesFrom}}, {{json .HostConfig.Binds}}]')), [['first:ro'], []]);
    const shown = JSON.parse(await on.inspect('second', '{{json .Mounts}}')) as { Destination: string; RW: boolean; Type: string; Name?: string }[];
    assert.deepEqual(shown.map(({ Destination, RW, Type }) => `${Destination} ${RW} ${Type}`).sort(), ['/bound false bind', '/data false volume', '/named false volume', '/own false volume']);
    await on.d('rm', '-v', 'first');
    assert.equal(await on.d('start', '-a', 'second'), 'own');
    await on.d('rm', '-v', 'second');
    assert.deepEqual(await volumes(), ['named'], 'those that had no name went with the last that had them');
  });
});

describe('volumes', { skip, timeout: 300_000 }, () => {
  test('create, inspect, ls with filters, rm', async () => {
    assert.equal(await on.d('volume', 'create', '--label', 'team=a', 'one'), 'one');
    assert.equal(await on.d('volume', 'create', 'one'), 'one');
    await on.d('volume', 'create', 'two.with_more-letters');
    const unnamed = await on.d('volume', 'create');
    assert.match(unnamed, /^[0-9a-f]{64}$/);
    assert.equal(await on.d('volume', 'inspect', '-f', '{{.Name}} {{.Driver}} {{.Scope}} {{.Mountpoint}} {{json .Labels}}', 'one'), 'one local local  {"team":"a"}');
    await on.d('create', '--name', 'user', '--network', 'none', '-v', 'one:/data', 'busybox', 'true');
    assert.ok(existsSync(await mountpoint('one')));
    assert.equal(JSON.parse((await on.http('GET', '/volumes/one')).text).Node.ID, 'test-host');
    assert.equal(await on.inspect('user', '{{range .Mounts}}{{.Type}} {{.Name}} {{.Source}} {{.Destination}} {{.Driver}} {{.RW}}{{end}}'), `volume one ${await mountpoint('one')} /data local true`);
    assert.deepEqual(await volumes('-f', 'dangling=true'), [unnamed, 'two.with_more-letters'].sort());
    assert.deepEqual(await volumes('-f', 'dangling=false'), ['one']);
    assert.deepEqual(await volumes('-f', 'label=team=a'), ['one']);
    assert.deepEqual(await volumes('-f', 'name=wit'), ['two.with_more-letters']);
    assert.deepEqual(await volumes('-f', 'driver=other'), []);
    assert.equal(await on.d('ps', '-a', '--filter', 'volume=one', '--format', '{{.Names}} {{.Mounts}}'), 'user one');
    assert.match(await refused('volume', 'rm', 'one'), new RegExp(`volume is in use - \\[${await on.inspect('user', '{{.Id}}')}\\]`));
    await on.d('rm', 'user');
    await on.d('volume', 'rm', 'one', 'two.with_more-letters', unnamed);
    assert.match(await refused('volume', 'rm', 'one'), /no such volume/);
    await on.d('volume', 'rm', '-f', 'one');
    assert.match(await refused('volume', 'inspect', 'one'), /no such volume/i);
  });

  test('what cannot be is refused by its name', async () => {
    for (const [args, field] of [
      [['volume', 'create', '--driver', 'nfs', 'x1'], /Driver: there is no volume driver "nfs"/], [['volume', 'create', '-o', 'type=nfs', 'x1'], /DriverOpts: .*type/], [['volume', 'create', '../x'], /Name: .*invalid characters/],
      [['volume', 'create', 'x'], /Name: .*too short/], [['volume', 'ls', '-f', 'colour=red'], /invalid filter 'colour'/], [['volume', 'ls', '-f', 'dangling=maybe'], /filters\.dangling/],
      [['create', '-v', 'a b:/x', 'busybox'], /HostConfig\.Binds\[0\]/], [['create', '--volumes-from', 'nobody', 'busybox'], /HostConfig\.VolumesFrom\[0\]: No such container: nobody/],
      [['create', '--volumes-from', 'nobody:often', 'busybox'], /HostConfig\.VolumesFrom\[0\]: invalid mode: often/],
    ] as const) assert.match(await refused(...args), field);
    assert.equal((await on.http('POST', '/volumes/create', { body: { Name: 'c1', ClusterVolumeSpec: { Group: 'x' } } })).status, 400);
    assert.deepEqual(await volumes(), []);
  });

  test('anonymous volumes go with --rm and rm -v, stay with rm; named ones stay', async () => {
    await on.d('run', '--rm', '--network', 'none', '-v', '/own', '-v', 'kept:/kept', 'with-data', 'sh', '-c', 'touch /own/x /data/x /kept/x');
    await eventually('those of --rm are gone', async () => (await volumes()).join() === 'kept');
    await on.d('create', '--name', 'first', '--network', 'none', '-v', '/own', 'with-data');
    assert.deepEqual((await on.inspect('first', '{{range .Mounts}}{{.Destination}} {{end}}')).trim().split(' ').sort(), ['/data', '/own']);
    assert.equal((await volumes()).length, 3);
    await on.d('rm', '-v', 'first');
    assert.deepEqual(await volumes(), ['kept']);
    await on.d('create', '--name', 'second', '--network', 'none', 'with-data');
    await on.d('rm', 'second');
    assert.equal((await volumes('-f', 'dangling=true')).length, 2);
    assert.match(await on.d('system', 'df', '-v'), /kept +0/);
    assert.match(await on.d('volume', 'prune', '-f'), /Total reclaimed space: \S+/);
    assert.deepEqual(await volumes(), ['kept']);
    await eventually('only the kept data are left', () => directories().length === 1);
    assert.match(await on.d('volume', 'prune', '-f', '-a'), /kept/);
    await eventually('no data are left', () => directories().length === 0);
  });

  test('a volume that is removed and made again is empty; links in it are removed, not followed', async () => {
    await on.d('run', '--rm', '--network', 'none', '-v', 'again:/data', 'busybox', 'touch', '/data/old');
    const [place, outside] = [await mountpoint('again'), join(cluster.directory, 'outside')];
    await writeFile(outside, 'stays');
    await symlink(cluster.directory, join(place, 'out'));
    await on.d('volume', 'rm', 'again');
    assert.equal(await on.d('run', '--rm', '--network', 'none', '-v', 'again:/data', 'busybox', 'ls', '-A', '/data'), '');
    await eventually('the old data are gone', () => !existsSync(place));
    assert.equal(await readFile(outside, 'utf8'), 'stays');
    assert.notEqual(await mountpoint('again'), place);
  });

  test('events tell of volumes', async () => {
    const since = String(Math.floor(Date.now() / 1000) - 1);
    await on.d('volume', 'create', 'told');
    await on.d('volume', 'rm', 'told');
    const until = String(Math.floor(Date.now() / 1000) + 1);
    assert.equal(await on.d('events', '--since', since, '--until', until, '--filter', 'type=volume', '--filter', 'volume=told', '--format', '{{.Type}} {{.Action}} {{.Actor.ID}}'), 'volume create told\nvolume destroy told');
  });

  test('agent, scheduler and api killed in between: data stay, what is removed goes, what is not known is left alone', async () => {
    await on.d('run', '-d', '--name', 'writer', '--network', 'none', '-v', 'lasting:/data', 'busybox', 'sh', '-c', 'echo before > /data/file; sleep 1000');
    await on.d('run', '--rm', '--network', 'none', '-v', 'going:/data', 'busybox', 'touch', '/data/x');
    const [lasting, going] = [await mountpoint('lasting'), await mountpoint('going')];
    await cluster.signal('agent', 'SIGKILL');
    await on.d('volume', 'rm', 'going');
    const stranger = join(cluster.config.data, 'agent', 'volumes', 'f'.repeat(32));
    await mkdir(join(stranger, '_data'), { recursive: true });
    for (const name of ['scheduler', 'api'] as const) await cluster.signal(name, 'SIGKILL');
    await cluster.healthy();
    await eventually('the removed data are gone', () => !existsSync(going));
    assert.equal(await readFile(join(lasting, 'file'), 'utf8'), 'before\n');
    assert.equal(await on.d('run', '--rm', '--network', 'none', '-v', 'lasting:/data', 'busybox', 'cat', '/data/file'), 'before');
    assert.match(await refused('volume', 'rm', 'lasting'), /volume is in use/);
    assert.ok(existsSync(stranger));
    await rm(stranger, { recursive: true });
    await on.d('rm', '-f', 'writer');
    await on.d('volume', 'rm', 'lasting');
    assert.equal((await on.tryPouch(['cluster', 'verify'])).code, 0);
  });

  test('pouch volume', async () => {
    assert.equal(await on.p('volume', 'create', '-l', 'a=b', 'mine'), 'mine');
    await on.p('run', '--rm', '--network', 'none', '-v', 'mine:/data', '--mount', 'type=volume,dst=/own', 'busybox', 'touch', '/data/x');
    assert.match(await on.p('volume', 'ls'), /^Driver +Volume name +Host\nlocal +mine +test-host$/m);
    assert.equal(await on.p('volume', 'inspect', '-f', '{{.Node.Name}} {{.Mountpoint}}', 'mine'), `test-host ${await mountpoint('mine')}`);
    assert.match((await on.tryPouch(['volume', 'prune'])).stderr, /--force/);
    assert.match(await on.p('volume', 'prune', '--all', '--force'), /mine/);
    assert.equal((await on.tryPouch(['volume', 'rm', 'mine'])).code, 1);
  });
});
