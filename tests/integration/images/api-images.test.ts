// Docker's image endpoints of the real api against the real agent, containerd and NATS, with a registry of the test's own.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import type { NameClaim } from '@pouch/contracts';
import { NatsObjectStore, openClaims } from '@pouch/eventlog';
import { createLogger, systemClock } from '@pouch/process';
import { LinkedHosts } from '../../../services/api/src/hosts.ts';
import { listen } from '../../../services/api/src/listen.ts';
import { Projection } from '../../../services/api/src/projection/projection.ts';
import { readConfig } from '../../../services/api/src/config.ts';
import { buildServer } from '../../../services/api/src/server.ts';
import { containerdMissing } from '../../fixtures/containerd.ts';
import { busyboxImage, busyboxMissing, dockerArchive, imageOf, layerOf, ociLayout, sha256, tarOf, type FixtureImage } from '../../fixtures/images.ts';
import { startRegistry, type TestRegistry } from '../../fixtures/registry.ts';
import { eventually, startFixture, type Fixture } from '../agent/fixture.ts';

const dockerMissing = (process.env['PATH'] ?? '').split(':').some((path) => existsSync(join(path, 'docker'))) ? false : 'not installed: docker';
const options = { skip: containerdMissing() || busyboxMissing(), timeout: 300_000 };
const logger = createLogger({ service: 'test', level: 'silent' });
const run = promisify(execFile);
const cleanups: (() => Promise<void>)[] = [];
let socket: string;
let directory: string;
let hosts: LinkedHosts;
let registry: TestRegistry;
let fixture: Fixture;
let small: FixtureImage;
let other: FixtureImage;

// Answers are looked into by their Docker names.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
interface Answer { readonly status: number; readonly body: string; readonly json: any; readonly lines: any[] }

function ask(method: string, path: string, { headers = {}, body = null }: { headers?: Record<string, string>; body?: Buffer | null } = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ socketPath: socket, method, path, headers, agent: false }, (response) => {
      text(response).then((answer) => resolve({
        status: response.statusCode ?? 0, body: answer,
        get json() { return JSON.parse(answer) as unknown; },
        get lines() { return answer.trim().split('\n').map((line) => JSON.parse(line) as unknown); },
      }), reject);
    });
    request.on('error', reject);
    request.end(body ?? undefined);
  });
}

const filters = (value: object): string => `filters=${encodeURIComponent(JSON.stringify(value))}`;
const auth = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const me = { 'x-registry-auth': auth({ username: 'me', password: 'secret' }) };

before(async () => {
  if (options.skip !== false) return;
  registry = await startRegistry({ auth: 'token', username: 'me', password: 'secret' });
  cleanups.push(() => registry.close());
  fixture = await startFixture();
  cleanups.push(() => fixture.stop());
  await fixture.startAgent();
  directory = await mkdtemp(join(tmpdir(), 'pouch-test-images-'));
  cleanups.push(() => rm(directory, { recursive: true, force: true }));
  const projection = Projection.open({ directory: join(directory, 'projection'), log: { servers: fixture.nats.url }, retention: { maxAgeMs: null, maxMessages: null, endedMs: 3_600_000 }, logger });
  cleanups.push(() => projection.stop());
  hosts = new LinkedHosts({ callsLink: fixture.link, pipesLink: fixture.link });
  const server = await buildServer({ authority: null, applyRevocations: () => Promise.resolve(), takeBackup: () => Promise.reject(new Error('not asked for here')),
    config: readConfig({}), logger, clock: systemClock, log: fixture.log, projection, names: openClaims<NameClaim>({ link: fixture.link, logger }), hosts,
    kernels: new NatsObjectStore({ link: fixture.link, logger, bucket: 'kernels' }),
    secrets: { store: new NatsObjectStore({ link: fixture.link, logger, bucket: 'secrets' }), keys: null },
    nc: { request: async (subject, payload, asked) => await fixture.link.request(subject, payload ?? '', { timeoutMs: asked?.timeout ?? 1_000 }) },
  });
  socket = join(directory, 'api.sock');
  const listening = await listen(server, { socket, tcp: null }, logger);
  cleanups.push(async () => {
    await listening.close();
    hosts.close();
  });
  small = imageOf('small', [layerOf(await tarOf([{ name: 'hello', data: 'hello' }])), layerOf(await tarOf([{ name: 'more', data: Buffer.alloc(2_000_000, 1) }]))], { Labels: { team: 'a' }, Cmd: ['/hello'], Env: ['A=1'], ExposedPorts: { '80/tcp': {} }, User: 'me' });
  other = imageOf('other', [layerOf(await tarOf([{ name: 'other', data: 'other' }]))], { Labels: { team: 'b' } });
  await eventually(() => projection.present.images().length === 1 && projection.present.hosts().length === 1, 'the host and its image are known');
}, { timeout: 300_000 });
after(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup();
});

