// Images on a cluster of its own, by the docker CLI and `pouch`: pulled from a registry with plain http, loaded, named, removed, pruned.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { startTestCluster } from '../../fixtures/cluster.ts';
import { busyboxImage, busyboxMissing, dockerArchive, layerOf, ociLayout, tarOf } from '../../fixtures/images.ts';
import { startRegistry, type TestRegistry } from '../../fixtures/registry.ts';
import { Clients, unavailable } from './clients.ts';

const skip = unavailable('docker') || busyboxMissing();
let on: Clients;
let registry: TestRegistry;

before(async () => {
  if (skip !== false) return;
  registry = await startRegistry({ auth: 'token', username: 'me', password: 'secret' });
  const registries = { plainHttp: [registry.host], mirrors: { 'docker.io': [registry.url] }, credentials: { [registry.host]: { username: 'me', password: 'secret' } } };
  const extra = layerOf(await tarOf([{ name: 'pulled', data: 'by the registry\n', mode: 0o644 }]));
  registry.push('team/app', '1.0', await busyboxImage({ layers: [extra], config: { Cmd: ['cat', '/pulled'], Env: ['PATH=/bin', 'OF=image'], Labels: { made: 'for a test' } } }));
  registry.push('library/tool', 'latest', await busyboxImage({ config: { Cmd: ['echo', 'mirrored'] } }));
  on = new Clients(await startTestCluster({ env: { POUCH_REGISTRIES: JSON.stringify(registries) } }));
});
after(async () => {
  await on?.close();
  await on?.cluster.stop();
  await registry?.close();
});

const refusal = async (...args: string[]): Promise<string> => {
  const { code, stderr } = await on.tryDocker(args);
  assert.notEqual(code, 0, args.join(' '));
  return stderr.trim();
};

describe('images', { skip }, () => {
  test('docker run pulls what is not there: from a registry with plain http and tokens, with progress', async () => {
    const name = `${registry.host}/team/app:1.0`;
    const { code, stdout, stderr } = await on.tryDocker(['run', '--rm', '--network', 'none', name]);
    assert.deepEqual([code, stdout], [0, 'by the registry\n'], stderr);
    assert.match(stderr, new RegExp(`Unable to find image '${name}' locally[^]*1\\.0: Pulling from [^\n]*team/app[^]*Pull complete[^]*Digest: sha256:[0-9a-f]{64}[^]*Status: Downloaded newer image for ${name}`));
    assert.match(await on.d('pull', name), /Image is up to date/);
    assert.equal(await on.run([], 'true'), '');
  });

  test('docker.io goes to the mirror; pouch pulls, too, and says how far it is', async () => {
    assert.equal(await on.d('run', '--rm', '--network', 'none', '--pull', 'always', 'tool'), 'mirrored');
    await on.d('rmi', 'tool');
    const { code, stdout, stderr } = await on.tryPouch(['pull', 'tool']);
    assert.equal(code, 0, stderr);
    assert.match(stdout + stderr, /tool/);
    assert.equal(await on.p('run', '--rm', '--network', 'none', 'tool'), 'mirrored');
  });

  test('what a registry does not have, or does not answer, is said in plain words', async () => {
    assert.match(await refusal('pull', `${registry.host}/team/app:none`), /manifest (for .* not found|unknown)|not found/);
    assert.match(await refusal('pull', `${registry.host}/no/such`), /not found|does not exist|not known|denied/);
    assert.match(await refusal('pull', '127.0.0.1:1/a/b'), /127\.0\.0\.1:1/);
    assert.match((await on.tryPouch(['pull', `${registry.host}/no/such`])).stderr, /^pouch: /);
  });

  test('images, inspect, history', async () => {
    const name = `${registry.host}/team/app`;
    assert.match(await on.d('images', '--format', '{{.Repository}}:{{.Tag}}'), new RegExp(`^busybox:latest$`, 'm'));
    assert.equal(await on.d('images', '-q', '--no-trunc', name), await on.inspect(`${name}:1.0`, '{{.Id}}'));
    assert.equal(await on.d('images', '-q', '--filter', 'label=made=for a test', '--filter', 'dangling=false'), (await on.inspect(`${name}:1.0`, '{{.Id}}')).slice(7, 19));
    assert.equal(await on.inspect(`${name}:1.0`, '{{json .RepoTags}} {{.Os}} {{index .Config.Labels "made"}} {{json .Config.Cmd}}'), `["${name}:1.0"] linux for a test ["cat","/pulled"]`);
    assert.match(await on.d('history', '--no-trunc', `${name}:1.0`), /^IMAGE +CREATED +CREATED BY +SIZE/);
    assert.match(await on.p('history', 'busybox'), /busybox/);
    assert.match(await on.p('images'), /^Repository|^REPOSITORY|^Name/);
    assert.match(await refusal('image', 'inspect', 'nothing'), /No such image: nothing/);
  });

  test('load: docker archives and OCI layouts, by both clients; what is none is refused', async () => {
    const archive = await dockerArchive([await busyboxImage({ reference: 'docker.io/library/loaded:1', config: { Cmd: ['echo', 'loaded'] } })], { compress: true });
    const { code, stdout, stderr } = await on.tryDocker(['load'], archive);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /Loaded image: loaded:1/);
    assert.equal(await on.d('run', '--rm', '--network', 'none', 'loaded:1'), 'loaded');
    const file = join(on.cluster.directory, 'layout.tar');
    await writeFile(file, await ociLayout([await busyboxImage({ reference: 'docker.io/library/layout:2', config: { Cmd: ['echo', 'from a layout'] } })]));
    assert.match(await on.p('load', '-i', file), /layout:2/);
    assert.equal(await on.p('run', '--rm', '--network', 'none', 'layout:2'), 'from a layout');
    const rubbish = await on.tryDocker(['load'], Buffer.alloc(10_000, 'no tar'));
    assert.notEqual(rubbish.code, 0);
  });

  test('tag and rmi: a name goes, the image with its last one, and not while a container has it', async () => {
    await on.d('tag', 'loaded:1', 'other/name:2');
    assert.equal(await on.inspect('other/name:2', '{{.Id}}'), await on.inspect('loaded:1', '{{.Id}}'));
    await on.p('tag', 'loaded:1', 'third:3');
    assert.equal(await on.d('rmi', 'third:3'), 'Untagged: third:3');
    await on.d('create', '--name', 'user', 'other/name:2', 'true');
    assert.equal(await on.d('rmi', 'other/name:2'), 'Untagged: other/name:2');
    assert.match(await refusal('rmi', 'loaded:1'), /conflict: unable to (remove repository reference|delete).*in use|is using|being used/i);
    await on.d('rm', 'user');
    assert.match(await on.d('rmi', 'loaded:1'), /^Untagged: loaded:1\nDeleted: sha256:[0-9a-f]{64}/);
    assert.match(await refusal('rmi', 'loaded:1'), /No such image: loaded:1/);
  });

  test('prune takes the images that no container uses', async () => {
    await on.d('create', '--name', 'keeper', 'busybox', 'true');
    assert.match(await on.d('image', 'prune', '-af'), /untagged: layout:2[^]*Total reclaimed space: \d/i);
    assert.equal(await on.d('images', '--format', '{{.Repository}}:{{.Tag}}'), 'busybox:latest');
    assert.equal(await on.d('run', '--rm', '--network', 'none', 'busybox', 'echo', 'still there'), 'still there');
    assert.match(await on.d('system', 'df'), /^Images +1 +/m);
  });
});
