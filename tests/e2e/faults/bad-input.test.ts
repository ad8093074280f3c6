// Nonsense of every kind to every endpoint that the API's own document names: each is refused by a 4xx that names what is wrong, and nothing
// crashes or is left behind. Never touches another cluster.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { clusterUnavailable, startTestCluster, type TestCluster } from '../../fixtures/cluster.ts';
import { tarOf } from '../../fixtures/images.ts';
import { ask, demand, eventually, readJson, verified, type Answer, type AskOptions } from './client.ts';
import { anySeed, randomOf, type Random } from './random.ts';
import { differences, tracesOf, type Traces } from './traces.ts';
import { pidsOf, troubleOf } from './under-test.ts';
import { wrongBodies, type Schema } from './wrong-values.ts';

const skip = clusterUnavailable() ?? false;
const atOnce = 6;
const fuzzed = 600;

let cluster: TestCluster;
let target: string;
let pids: Record<string, number | null>;
let base: Traces;
let endpoints: readonly Endpoint[];

type Parameter = { readonly name: string; readonly in: string; readonly schema: Schema; readonly required?: boolean };
type Operation = { readonly parameters?: readonly Parameter[]; readonly requestBody?: { readonly content?: Readonly<Record<string, { readonly schema: Schema }>> } };
type Endpoint = { readonly method: string; readonly path: string; readonly query: readonly Parameter[]; readonly body: Schema | null; readonly hasId: boolean };

before(async () => {
  if (skip !== false) return;
  cluster = await startTestCluster();
  const { Id } = await demand<{ Id: string }>(cluster.socket, 'POST', '/containers/create?name=target', { body: { Image: 'busybox', Cmd: ['sleep', '3600'], HostConfig: { NetworkMode: 'none' } } });
  target = Id;
  await demand(cluster.socket, 'POST', `/containers/${target}/start`);
  // What the first container with a network and the first look at logs make stays for ever.
  const networked = await demand<{ Id: string }>(cluster.socket, 'POST', '/containers/create', { body: { Image: 'busybox', Cmd: ['true'] } });
  await demand(cluster.socket, 'POST', `/containers/${networked.Id}/start`);
  await demand(cluster.socket, 'DELETE', `/containers/${networked.Id}?force=1`);
  const looking = await answerTo('GET', `/containers/${target}/logs?stdout=1&follow=1`);
  assert.equal(looking.status, 200);
  const { paths } = await readJson<{ paths: Record<string, Record<string, Operation>> }>(cluster.socket, '/openapi.json');
  endpoints = Object.entries(paths).flatMap(([path, operations]) => Object.entries(operations).map(([method, { parameters = [], requestBody }]): Endpoint => ({
    method: method.toUpperCase(), path, query: parameters.filter((one) => one.in === 'query'), hasId: path.includes('{'),
    body: Object.values(requestBody?.content ?? {})[0]?.schema ?? null,
  })));
  pids = await pidsOf(cluster);
  base = await tracesOf(cluster);
  await eventually('the cluster comes to rest', async () => {
    const now = await tracesOf(cluster);
    const resting = differences(base, now).length === 0;
    base = now;
    return resting || undefined;
  });
});
after(async () => { if (skip === false) await cluster.stop(); });

/** The answer; of one that is no refusal only its head, for it may never end. */
async function answerTo(method: string, path: string, { raw, body, headers = {} }: AskOptions = {}): Promise<Answer> {
  const payload = raw ?? (body === undefined ? undefined : JSON.stringify(body));
  return await new Promise<Answer>((resolve, reject) => {
    const outgoing = request({
      socketPath: cluster.socket, method, path, agent: false, signal: AbortSignal.timeout(60_000),
      headers: { host: 'pouch', ...(payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }), ...headers },
    }, (response) => {
      const { statusCode: status = 0 } = response;
      if (status < 400) {
        outgoing.destroy();
        resolve({ status, headers: response.headers, text: '' });
        return;
      }
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve({ status, headers: response.headers, text: Buffer.concat(chunks).toString() }));
    });
    outgoing.on('error', (error) => reject(new Error(`${method} ${path.slice(0, 200)}: ${error.message}`, { cause: error })));
    outgoing.end(payload);
  });
}