test('pull: progress as Docker tells it, and the image is there when it ends', options, async () => {
  const digest = registry.push('team/app', '1', small);
  const name = `${registry.host}/team/app`;
  const answer = await ask('POST', `/v1.43/images/create?fromImage=${name}&tag=1`, { headers: me });
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.lines[0], { status: `Pulling from ${name}`, id: '1' });
  assert.deepEqual(answer.lines.slice(-2), [{ status: `Digest: ${digest}` }, { status: `Status: Downloaded newer image for ${name}:1` }]);
  assert.ok(answer.lines.some(({ status, id }) => status === 'Pull complete' && /^[0-9a-f]{12}$/.test(id as string)));
  const { status, json } = await ask('GET', `/images/${name}:1/json`);
  assert.equal(status, 200);
  assert.equal(json.Id, small.imageId);
  assert.deepEqual([json.RepoTags, json.RepoDigests], [[`${name}:1`], [`${name}@${digest}`]]);
  assert.deepEqual([json.Config.Cmd, json.Config.Env, json.Config.User, json.Config.Entrypoint, json.Config.ExposedPorts], [['/hello'], ['A=1'], 'me', null, { '80/tcp': {} }]);
  assert.equal(json.Created, '2024-01-02T03:04:05.000Z');
  assert.deepEqual(json.RootFS, { Type: 'layers', Layers: small.layers.map(({ diffId }) => diffId) });
  assert.ok(json.Size >= 2_000_000);
});

test('an image is found by every way of writing it', options, async () => {
  const hex = small.imageId.slice(7);
  const name = `${registry.host}/team/app`;
  for (const one of [`${name}:1`, encodeURIComponent(`${name}:1`), hex, small.imageId, hex.slice(0, 12), `sha256:${hex.slice(0, 20)}`, (await ask('GET', `/images/${hex}/json`)).json.RepoDigests[0] as string]) {
    assert.equal((await ask('GET', `/images/${one}/json`)).json.Id, small.imageId, one);
  }
  assert.equal((await ask('GET', '/images/docker.io/library/busybox:latest/json')).json.RepoTags[0], 'busybox:latest');
  assert.equal((await ask('GET', '/images/busybox/json')).status, 200);
  const missing = await ask('GET', '/images/nothing/json');
  assert.deepEqual([missing.status, missing.json], [404, { message: 'No such image: nothing:latest' }]);
  const steps = (await ask('GET', `/images/${name}:1/history`)).json;
  assert.deepEqual(steps.map(({ Id, CreatedBy }: { Id: string; CreatedBy: string }) => [Id, CreatedBy]), [[small.imageId, 'layer 1'], ['<missing>', 'layer 0']]);
  assert.ok(steps[0].Size >= 2_000_000 && steps[0].Tags[0] === `${name}:1`);
});

test('a pull that cannot begin is an answer with a status; one that breaks ends with an error line', options, async () => {
  const app = `${registry.host}/team/app`;
  const unknown = await ask('POST', `/images/create?fromImage=${app}&tag=nope`, { headers: me });
  assert.equal(unknown.status, 404);
  assert.match(unknown.json.message, /manifest for .* not found/);
  const denied = await ask('POST', `/images/create?fromImage=${app}&tag=1`);
  assert.deepEqual([denied.status, /pull access denied/.test(denied.body)], [404, true]);
  registry.push('team/broken', 'latest', imageOf('broken', [layerOf(await tarOf([{ name: 'x', data: 'broken' }]))]));
  registry.options.fault = ({ path }) => (path.includes('team/broken/blobs') ? { replace: Buffer.from('nonsense') } : undefined);
  const broken = await ask('POST', `/images/create?fromImage=${registry.host}/team/broken`, { headers: me });
  registry.options.fault = () => undefined;
  const message = (broken.status === 200 ? broken.lines.at(-1).error : broken.json.message) as string;
  assert.match(message, /is not what its digest says|ends after|larger than/);
  if (broken.status === 200) assert.deepEqual(broken.lines.at(-1), { errorDetail: { message }, error: message });
  assert.equal((await ask('GET', `/images/${registry.host}/team/broken/json`)).status, 404);
});

