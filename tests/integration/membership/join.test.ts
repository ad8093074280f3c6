// A host joins by a token, with a real api process: it gets credentials of its own, sealed to it; a token is good for what it says and no more; a host that
// is removed, or replaced, has lost its rights at once. Neither token nor keys are found in log or answers.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, credsAuthenticator, ErrorCode, NatsError, type NatsConnection } from 'nats';
import { hostSubject, inboxPrefix, parseJoinToken, toMessage, type ClusterHealth, type JoinTokenMade, type JoinTokens, type Message } from '@pouch/contracts';
import { decideHost, hostId, type HostCommand, type HostId } from '@pouch/domain';
import { execute, openEventLog, type PouchLog } from '@pouch/eventlog';
import { JoinError, joinCluster, natsAddresses, type Joined } from '@pouch/membership';
import { nullLogger } from '@pouch/process';
import { newKeyFile } from '@pouch/sealing';
import { callApi, getJson } from '../../../scripts/cluster/api-client.ts';
import { projectDir } from '../../../scripts/config.ts';
import { aHostsFacts } from '../../fixtures/domain.ts';
import { makeMembers, type TestMembers } from '../../fixtures/members.ts';
import { startNats, type NatsFixture } from '../../fixtures/nats.ts';

let directory: string;
let members: TestMembers;
let nats: NatsFixture;
let api: ChildProcess;
let log: PouchLog;
let socket: string;
const connections: NatsConnection[] = [];
const secretsKey = newKeyFile();
const planted: string[] = [secretsKey.trim()];

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pouch-test-join-'));
  socket = join(directory, 's.sock');
  members = await makeMembers();
  nats = await startNats({ config: members.config });
  await writeFile(join(directory, 'secrets.key'), secretsKey, { mode: 0o600 });
  const { credentialsFile, caFile } = await members.address({ kind: 'api' });
  const output = openSync(join(directory, 'api.log'), 'a');
  api = spawn(process.execPath, [join(import.meta.dirname, '../../../services/api/src/main.ts')], {
    stdio: ['ignore', output, output],
    env: {
      NODE_COMPILE_CACHE: join(projectDir, 'compile-cache'), POUCH_NATS_URL: nats.url, POUCH_NATS_CA: caFile, POUCH_NATS_CREDS: credentialsFile, POUCH_AUTHORITY: members.authorityFile, POUCH_SECRETS_KEY: join(directory, 'secrets.key'),
      POUCH_DATA_DIR: join(directory, 'data'), POUCH_SOCKET: socket, POUCH_LOG_LEVEL: 'trace',
    },
  });
  log = openEventLog<Message>({ servers: nats.url, ...await members.address({ kind: 'api' }), name: 'test', logger: nullLogger, check: toMessage });
  await log.ready(30_000);
  await until('the api follows the log', async () => (await getJson<ClusterHealth>(socket, '/cluster/health'))?.projection.state === 'following');
});
after(async () => {
  await Promise.all(connections.map((nc) => nc.close()));
  if (api !== undefined && api.exitCode === null) {
    api.kill('SIGTERM');
    await once(api, 'exit');
  }
  await log?.close();
  await nats?.stop();
  await members?.remove();
  await rm(directory, { recursive: true, force: true });
});

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 60_000; !(await condition()); await delay(20)) assert.ok(Date.now() < deadline, `${what}: not within a minute\n${(await readFile(join(directory, 'api.log'), 'utf8')).slice(-2_000)}`);
}
async function post(path: string, body: object): Promise<{ status: number; text: string }> {
  return await callApi(socket, { method: 'POST', path, body: Readable.from([JSON.stringify(body)]), contentType: 'application/json', timeoutMs: 30_000 });
}
async function makeToken(body: object = {}): Promise<string> {
  const { status, text } = await post('/cluster/join-tokens', body);
  assert.equal(status, 201, text);
  const { token } = JSON.parse(text) as JoinTokenMade;
  const { secret = '', seed = '' } = parseJoinToken(token) ?? {};
  planted.push(secret, seed);
  return token;
}
const enter = async (token: string, id: string): Promise<Joined> => {
  const joined = await joinCluster({ servers: natsAddresses(nats.url), token, hostId: id });
  planted.push(/USER NKEY SEED-----\s+(\S+)/.exec(joined.credentials)?.[1] ?? 'no seed');
  return joined;
};
const refused = async (token: string, id: string, words: RegExp): Promise<void> => {
  await assert.rejects(joinCluster({ servers: natsAddresses(nats.url), token, hostId: id }), (error) => error instanceof JoinError && words.test(error.message));
};
async function open({ credentials, ca }: Joined, id: string): Promise<NatsConnection> {
  const nc = await connect({ servers: nats.url, reconnect: false, tls: { ca }, authenticator: credsAuthenticator(Buffer.from(credentials)), inboxPrefix: inboxPrefix({ kind: 'agent', hostId: id as HostId }), noAsyncTraces: true });
  connections.push(nc);
  return nc;
}
async function host(id: string, command: HostCommand): Promise<void> {
  const outcome = await execute({ log, kind: 'host', subject: hostSubject(hostId(id)), commandId: randomUUID(), meta: { atMs: Date.now(), service: 'agent', actor: 'test', cause: null }, decide: (state) => decideHost(state, command, Date.now()) });
  assert.ok(outcome.ok);
}
const isOut = (error: unknown): boolean => error instanceof NatsError && error.code === ErrorCode.AuthorizationViolation;

