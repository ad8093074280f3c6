// Who gets in, and what they may: certificates, tokens, the policy, and the audit that refusals leave. A real server, a real log, docker itself where it is there.
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import type { ClusterEvent, ClusterTokens, TokenMade } from '@pouch/contracts';
import { openRules, type RefusedAccess } from '@pouch/domain';
import { readConfig } from '../../../services/api/src/config.ts';
import { longMs, startApi, type ApiFixture } from '../../fixtures/api-server.ts';

const pouch = join(import.meta.dirname, '../../../packages/cli/src/main.ts');
const run = promisify(execFile);
const certs = (...args: string[]): void => { execFileSync(process.execPath, [pouch, 'cluster', 'certs', ...args], { stdio: 'ignore' }); };
const docker = (() => {
  try {
    execFileSync('docker', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

let api: ApiFixture;
let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pouch-test-access-'));
  certs(directory, '--server', '127.0.0.1', '--client', 'ada:admin', '--client', 'otto:operate', '--client', 'rita:read');
  certs(join(directory, 'elsewhere'), '--client', 'eve:admin');
  const files = { ca: join(directory, 'ca.pem'), cert: join(directory, 'server-cert.pem'), key: join(directory, 'server-key.pem') };
  api = await startApi({ tcp: { host: '127.0.0.1', port: 0, tls: { files, clients: 'certificate-or-token' } } });
});
after(async () => {
  await api?.stop();
  await rm(directory, { recursive: true, force: true });
});

interface Told {
  readonly status: number;
  readonly message: string;
  readonly text: string;
}

/** Over TLS, as a client of the directory, or with a token, or as nobody. */
async function ask(method: string, path: string, { client, token, body, headers = {} }: { client?: string; token?: string; body?: unknown; headers?: Record<string, string> } = {}): Promise<Told> {
  const own = client === undefined ? {} : { cert: await readFile(join(directory, `client-${client}`, 'cert.pem')), key: await readFile(join(directory, `client-${client}`, 'key.pem')) };
  const payload = body === undefined ? '' : JSON.stringify(body);
  const request = httpsRequest({
    host: '127.0.0.1', port: api.tcpPort, method, path, agent: false, ca: await readFile(join(directory, 'ca.pem')), ...own,
    headers: { 'content-length': Buffer.byteLength(payload), ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...headers },
  });
  request.end(payload);
  const [response] = (await once(request, 'response')) as [AsyncIterable<Buffer> & { statusCode: number }];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  return { status: response.statusCode, text, message: text.startsWith('{') ? ((JSON.parse(text) as { message?: string }).message ?? '') : '' };
}

async function eventsOf(actor: string): Promise<ClusterEvent[]> {
  const { text } = await api.ask('GET', `/cluster/events?follow=0&afterSeq=0&actor=${encodeURIComponent(actor)}`);
  return text.split('\n').filter((line) => line.startsWith('data: ')).map((line) => JSON.parse(line.slice(6)) as ClusterEvent);
}

/** What the log tells of an actor's refusals, once there are some that fit. */
async function refusalsOf(actor: string, fits: (refusal: RefusedAccess) => boolean): Promise<RefusedAccess[]> {
  for (const deadline = Date.now() + longMs; ; await delay(50)) {
    await api.server.refusals.flush();
    const told = (await eventsOf(actor)).flatMap(({ events }) => events).flatMap((event) => (event.type === 'AccessRefused' ? (event as unknown as { refusals: RefusedAccess[] }).refusals : []));
    if (told.some(fits)) return told;
    assert.ok(Date.now() < deadline, `no refusal of ${actor} fits: ${JSON.stringify(told)}`);
  }
}

test('a certificate has the role of its unit; writes and refusals are told under its name', async () => {
  assert.deepEqual(JSON.parse((await ask('GET', '/cluster/whoami', { client: 'rita' })).text), { actor: 'tls:rita', role: 'read' });
  assert.equal((await ask('GET', '/containers/json', { client: 'rita' })).status, 200);
  const refused = await ask('POST', '/v1.43/containers/create', { client: 'rita', body: { Image: 'busybox', Cmd: ['true'] } });
  assert.equal(refused.status, 403);
  assert.match(refused.message, /POST \/containers\/create needs the role operate; tls:rita has the role read/);
  assert.equal((await ask('POST', '/containers/create?name=ottos', { client: 'otto', body: { Image: 'busybox', Cmd: ['true'] } })).status, 201);
  assert.equal((await ask('POST', '/cluster/tokens', { client: 'otto', body: { name: 'x', role: 'admin' } })).status, 403);
  assert.equal((await ask('GET', '/cluster/tokens', { client: 'ada' })).status, 200);
  assert.ok((await eventsOf('tls:otto')).some(({ kind, name }) => kind === 'placement' && name === 'ottos'));
  const [told] = await refusalsOf('tls:rita', ({ route }) => route === 'POST /containers/create');
  assert.deepEqual([told?.status, told?.rule, told?.count], [403, 'role', 1]);
});

test('without a certificate of the CA and without a token nothing is answered but 401', async () => {
  const nobody = await ask('GET', '/_ping');
  assert.equal(nobody.status, 401);
  assert.match(nobody.message, /client certificate or a bearer token/);
  const eve = httpsRequest({ host: '127.0.0.1', port: api.tcpPort, path: '/info', agent: false, ca: await readFile(join(directory, 'ca.pem')), cert: await readFile(join(directory, 'elsewhere/client-eve/cert.pem')), key: await readFile(join(directory, 'elsewhere/client-eve/key.pem')) });
  eve.end();
  const [response] = (await once(eve, 'response')) as [{ statusCode: number; resume(): void; headers: Record<string, string> }];
  response.resume();
  assert.deepEqual([response.statusCode, response.headers['www-authenticate']], [401, 'Bearer realm="pouch"']);
  assert.equal((await refusalsOf('tcp:127.0.0.1', ({ rule }) => rule === 'credentials'))[0]?.status, 401);
});

test('where certificates are a must, a client without one does not get through the handshake, and that is told', async () => {
  const files = { ca: join(directory, 'ca.pem'), cert: join(directory, 'server-cert.pem'), key: join(directory, 'server-key.pem') };
  const strict = await startApi({ tcp: { host: '127.0.0.1', port: 0, tls: { files, clients: 'certificate' } } });
  try {
    const request = httpsRequest({ host: '127.0.0.1', port: strict.tcpPort, path: '/_ping', agent: false, ca: await readFile(files.ca) });
    request.end();
    await assert.rejects(once(request, 'response'));
    for (const deadline = Date.now() + longMs; ; await delay(50)) {
      await strict.server.refusals.flush();
      if (strict.projection.present.record('refusal', 'api') !== null) break;
      assert.ok(Date.now() < deadline);
    }
  } finally {
    await strict.stop();
  }
});

test('docker works with the files as it expects them', { skip: docker ? false : 'there is no docker CLI' }, async () => {
  const host = ['--tlsverify', '-H', `tcp://127.0.0.1:${api.tcpPort}`];
  const { stdout } = await run('docker', [...host, 'version', '--format', '{{.Server.Os}}'], { env: { ...process.env, DOCKER_CERT_PATH: join(directory, 'client-rita') } });
  assert.equal(stdout.trim(), 'linux');
  await assert.rejects(run('docker', [...host, 'rm', 'ottos'], { env: { ...process.env, DOCKER_CERT_PATH: join(directory, 'client-rita') } }), /needs the role operate/);
});

test('pouch works with the same files, and with a token', async () => {
  const address = `tcp://127.0.0.1:${api.tcpPort}`;
  const env = { ...process.env, POUCH_HOST: address, POUCH_CERT_PATH: join(directory, 'client-ada') };
  const { stdout } = await run(process.execPath, [pouch, 'cluster', 'token', 'create', 'cli', '--role', 'operate', '--expires', '1h'], { env });
  assert.match(stdout, /^pouch_cli_[0-9a-f]{64}\n$/);
  assert.match((await run(process.execPath, [pouch, 'cluster', 'token', 'ls'], { env })).stdout, /cli +operate/);
  await assert.rejects(run(process.execPath, [pouch, 'cluster', 'token', 'ls'], { env: { ...env, POUCH_TOKEN: stdout.trim() } }), /needs the role admin; token:cli has the role operate/);
  await assert.rejects(run(process.execPath, [pouch, '-H', 'tcp://pouch.invalid', 'ps'], { env: { ...process.env, POUCH_TOKEN: stdout.trim() } }), /without TLS/);
  await run(process.execPath, [pouch, 'cluster', 'token', 'rm', 'cli'], { env });
});

test('a token has its role until it is revoked or expires; neither log nor list holds it', async () => {
  const made = await api.ask('POST', '/cluster/tokens', { body: { name: 'ci', role: 'read', expiresInSeconds: null } });
  assert.equal(made.status, 201);
  const { token } = made.json as TokenMade;
  assert.deepEqual(JSON.parse((await ask('GET', '/cluster/whoami', { token })).text), { actor: 'token:ci', role: 'read' });
  assert.equal((await ask('POST', '/containers/prune', { token })).status, 403);
  // A token goes before the connection, also before root's.
  assert.equal((await api.ask('POST', '/containers/prune', { headers: { authorization: `Bearer ${token}` } })).status, 403);
  assert.equal((await ask('GET', '/cluster/whoami', { client: 'ada', token })).text.includes('token:ci'), true);
  for (const wrong of [token.replace(/.$/, (digit) => (digit === '0' ? '1' : '0')), 'pouch_ci_', 'pouch__x', 'x', token.replace('_ci_', '_xx_'), `${token}0`]) assert.equal((await ask('GET', '/_ping', { token: wrong })).status, 401, wrong);
  assert.equal((await ask('GET', '/_ping', { headers: { authorization: `Basic ${token}` } })).status, 401);
  assert.ok((await api.ask('POST', '/cluster/tokens', { body: { name: 'ci', role: 'admin' } })).status === 409);
  const listed = (await api.ask('GET', '/cluster/tokens')).json as ClusterTokens;
  assert.deepEqual(listed.tokens.filter(({ name }) => name === 'ci').map(({ role, expired }) => [role, expired]), [['read', false]]);
  assert.ok(!JSON.stringify([listed, await eventsOf('local')]).includes(token.slice(-20)));
  assert.equal((await api.ask('DELETE', '/cluster/tokens/ci')).status, 204);
  assert.equal((await ask('GET', '/_ping', { token })).status, 401);
  assert.equal((await api.ask('DELETE', '/cluster/tokens/ci')).status, 404);
  const short = ((await api.ask('POST', '/cluster/tokens', { body: { name: 'short', role: 'read', expiresInSeconds: 1 } })).json as TokenMade).token;
  for (const deadline = Date.now() + longMs; ; await delay(100)) {
    const { status, message } = await ask('GET', '/_ping', { token: short });
    if (status === 401 && /has expired/.test(message)) break;
    assert.ok(Date.now() < deadline, `${status} ${message}`);
  }
  for (const body of [{ name: 'UP', role: 'read' }, { name: 'a', role: 'king' }, { name: 'a', role: 'read', expiresInSeconds: 0 }, { name: 'a.b', role: 'read' }, {}]) assert.equal((await api.ask('POST', '/cluster/tokens', { body })).status, 400, JSON.stringify(body));
});

test('a new certificate is taken up without a restart; half a pair is not', async () => {
  const serial = async (): Promise<string> => {
    const socket: TLSSocket = connect({ host: '127.0.0.1', port: api.tcpPort ?? 0, ca: await readFile(join(directory, 'ca.pem')) });
    await once(socket, 'secureConnect');
    const { serialNumber } = socket.getPeerCertificate();
    socket.destroy();
    return serialNumber;
  };
  const before = await serial();
  await copyFile(join(directory, 'server-key.pem'), join(directory, 'kept.pem'));
  await copyFile(join(directory, 'client-ada', 'key.pem'), join(directory, 'other.pem'));
  await rename(join(directory, 'other.pem'), join(directory, 'server-key.pem'));
  api.listening.lookAtTlsFiles();
  assert.equal(await serial(), before);
  await rename(join(directory, 'kept.pem'), join(directory, 'server-key.pem'));
  certs(directory, '--server', '127.0.0.1', '--force');
  api.listening.lookAtTlsFiles();
  assert.notEqual(await serial(), before);
  assert.equal((await ask('GET', '/_ping', { client: 'rita' })).status, 200);
});

test('the policy forbids by rule and role, also on the way in by exec; the refusal is told with its rule', async () => {
  const create = (client: string, host: object) => ask('POST', '/containers/create', { client, body: { Image: 'busybox', Cmd: ['sleep'], HostConfig: host } });
  const open = await create('otto', { Privileged: true });
  assert.equal(open.status, 201);
  const privileged = (JSON.parse(open.text) as { Id: string }).Id;
  assert.equal((await ask('PUT', '/cluster/policy', { client: 'otto', body: { who: { privileged: 'operate' } } })).status, 403);
  const changed = await ask('PUT', '/cluster/policy', { client: 'ada', body: { who: { privileged: 'nobody', 'host-binds': 'admin', 'host-network': 'admin' }, bindPrefixes: ['/tmp/../data/'] } });
  assert.equal(changed.status, 200, changed.text);
  assert.deepEqual((JSON.parse(changed.text) as { rules: { bindPrefixes: string[] } }).rules.bindPrefixes, ['/data']);
  try {
    for (const [host, rule] of [[{ Privileged: true }, 'privileged'], [{ Binds: ['/etc:/x'] }, 'host-binds'], [{ Binds: ['/data/../etc:/x'] }, 'host-binds'], [{ NetworkMode: 'host' }, 'host-network']] as const) {
      const { status, message } = await create('otto', host);
      assert.deepEqual([status, message.includes(`rule ${rule} `)], [403, true], `${JSON.stringify(host)}: ${message}`);
    }
    assert.equal((await create('otto', { Binds: ['/data/x:/x'] })).status, 201);
    assert.equal((await create('ada', { Binds: ['/etc:/x'] })).status, 201);
    assert.equal((await create('ada', { Privileged: true })).status, 403);
    // What was made before stays, and only an administrator could have got into it; here nobody may.
    const entry = await ask('POST', `/containers/${privileged}/exec`, { client: 'otto', body: { Cmd: ['sh'] } });
    assert.equal(entry.status, 403, entry.text);
    assert.equal((await ask('POST', `/containers/${privileged}/attach?stream=1&stdout=1`, { client: 'otto' })).status, 403);
    assert.ok((await refusalsOf('tls:otto', ({ rule }) => rule === 'host-network')).some(({ rule, reason }) => rule === 'privileged' && /rule privileged forbids/.test(reason)));
    for (const body of [{ who: { privileged: 'everybody' } }, { who: { nonsense: 'admin' } }, { bindPrefixes: ['relative'] }, { unknown: 1 }]) assert.equal((await api.ask('PUT', '/cluster/policy', { body })).status, 400, JSON.stringify(body));
  } finally {
    await api.ask('PUT', '/cluster/policy', { body: { who: openRules.who, bindPrefixes: [] } });
  }
});

test('a flood of refusals is a few messages that count them all', async () => {
  const actor = 'tls:rita';
  const before = (await eventsOf(actor)).length;
  const flood = 300;
  const answers = await Promise.all(Array.from({ length: flood }, (_, n) => ask('DELETE', `/containers/nothing-${n}`, { client: 'rita' })));
  assert.ok(answers.every(({ status }) => status === 403));
  const counted = (told: readonly RefusedAccess[]): number => told.filter(({ route }) => route === 'DELETE /containers/:id').reduce((sum, { count }) => sum + count, 0);
  let told: RefusedAccess[] = [];
  for (const deadline = Date.now() + longMs; counted(told) < flood; await delay(100)) {
    told = await refusalsOf(actor, ({ route }) => route === 'DELETE /containers/:id');
    assert.ok(Date.now() < deadline, `${counted(told)} of ${flood} are told`);
  }
  assert.ok((await eventsOf(actor)).length - before < flood / 10);
  const verified = (await api.ask('GET', '/cluster/verify')).json as { ok: boolean; mismatches: unknown };
  assert.ok(verified.ok, JSON.stringify(verified.mismatches));
});

test('a page of elsewhere does not get at a plain port through its reader’s browser; a plain port may ask for tokens', async () => {
  const open = await startApi({ tcp: { host: '127.0.0.1', port: 0, tls: null }, access: readConfig({ POUCH_TCP_ROLE: 'none' }).access });
  try {
    const plain = async (headers: Record<string, string>): Promise<number> => {
      const request = httpRequest({ host: '127.0.0.1', port: open.tcpPort, path: '/_ping', agent: false, headers });
      request.end();
      const [response] = (await once(request, 'response')) as [{ statusCode: number; resume(): void }];
      response.resume();
      return response.statusCode;
    };
    assert.equal(await plain({ origin: 'https://evil.example' }), 403);
    assert.equal(await plain({ host: 'evil.example:2375', origin: 'http://evil.example:2375' }), 403);
    assert.equal(await plain({ host: 'evil.example:2375', 'sec-fetch-site': 'same-origin' }), 403);
    assert.equal(await plain({}), 401);
    const { token } = (await open.ask('POST', '/cluster/tokens', { body: { name: 'p', role: 'read' } })).json as TokenMade;
    assert.equal(await plain({ authorization: `Bearer ${token}` }), 200);
  } finally {
    await open.stop();
  }
});