test('a client that goes away takes its pull along', options, async () => {
  const slow = imageOf('slow', [layerOf(await tarOf([{ name: 'slow', data: 'slow' }]))]);
  registry.push('team/stalled', 'latest', slow);
  registry.options.fault = ({ path }) => (path.includes('team/stalled/blobs') && path.endsWith(slow.layers[0]!.gzipDigest) ? { stall: 10 } : undefined);
  const request = httpRequest({ socketPath: socket, method: 'POST', path: `/images/create?fromImage=${registry.host}/team/stalled`, headers: me, agent: false });
  request.on('error', () => { /* it is destroyed below */ });
  request.end();
  const leases = async (): Promise<number> => (await fixture.containerd.client.leases.list()).length;
  await eventually(async () => (await leases()) > 0 && registry.requests.some(({ path }) => path.includes('team/stalled/blobs')), 'the pull is under way');
  request.destroy();
  await eventually(async () => (await leases()) === 0, 'the pull is over');
  registry.options.fault = () => undefined;
  assert.equal((await ask('GET', `/images/${registry.host}/team/stalled/json`)).status, 404);
});

test('load: streamed in, told by name or id', options, async () => {
  const loaded = await ask('POST', '/images/load?quiet=1', { headers: { 'content-type': 'application/x-tar' }, body: await dockerArchive([{ ...small, reference: 'docker.io/library/loaded:1' }]) });
  assert.deepEqual([loaded.status, loaded.lines], [200, [{ stream: 'Loaded image: loaded:1\n' }]]);
  const unnamed = await ask('POST', '/images/load', { body: await ociLayout([other], { named: false }) });
  assert.deepEqual(unnamed.lines.at(-1), { stream: `Loaded image ID: ${other.imageId}\n` });
  assert.ok(unnamed.lines.some(({ status }) => status === 'Loading layer'));
  const bad = await ask('POST', '/images/load', { body: Buffer.alloc(5_000_000, 1) });
  assert.deepEqual([bad.status, /tar/.test(bad.json.message as string)], [400, true]);
  assert.equal((await ask('POST', '/images/load')).status, 400);
});

test('the list: grouped by image, and by each filter', options, async () => {
  const list = async (query = '', prefix = ''): Promise<{ Id: string; RepoTags: string[]; RepoDigests: string[]; Containers: number }[]> => (await ask('GET', `${prefix}/images/json?${query}`)).json as never;
  const ids = async (value: object): Promise<string[]> => (await list(filters(value))).map(({ Id }) => Id).sort();
  const busybox = (await busyboxImage()).imageId;
  const all = await list();
  assert.deepEqual(all.map(({ Id }) => Id).sort(), [busybox, other.imageId, small.imageId].sort());
  assert.deepEqual(all.find(({ Id }) => Id === small.imageId)?.RepoTags, [`${registry.host}/team/app:1`, 'loaded:1'].sort());
  assert.deepEqual(all.find(({ Id }) => Id === other.imageId)?.RepoTags, []);
  assert.deepEqual((await list('', '/v1.41')).find(({ Id }) => Id === other.imageId)?.RepoTags, ['<none>:<none>']);
  assert.deepEqual(await ids({ dangling: ['true'] }), [other.imageId]);
  assert.deepEqual(await ids({ dangling: { false: true } }), [busybox, small.imageId].sort());
  assert.deepEqual(await ids({ label: ['team'] }), [other.imageId, small.imageId].sort());
  assert.deepEqual(await ids({ label: ['team=a'] }), [small.imageId]);
  assert.deepEqual(await ids({ reference: ['busy*'] }), [busybox]);
  assert.deepEqual(await ids({ reference: ['*/*/app'] }), [small.imageId]);
  assert.deepEqual(await ids({ reference: ['*'] }), [busybox, small.imageId].sort());
  assert.deepEqual(await ids({ until: ['2020-01-01'] }), []);
  assert.equal((await ids({ until: ['1h'] })).length, 3);
  assert.deepEqual(await ids({ before: ['busybox'] }), []);
  assert.deepEqual(await ids({ since: ['busybox'] }), []);
  assert.deepEqual((await list(filters({ reference: ['loaded'] })))[0]?.RepoTags, ['loaded:1']);
});