test('a token admits one host, with its own rights and what it needs to know', async () => {
  const token = await makeToken();
  const joined = await enter(token, 'first');
  assert.equal(joined.secretsKey, secretsKey);
  assert.equal(joined.ca.trim(), members.authority.certificates.cert.trim());
  assert.deepEqual(joined.servers, [nats.url]);
  const nc = await open(joined, 'first');
  await nc.request('evt.container.first.a', '{}', { timeout: 2_000 });
  await assert.rejects(nc.request('evt.container.second.a', '{}', { timeout: 300 }));
  await refused(token, 'second', /has been used up/);
  await refused(await makeToken(), 'first', /there is a host first already/);
});

test('what is no token, or not the whole of it, or another cluster\'s, says so', async () => {
  await refused('pouchjoin_abc', 'x', /no join token/);
  const token = await makeToken({ uses: 3 });
  await refused(token.slice(0, -9), 'x', /no join token/);
  await refused(token, 'Not A Host', /not a host id/);
  const others = await makeMembers();
  const elsewhere = await startNats({ config: others.config });
  try {
    await assert.rejects(joinCluster({ servers: [elsewhere.url], token, hostId: 'x' }), /not of the cluster that the token is for/);
  } finally {
    await elsewhere.stop();
    await others.remove();
  }
  const plain = await startNats();
  try {
    await assert.rejects(joinCluster({ servers: [plain.url], token, hostId: 'x' }), /speaks no TLS/);
  } finally {
    await plain.stop();
  }
});

test('a token for two admits two at once, and never three', async () => {
  const token = await makeToken({ uses: 2 });
  const tries = await Promise.allSettled(['a', 'b', 'c', 'd'].map((id) => enter(token, id)));
  assert.equal(tries.filter(({ status }) => status === 'fulfilled').length, 2);
});

test('a token that is revoked or has expired admits nobody', async () => {
  const [revoked, short] = [await makeToken(), await makeToken({ expiresInSeconds: 1 })];
  const { status } = await callApi(socket, { method: 'DELETE', path: `/cluster/join-tokens/${parseJoinToken(revoked)?.name ?? ''}`, timeoutMs: 30_000 });
  assert.equal(status, 204);
  await refused(revoked, 'late', /is not known: it is wrong, revoked/);
  await delay(1_500);
  await refused(short, 'late', /has expired/);
  const listed = await getJson<JoinTokens>(socket, '/cluster/join-tokens');
  assert.ok(listed?.tokens.some(({ expired }) => expired));
});