type Case = { readonly what: string; readonly method: string; readonly path: string; readonly options?: AskOptions; /** A word of the message. */ readonly names?: string };

/** Runs them some at a time; fails with all that were answered otherwise than by a 4xx that names the field. */
async function assertRefused(cases: readonly Case[]): Promise<void> {
  const left = [...cases];
  const wrong: string[] = [];
  await Promise.all(Array.from({ length: atOnce }, async () => {
    for (let one = left.shift(); one !== undefined; one = left.shift()) {
      const { what, method, path, options, names } = one;
      const { status, text } = await answerTo(method, path, options);
      const told = `${method} ${path.slice(0, 160)}, ${what}: ${status} ${text.slice(0, 200)}`;
      if (status < 400 || status >= 500) wrong.push(told);
      // The answer to a HEAD has no body.
      else if (names !== undefined && method !== 'HEAD' && !messageOf(text).toLowerCase().includes(names.toLowerCase())) wrong.push(`${told} does not name ${names}`);
    }
  }));
  assert.equal(wrong.length, 0, `${wrong.length} of ${cases.length} were not refused as they should be:\n${wrong.slice(0, 40).join('\n')}`);
}

function messageOf(text: string): string {
  try {
    return String((JSON.parse(text) as { message?: unknown }).message);
  } catch {
    return `(no JSON) ${text}`;
  }
}

const filled = (path: string, id: string): string => path.replace(/\{[^}]+\}/, id);
function idFor(path: string): string {
  if (path.startsWith('/images/')) return 'busybox';
  if (path.startsWith('/cluster/kernels/')) return 'debian';
  return path.startsWith('/cluster/hosts/') ? 'test-host' : target;
}

async function assertUnharmed(): Promise<void> {
  assert.deepEqual(await pidsOf(cluster), pids, 'no process was started again');
  let last: string[] = [];
  await eventually('nothing is left behind', async () => {
    last = differences(base, await tracesOf(cluster));
    return last.length === 0 ? true : undefined;
  }).catch(() => { assert.fail(`left behind:\n${last.slice(0, 40).join('\n')}`); });
  const { State } = await readJson<{ State: { Running: boolean } }>(cluster.socket, `/containers/${target}/json`);
  assert.ok(State.Running, 'the container goes on');
}

async function checked(t: { diagnostic(text: string): void }, work: () => Promise<void>): Promise<void> {
  try {
    await work();
    await assertUnharmed();
  } catch (error) {
    t.diagnostic(await troubleOf(cluster));
    throw error;
  }
}

test('bodies: no JSON, wrong types, absurd numbers, NULs, too large', { skip }, async (t) => {
  await checked(t, async () => {
    const withBody = endpoints.filter((one) => one.body !== null);
    assert.ok(withBody.length >= 3, 'the document tells of bodies');
    const cases = withBody.flatMap(({ method, path, body }): Case[] => {
      const at = { method, path: filled(path, idFor(path)) };
      const raw = (what: string, bytes: string | Buffer): Case => ({ ...at, what, names: 'body', options: { raw: bytes } });
      return [
        raw('half an object', '{"Image": "busybox"'), raw('no JSON', 'Image=busybox'), raw('a list', '[]'), raw('a text', '"busybox"'), raw('a number', '7'),
        raw('no UTF-8', Buffer.from('{"Image":"\xff\xfe"}', 'latin1')), raw('too large', `{"Image":"${'x'.repeat(5 * 1024 * 1024)}"}`), raw('__proto__', '{"__proto__":{"Image":"x"}}'),
        { ...at, what: 'too deep', options: { raw: `{"a":${'['.repeat(20_000)}${']'.repeat(20_000)}}` } },
        ...wrongBodies(body ?? {}).map((wrong): Case => ({ ...at, what: `${wrong.field} is ${wrong.why}`, names: wrong.field, options: { body: { ...(path === '/containers/create' ? { Image: 'busybox' } : {}), ...wrong.body } } })),
      ];
    });
    t.diagnostic(`${cases.length} bodies to ${withBody.length} endpoints`);
    await assertRefused(cases);
  });
});