test('tag and remove, in Docker\'s answers', options, async () => {
  assert.equal((await ask('POST', '/images/loaded:1/tag?repo=team/copy&tag=2')).status, 201);
  assert.equal((await ask('POST', `/images/${registry.host}/team/app:1/tag?repo=team/other`)).status, 201);
  assert.equal((await ask('GET', '/images/team/copy:2/json')).json.Id, small.imageId);
  assert.equal((await ask('POST', '/images/nothing/tag?repo=x')).status, 404);
  const several = await ask('DELETE', `/images/${small.imageId}`);
  assert.deepEqual([several.status, /must be forced/.test(several.json.message as string)], [409, true]);
  assert.deepEqual((await ask('DELETE', '/images/team/copy:2')).json, [{ Untagged: 'team/copy:2' }]);
  assert.equal((await ask('GET', '/images/team/copy:2/json')).status, 404);
  const gone = (await ask('DELETE', `/images/${small.imageId}?force=1`)).json as object[];
  assert.deepEqual(gone.at(-1), { Deleted: small.imageId });
  assert.equal(gone.length, 4);
  assert.equal((await ask('GET', `/images/${small.imageId}/json`)).status, 404);
  assert.deepEqual((await ask('DELETE', '/images/team/copy:2')).json, { message: 'No such image: team/copy:2' });
});

test('an image that a container stands on is refused, with the container', options, async () => {
  const id = await fixture.created();
  const { status, json } = await ask('DELETE', '/images/busybox');
  assert.equal(status, 409);
  assert.equal(json.message, `conflict: unable to remove repository reference "busybox:latest" (must force) - container ${id.slice(0, 12)} is using its referenced image ${(await busyboxImage()).imageId.slice(7, 19)}`);
  assert.equal((await ask('GET', '/images/busybox/json')).status, 200);
  const pruned = await ask('POST', `/images/prune?${filters({ dangling: ['false'] })}`);
  assert.equal(pruned.status, 200);
  assert.ok((pruned.json.ImagesDeleted as object[]).some((one) => 'Deleted' in one && one.Deleted === other.imageId));
  assert.ok(pruned.json.SpaceReclaimed > 0);
  assert.deepEqual((await ask('POST', '/images/prune')).json, { ImagesDeleted: null, SpaceReclaimed: 0 });
  await fixture.request(id, { kind: 'remove', force: true });
  await fixture.untilStatus(id, 'removed');
});

test('an upload that breaks off leaves nothing', options, async () => {
  const archive = await ociLayout([imageOf('docker.io/library/cut:1', [layerOf(await tarOf([{ name: 'x', data: Buffer.alloc(4_000_000, 3) }]))])]);
  const blobs = async (): Promise<string[]> => (await fixture.containerd.client.content.list()).map(({ digest }) => digest);
  const before = new Set(await blobs()); // some of it may be collected meanwhile
  const request = httpRequest({ socketPath: socket, method: 'POST', path: '/images/load', agent: false, headers: { 'content-length': archive.length } });
  request.on('error', () => { /* it is destroyed below */ });
  request.write(archive.subarray(0, archive.length / 2));
  const leases = async (): Promise<number> => (await fixture.containerd.client.leases.list()).length;
  await eventually(async () => (await leases()) > 0, 'the load is under way');
  request.destroy();
  await eventually(async () => (await leases()) === 0, 'the load is over');
  await eventually(async () => (await blobs()).every((digest) => before.has(digest)), 'nothing of it is there');
  assert.equal((await ask('GET', '/images/cut:1/json')).status, 404);
});

test('the docker CLI pulls, loads, lists, tags and removes', { ...options, skip: options.skip || dockerMissing }, async () => {
  const docker = async (...args: string[]): Promise<string> => (await run('docker', ['-H', `unix://${socket}`, ...args], { env: { PATH: process.env['PATH'] ?? '', HOME: directory }, timeout: 60_000 })).stdout;
  registry.options.auth = 'none';
  const name = `${registry.host}/team/app:1`;
  assert.match(await docker('pull', name), new RegExp(`Pulling from .*team/app[^]*Pull complete[^]*Status: Downloaded newer image for ${name}`));
  await writeFile(join(directory, 'image.tar'), await dockerArchive([{ ...small, reference: 'docker.io/library/by-cli:1' }]));
  assert.match(await docker('load', '-i', join(directory, 'image.tar')), /Loaded image: by-cli:1/);
  await docker('tag', 'by-cli:1', 'team/cli:3');
  assert.equal((await docker('images', '--no-trunc', '--format', '{{.ID}}', 'team/cli')).trim(), small.imageId);
  assert.match(await docker('history', 'team/cli:3'), /layer 0/);
  assert.equal((await docker('inspect', '--type', 'image', '--format', '{{.Config.User}}', 'team/cli:3')).trim(), 'me');
  assert.match(await docker('rmi', 'team/cli:3'), /Untagged: team\/cli:3/);
  await assert.rejects(docker('pull', `${registry.host}/team/app:nope`), /manifest for .*not found/);
  assert.match(await docker('rmi', '-f', small.imageId), /Deleted: sha256/);
  assert.match(await docker('image', 'prune', '-f'), /Total reclaimed space/);
});