test('who holds a token may ask to be admitted, and nothing else', async () => {
  const { name = '', jwt = '', seed = '' } = parseJoinToken(await makeToken()) ?? {};
  const credentials = `-----BEGIN NATS USER JWT-----\n${jwt}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`;
  const nc = await connect({ servers: nats.url, reconnect: false, tls: { caFile: members.caFile }, authenticator: credsAuthenticator(Buffer.from(credentials)), inboxPrefix: inboxPrefix({ kind: 'joiner', token: name }), noAsyncTraces: true });
  connections.push(nc);
  for (const subject of ['evt.host.first', 'join.request.other', '$JS.API.STREAM.INFO.EVT', '$JS.API.DIRECT.GET.EVT.evt.container.first.a', 'host.first.call.container.top']) await assert.rejects(nc.request(subject, '', { timeout: 300 }), subject);
  for (const subject of ['>', 'join.request.*', '_INBOX.>']) {
    const refusal = new Promise<string>((resolve) => nc.subscribe(subject, { callback: (error) => { if (error !== null) resolve(error.code); } }));
    await nc.flush();
    assert.equal(await refusal, ErrorCode.PermissionsViolation, subject);
  }
  const answer = await nc.request(`join.request.${name}`, '{"v":1,"token":"x"}', { timeout: 5_000 });
  assert.match(answer.string(), /no request of a host/);
});

test('a host that is removed loses its connections and rights at once; its name can be taken again', async () => {
  const joined = await enter(await makeToken(), 'gone');
  const nc = await open(joined, 'gone');
  await host('gone', { type: 'AnnounceHost', id: hostId('gone'), facts: aHostsFacts() });
  await host('gone', { type: 'ReportHostLost', lastBeatAtMs: 1 });
  await until('the api shows it', async () => ((await callApi(socket, { path: '/cluster/hosts', timeoutMs: 5_000 })).text).includes('"gone"'));
  const ended = nc.closed();
  const { status, text } = await callApi(socket, { method: 'DELETE', path: '/cluster/hosts/gone', timeoutMs: 30_000 });
  assert.equal(status, 204, text);
  await ended;
  await assert.rejects(open(joined, 'gone'), isOut);
  // NATS counts in seconds: what is signed within the one of the revocation is another key's.
  await open(await enter(await makeToken(), 'gone'), 'gone');
});

test('a token made for a host lets it have new credentials, and the old ones are void; a restart of the server forgets nothing', async () => {
  const before = await enter(await makeToken(), 'renewed');
  const old = await open(before, 'renewed');
  await refused(await makeToken(), 'renewed', /there is a host renewed already/);
  await refused(await makeToken({ host: 'renewed' }), 'other', /is for host renewed, not for other/);
  const ended = old.closed();
  const now = await enter(await makeToken({ host: 'renewed' }), 'renewed');
  await ended;
  await nats.restart();
  await assert.rejects(open(before, 'renewed'), isOut);
  await open(now, 'renewed');
});

test('neither tokens nor keys are in the log, in answers, or in the api\'s own log', async () => {
  await until('the api is back', async () => (await getJson<ClusterHealth>(socket, '/cluster/health'))?.projection.state === 'following');
  const events = (await callApi(socket, { path: '/cluster/events?follow=0&afterSeq=0', timeoutMs: 30_000 })).text;
  assert.match(events, /JoinTokenUsed/);
  assert.match(events, /MemberRevoked/);
  const texts = [events, await readFile(join(directory, 'api.log'), 'utf8')];
  for (const path of ['/cluster/join-tokens', '/cluster/hosts', '/info', '/cluster/health']) texts.push((await callApi(socket, { path, timeoutMs: 30_000 })).text);
  const forms = planted.flatMap((text) => [text, Buffer.from(text).toString('base64'), Buffer.from(text).toString('base64url')]);
  assert.ok(planted.length > 20);
  for (const text of texts) for (const form of forms) assert.ok(!text.includes(form));
});