test('query parameters: no numbers, absurd ones, NULs, no UTF-8, filters that are none', { skip }, async (t) => {
  await checked(t, async () => {
    const cases = endpoints.flatMap(({ method, path, query }): Case[] => query.flatMap(({ name, schema }): Case[] => {
      // The others that must be there are given, so that this one is what is wrong.
      const others = query.filter((one) => one.required === true && one.name !== name).map((one) => `&${one.name}=1`).join('') + (path.endsWith('/logs') && !name.startsWith('std') ? '&stdout=1' : '');
      const at = (value: string, what: string): Case => ({ method, path: `${filled(path, idFor(path))}?${name}=${value}${others}`, what, names: name });
      if (schema.type === 'boolean') return [];
      if (schema.type === 'integer' || schema.type === 'number') return ['abc', '1e999', '99999999999999999999', '1.5', '0x10', '%00', encodeURIComponent('١'), 'NaN'].map((value) => at(value, 'no number'));
      const texts = [at('a%00b', 'a NUL'), at('%ff%fe', 'no UTF-8')];
      if (name === 'filters') return [...texts, ...['{', 'text', '[]', '7', '{"label":7}', '{"no-such-filter":["x"]}', '{"label":{"a":7}}'].map((value) => at(encodeURIComponent(value), 'no filters'))];
      if (/^(since|until|at)$/.test(name)) return [...texts, at('yesterday', 'no time'), at('1'.repeat(40), 'an absurd time'), at('2026-02-30T00:00:00Z', 'no day')];
      return texts;
    }));
    assert.ok(cases.length > 100, `the document tells of parameters: ${cases.length}`);
    await assertRefused(cases);
  });
});

test('ids and names: unknown, path tricks, NULs, no UTF-8, without end', { skip }, async (t) => {
  await checked(t, async () => {
    const tricks = [
      'no-such-thing', '0'.repeat(64), '..%2f..%2f..%2fetc%2fpasswd', '%2e%2e', '..', '%00', `${'a'.repeat(10_000)}`, '%ff%fe', '%', '%zz', 'a%0d%0aX-Evil:%201', '%25%30%30', 'name with spaces'.replaceAll(' ', '%20'), '*', '>', 'evt.>', '%F0%9F%90%B3', '-rf', '$(id)',
    ];
    // Required parameters are there, so that it is the id that is refused.
    const cases = endpoints.filter(({ hasId, path }) => hasId && !path.endsWith('/attach/ws')).flatMap(({ method, path, query, body }): Case[] => tricks.map((trick) => ({
      method, what: 'a trick', path: `${filled(path, trick)}?${query.filter(({ required }) => required === true).map(({ name }) => `${name}=1`).join('&')}`,
      ...(body === null ? {} : { options: { body: path.endsWith('/exec') ? { Cmd: ['true'] } : {} } }),
    })));
    await assertRefused(cases);
    await assertRefused(['..', '../../x', 'a/b', '%00', 'a%00', 'é', `${'n'.repeat(300)}`, '-x', '.x', 'a b', 'a:b', '*'].flatMap((name): Case[] => [
      { method: 'POST', path: `/containers/create?name=${encodeURI(name)}`, what: 'a name', names: 'name', options: { body: { Image: 'busybox' } } },
      { method: 'POST', path: `/containers/${target}/rename?name=${encodeURI(name)}`, what: 'a new name', names: 'name' },
    ]));
  });
});