test('what cannot be is refused by the name of its field', options, async () => {
  const nul = '%00';
  const refused: [method: string, path: string, status: number, words: RegExp, headers?: Record<string, string>][] = [
    ['POST', '/images/create', 400, /^fromImage/],
    ['POST', '/images/create?fromImage=UPPER', 400, /^fromImage: invalid reference format/],
    ['POST', '/images/create?fromImage=a&tag=-x', 400, /^tag/],
    ['POST', '/images/create?fromImage=a&platform=a/b/c/d', 400, /^platform/],
    ['POST', '/images/create?fromImage=a', 400, /^X-Registry-Auth/, { 'x-registry-auth': '***' }],
    ['POST', '/images/create?fromImage=a', 400, /^X-Registry-Auth/, { 'x-registry-auth': Buffer.from('[]').toString('base64') }],
    ['POST', '/images/create?fromImage=a', 400, /^X-Registry-Auth.password/, { 'x-registry-auth': auth({ username: 'a', password: 7 }) }],
    ['POST', '/images/create?fromSrc=-&repo=x', 501, /Import/],
    ['GET', `/images/json?${filters({ nonsense: ['1'] })}`, 400, /nonsense/],
    ['GET', '/images/json?filters=%7B', 400, /^filters/],
    ['GET', `/images/json?${filters({ dangling: ['maybe'] })}`, 400, /^filters\.dangling/],
    ['GET', `/images/json?${filters({ until: ['soon'] })}`, 400, /^filters\.until/],
    ['GET', `/images/json?${filters({ reference: ['[z-a]'] })}`, 400, /^filters\.reference/],
    ['GET', `/images/json?${filters({ reference: ['['] })}`, 400, /^filters\.reference/],
    ['GET', `/images/json?${filters({ before: ['nothing'] })}`, 404, /No such image/],
    ['GET', `/images/${'a'.repeat(600)}/json`, 400, /./],
    ['GET', '/images/UPPER/json', 400, /^name/],
    ['GET', `/images/a${nul}b/json`, 400, /NUL/],
    ['GET', `/images/a/b${nul}/json`, 400, /NUL|name/],
    ['GET', '/images/../../etc/passwd/json', 400, /./],
    ['GET', '/images/a/b/nonsense', 404, /./],
    ['GET', `/images/${sha256('nothing')}/json`, 404, /No such image/],
    ['POST', '/images/busybox/tag', 400, /^repo/],
    ['POST', '/images/library/busybox/tag', 400, /^repo/],
    ['POST', '/images/busybox/tag?repo=UPPER', 400, /^repo/],
    ['POST', '/images/busybox/tag?repo=a&tag=a/b', 400, /^tag/],
    ['POST', `/images/busybox/tag?repo=a@${sha256('x')}`, 400, /^repo/],
    ['DELETE', '/images/UPPER', 400, /^name/],
    ['DELETE', '/images/nothing', 404, /No such image: nothing:latest/],
    ['POST', `/images/prune?${filters({ dangling: ['true', 'false'] })}`, 400, /^filters\.dangling/],
    ['GET', '/images/search?term=x', 501, /ImageSearch/],
    ['GET', '/images/busybox/get', 501, /ImageGet/],
    ['GET', '/images/library/busybox/get', 501, /ImageGet/],
    ['POST', '/images/library/busybox/push', 501, /ImagePush/],
  ];
  for (const [method, path, status, words, headers] of refused) {
    const answer = await ask(method, path, headers === undefined ? {} : { headers });
    assert.equal(answer.status, status, `${method} ${path}: ${answer.body}`);
    assert.match((answer.json as { message: string }).message, words, `${method} ${path}`);
  }
});

test('with NATS away a pull is refused as something that may be tried again', options, async () => {
  await fixture.nats.kill9();
  const answer = await ask('POST', `/images/create?fromImage=${registry.host}/team/app&tag=1`);
  assert.equal(answer.status, 503);
  assert.ok(answer.json.message);
  assert.equal((await ask('GET', '/images/json')).status, 200);
  await fixture.nats.restart();
  await eventually(async () => (await ask('POST', '/images/busybox/tag?repo=after')).status === 201, 'tags go again');
});