/** Settings that no schema can refuse; the word that must be named. */
const settings: readonly (readonly [names: string, body: Record<string, unknown>])[] = [
  ['Image', {}], ['Image', { Image: '' }], ['Image', { Image: '../../etc/passwd' }], ['Image', { Image: 'UPPER/Case' }], ['Image', { Image: 'a b' }],
  ['Cmd', { Cmd: { sh: 1 } }], ['Env', { Env: ['=x'] }], ['WorkingDir', { WorkingDir: 'relative' }], ['Hostname', { Hostname: 'a b' }], ['Hostname', { Hostname: 'x'.repeat(300) }], ['User', { User: 'a b:c:d' }],
  ['StopSignal', { StopSignal: 'SIGNOPE' }], ['StopSignal', { StopSignal: '99' }], ['ExposedPorts', { ExposedPorts: { '99999/tcp': {} } }], ['ExposedPorts', { ExposedPorts: { '80/none': {} } }],
  ['Binds', { HostConfig: { Binds: ['./relative:/x'] } }], ['Binds', { HostConfig: { Binds: ['/tmp:relative'] } }], ['Binds', { HostConfig: { Binds: ['tmp'] } }], ['Binds', { HostConfig: { Binds: ['/tmp:/x:nonsense'] } }], ['Binds', { HostConfig: { Binds: ['/tmp:/'] } }],
  ['Mounts', { HostConfig: { Mounts: [{ Type: 'magic', Target: '/x' }] } }], ['Mounts', { HostConfig: { Mounts: [{ Type: 'bind', Source: 'relative', Target: '/x' }] } }], ['Mounts', { HostConfig: { Mounts: [{ Type: 'bind', Source: '/tmp', Target: '' }] } }],
  ['Tmpfs', { HostConfig: { Tmpfs: { relative: '' } } }], ['Tmpfs', { HostConfig: { Tmpfs: { '/x': 'size=lots' } } }],
  ['PortBindings', { HostConfig: { PortBindings: { '80/tcp': [{ HostPort: '70000' }] } } }], ['PortBindings', { HostConfig: { PortBindings: { '80/tcp': [{ HostPort: 'x' }] } } }], ['PortBindings', { HostConfig: { PortBindings: { '80/tcp': [{ HostIp: '1.2.3', HostPort: '1' }] } } }], ['PortBindings', { HostConfig: { PortBindings: { nonsense: [{}] } } }],
  ['Memory', { HostConfig: { Memory: 1 } }], ['Memory', { HostConfig: { Memory: 1e20 } }], ['MemorySwap', { HostConfig: { Memory: 8_388_608, MemorySwap: 1 } }], ['NanoCpus', { HostConfig: { NanoCpus: 1e18 } }], ['CpusetCpus', { HostConfig: { CpusetCpus: 'all' } }], ['CpusetCpus', { HostConfig: { CpusetCpus: '9999' } }],
  ['Ulimits', { HostConfig: { Ulimits: [{ Name: 'nonsense', Soft: 1, Hard: 1 }] } }], ['Ulimits', { HostConfig: { Ulimits: [{ Name: 'nofile', Soft: 10, Hard: 1 }] } }], ['CapAdd', { HostConfig: { CapAdd: ['NONSENSE'] } }], ['CapDrop', { HostConfig: { CapDrop: ['NONSENSE'] } }],
  ['SecurityOpt', { HostConfig: { SecurityOpt: ['nonsense'] } }], ['SecurityOpt', { HostConfig: { SecurityOpt: ['seccomp={'] } }], ['SecurityOpt', { HostConfig: { SecurityOpt: ['seccomp=/etc/passwd'] } }],
  ['Devices', { HostConfig: { Devices: [{ PathOnHost: 'relative' }] } }], ['Devices', { HostConfig: { Devices: [{ PathOnHost: '/dev/null', CgroupPermissions: 'xyz' }] } }], ['Sysctls', { HostConfig: { Sysctls: { 'kernel.hostname/../../x': '1' } } }], ['sysctl', { HostConfig: { Sysctls: { 'vm.swappiness': '1' } } }],
  ['RestartPolicy', { HostConfig: { RestartPolicy: { Name: 'sometimes' } } }], ['AutoRemove', { HostConfig: { AutoRemove: true, RestartPolicy: { Name: 'always' } } }], ['ExtraHosts', { HostConfig: { ExtraHosts: ['nonsense'] } }], ['Dns', { HostConfig: { Dns: ['nonsense'] } }],
  ['LogConfig', { HostConfig: { LogConfig: { Type: 'carrier-pigeon' } } }], ['LogConfig', { HostConfig: { LogConfig: { Type: 'json-file', Config: { 'max-size': 'lots' } } } }], ['Runtime', { HostConfig: { Runtime: 'nonsense' } }], ['NetworkMode', { HostConfig: { NetworkMode: 'container:nonsense' } }], ['NetworkMode', { HostConfig: { NetworkMode: 'nonsense' } }],
  ['VolumesFrom', { HostConfig: { VolumesFrom: ['x'] } }], ['Links', { HostConfig: { Links: ['x:y'] } }], ['UsernsMode', { HostConfig: { UsernsMode: 'nonsense' } }],
];

test('settings that cannot be: each is refused by its name', { skip }, async (t) => {
  await checked(t, async () => {
    await assertRefused(settings.map(([names, body]): Case => ({ method: 'POST', path: '/containers/create', what: JSON.stringify(body), names, options: { body: names === 'Image' ? body : { Image: 'busybox', ...body } } })));
    await assertRefused([
      { method: 'POST', path: `/containers/${target}/kill?signal=SIGNOPE`, what: 'a signal', names: 'signal' }, { method: 'POST', path: `/containers/${target}/kill?signal=-9`, what: 'a signal', names: 'signal' },
      { method: 'POST', path: `/containers/${target}/wait?condition=never`, what: 'a condition', names: 'condition' }, { method: 'GET', path: `/containers/${target}/logs`, what: 'no stream', names: 'stdout' },
      { method: 'POST', path: `/containers/${target}/exec`, what: 'no command', names: 'Cmd', options: { body: {} } }, { method: 'POST', path: `/containers/${target}/exec`, what: 'an empty command', names: 'Cmd', options: { body: { Cmd: [] } } },
      { method: 'GET', path: `/containers/${target}/top?ps_args=${encodeURIComponent('-ef; id')}`, what: 'a shell', names: 'ps' },
      { method: 'POST', path: '/images/create', what: 'no image', names: 'fromImage' }, { method: 'POST', path: '/images/create?fromImage=..%2f..%2fetc', what: 'a path', names: 'fromImage' }, { method: 'POST', path: '/images/busybox/tag?repo=UPPER', what: 'a name', names: 'repo' },
      { method: 'POST', path: '/images/busybox/tag?repo=ok&tag=..%2f..', what: 'a tag', names: 'tag' }, { method: 'POST', path: '/images/create?fromImage=busybox', what: 'a header', names: 'X-Registry-Auth', options: { headers: { 'x-registry-auth': '%%%' } } },
      { method: 'DELETE', path: '/images/busybox', what: 'an image in use' }, { method: 'GET', path: '/v9.99/containers/json', what: 'a version' }, { method: 'GET', path: '/no/such/page', what: 'a page' }, { method: 'PATCH', path: '/containers/json', what: 'a method' },
    ]);
  });
});

test('archives: no tar, cut short, tricks in paths; nothing is written anywhere', { skip }, async (t) => {
  await checked(t, async () => {
    const evil = join(tmpdir(), `pouch-test-evil-${randomBytes(6).toString('hex')}`);
    const up = `${'../'.repeat(12)}${evil.slice(1)}`;
    const manifest = (config: string, layers: readonly string[], tags: readonly string[] = ['evil:1']): string => JSON.stringify([{ Config: config, RepoTags: tags, Layers: layers }]);
    const config = JSON.stringify({ architecture: 'amd64', os: 'linux', config: {}, rootfs: { type: 'layers', diff_ids: [`sha256:${'0'.repeat(64)}`] } });
    const archives: Record<string, Buffer> = {
      'no tar': randomBytes(4_096), 'an empty body': Buffer.alloc(0), 'an empty tar': await tarOf([]), 'no manifest': await tarOf([{ name: 'x', data: 'x' }]),
      'a manifest that is none': await tarOf([{ name: 'manifest.json', data: '{' }]), 'a manifest of nonsense': await tarOf([{ name: 'manifest.json', data: '{"a":[]}' }]), 'an empty manifest': await tarOf([{ name: 'manifest.json', data: '[]' }]),
      'a config from above': await tarOf([{ name: 'manifest.json', data: manifest('../../../../../../etc/passwd', []) }]), 'a config at the root': await tarOf([{ name: 'manifest.json', data: manifest('/etc/passwd', []) }]),
      'layers that are not there': await tarOf([{ name: 'manifest.json', data: manifest('c.json', ['l.tar']) }, { name: 'c.json', data: config }]),
      'a layer of another digest': await tarOf([{ name: 'manifest.json', data: manifest('c.json', ['l.tar']) }, { name: 'c.json', data: config }, { name: 'l.tar', data: await tarOf([{ name: 'x', data: 'x' }]) }]),
      'a name that is none': await tarOf([{ name: 'manifest.json', data: manifest('c.json', [], ['../../x']) }, { name: 'c.json', data: config }]),
      'an entry from above': await tarOf([{ name: up, data: 'evil' }, { name: evil, data: 'evil' }, { name: 'manifest.json', data: '[]' }]),
      'a link to above': await tarOf([{ name: 'l.tar', type: 'symlink', linkname: '/etc/passwd' }, { name: 'manifest.json', data: manifest('l.tar', ['l.tar']) }]),
      'a layout of nonsense': await tarOf([{ name: 'oci-layout', data: '{"imageLayoutVersion":"1.0.0"}' }, { name: 'index.json', data: '{"manifests":[{"digest":"sha256:../../x","mediaType":"x","size":1}]}' }]),
    };
    const wrong: string[] = [];
    for (const [what, raw] of Object.entries(archives)) {
      const { status, text } = await ask(cluster.socket, 'POST', '/images/load', { raw, headers: { 'content-type': 'application/x-tar' } });
      if (!((status >= 400 && status < 500) || (status === 200 && /"error":"[^"]{5,}/.test(text)))) wrong.push(`${what}: ${status} ${text.slice(0, 300)}`);
    }
    assert.deepEqual(wrong, []);
    assert.ok(!existsSync(evil), 'nothing was written where the archive wanted it');
  });
});

test('what is no HTTP', { skip }, async (t) => {
  await checked(t, async () => {
    const head = `Host: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n`;
    const sent: (string | Buffer)[] = [
      randomBytes(1_000), 'GET\r\n\r\n', 'GET / HTTP/9.9\r\n\r\n', `GET /_ping HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(200_000)}\r\n\r\n`, 'POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n',
      'POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', `POST /containers/${target}/attach HTTP/1.1\r\n${head}Content-Length: abc\r\n\r\n`,
      `POST /containers/${target}/attach?stream=1 HTTP/1.1\r\n${head}Content-Length: 99999999999\r\n\r\n`, `POST /containers/${target}/attach?stream=1 HTTP/1.1\r\n${head}Content-Length: 100\r\n\r\nhalf`,
      `POST /exec/nonsense/start HTTP/1.1\r\n${head}Content-Length: 1\r\n\r\n{`, `POST /nowhere HTTP/1.1\r\n${head}\r\n`,
    ];
    for (const bytes of sent) {
      const socket = connect({ path: cluster.socket });
      socket.on('error', () => undefined); // cut by the server, perhaps before it has taken everything: rightly so
      socket.write(bytes);
      // Half of a request waits for its other half, which does not come.
      await new Promise<void>((resolve) => {
        for (const event of ['data', 'close']) socket.once(event, () => resolve());
        setTimeout(resolve, 1_000).unref();
      });
      socket.destroy();
    }
    assert.equal((await answerTo('GET', '/_ping')).status, 200);
  });
});

const junk: readonly unknown[] = [null, '', 'x', '0', '-1', '\u{1F433}', '../..', 'x'.repeat(5_000), 0, -1, 1, 1.5, 2 ** 31, 2 ** 53, 1e300, true, false, [], [null], [''], ['x'], [1], [[]], {}, { '': '' }, { x: null }, { x: 'x' }, { x: {} }];

function randomBody(schema: Schema, random: Random): unknown {
  if (random.oneIn(4)) return random.pick(junk);
  const names = Object.keys(schema.properties ?? {});
  if (names.length === 0) return random.pick(junk);
  const body: Record<string, unknown> = {};
  for (let n = random.between(1, 4); n > 0; n--) {
    const name = random.pick(names);
    body[name] = randomBody(schema.properties?.[name] ?? {}, random);
  }
  return body;
}

test('random bodies and parameters are answered, by what is not an error of the server', { skip }, async (t) => {
  const seed = Number(process.env['POUCH_TEST_SEED'] ?? anySeed());
  t.diagnostic(`seed ${seed}`);
  const random = randomOf(seed);
  const create = endpoints.find(({ path }) => path === '/containers/create')?.body;
  assert.ok(create !== null && create !== undefined);
  // What would take away what the other cases need, or ask a registry in the world outside.
  const spared = /prune|rebuild|^\/images\/(\{|create)|\/(kill|stop|restart|pause|rename)$/;
  const asked = Array.from({ length: fuzzed }, (): Case => {
    if (random.oneIn(2)) {
      const body = randomBody(create, random);
      return { what: 'random', method: 'POST', path: '/containers/create', options: { body: typeof body === 'object' && body !== null && !Array.isArray(body) ? { Image: 'busybox', ...body } : body } };
    }
    const { method, path, query } = random.pick(endpoints.filter((one) => one.method !== 'DELETE' && !spared.test(one.path)));
    const given = query.filter(() => random.oneIn(2)).map(({ name }) => `${name}=${encodeURIComponent(JSON.stringify(random.pick(junk)).slice(0, 2_000))}`);
    return { what: 'random', method, path: `${filled(path, random.oneIn(3) ? encodeURIComponent(String(random.pick(junk))).slice(0, 300) : idFor(path))}?${given.join('&')}`, options: { raw: random.oneIn(2) ? '' : JSON.stringify(random.pick(junk)) } };
  });
  await checked(t, async () => {
    const wrong: string[] = [];
    const left = [...asked];
    await Promise.all(Array.from({ length: atOnce }, async () => {
      for (let one = left.shift(); one !== undefined; one = left.shift()) {
        const { status, text } = await answerTo(one.method, one.path, one.options);
        if (status >= 500 && status !== 501) wrong.push(`${one.method} ${one.path.slice(0, 200)} ${JSON.stringify(one.options).slice(0, 400)}: ${status} ${text.slice(0, 300)}`);
      }
    }));
    assert.deepEqual(wrong, []);
    await eventually('what was made by chance is removed', async () => {
      const all = (await readJson<{ Id: string }[]>(cluster.socket, '/containers/json?all=1')).filter(({ Id }) => Id !== target);
      for (const { Id } of all) await ask(cluster.socket, 'DELETE', `/containers/${Id}?force=1`);
      return all.length === 0 ? true : undefined;
    });
  });
  await verified(cluster.socket);
});
