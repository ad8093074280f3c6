// The log as a host's credentials show it: read, followed and appended to with the rights of a host alone, also over a restart of the server.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { inboxPrefix, type NatsRole } from '@pouch/contracts';
import { hostId } from '@pouch/domain';
import { connectNats, LogUnavailable, NatsEventLog, type NatsLink } from '@pouch/eventlog';
import { credentialsFile, makeClusterKeys, makeMemberKey, signMember, signTrust, trustLines } from '@pouch/membership';
import { nullLogger } from '@pouch/process';
import { startNats, type NatsFixture } from '../../fixtures/nats.ts';
import { collect, message, until, type TestMessage } from '../../unit/eventlog/log-contract.ts';

const keys = makeClusterKeys();
const mine = 'evt.container.first.a';
let directory: string;
let nats: NatsFixture;
const links: NatsLink[] = [];

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pouch-test-membership-'));
  nats = await startNats({ config: trustLines(await signTrust(keys)).join('\n') });
});
after(async () => {
  await Promise.all(links.map((link) => link.close()));
  await nats?.stop();
  await rm(directory, { recursive: true, force: true });
});

async function open(role: NatsRole): Promise<NatsEventLog<TestMessage>> {
  const { seed, publicKey } = makeMemberKey();
  const file = join(directory, `${publicKey}.creds`);
  await writeFile(file, credentialsFile(await signMember(keys, { publicKey, role, expiresAtMs: null }), seed), { mode: 0o600 });
  const link = connectNats({ servers: nats.url, name: role.kind, logger: nullLogger, credentialsFile: file, inboxPrefix: inboxPrefix(role), ...(role.kind === 'agent' ? { replicas: 'keep' } : {}) });
  links.push(link);
  return new NatsEventLog<TestMessage>({ link, logger: nullLogger });
}

test('a host waits for the log, makes none, and works on it with its own rights', async (t) => {
  const host = await open({ kind: 'agent', hostId: hostId('first') });
  await host.link.whenConnected(60_000);
  await assert.rejects(host.append({ subject: mine, message: message(1), expectedSeq: 0 }), (error) => error instanceof LogUnavailable && /api or a scheduler makes it/.test(String(error.cause ?? error)));
  const api = await open({ kind: 'api' });
  await api.ready(60_000);
  const { got, subscription } = collect(host, { filter: 'evt.container.first.>', from: 'last-per-subject' });
  t.after(() => subscription.stop());
  const first = await host.append({ subject: mine, message: message(1), expectedSeq: 0 });
  await api.append({ subject: 'evt.container.second.b', message: message(7), expectedSeq: 0 });
  await api.append({ subject: mine, message: message(2), expectedSeq: first.seq });
  await until('both have come', () => got.length === 2);
  assert.equal((await host.last(mine))?.message.n, 2);
  assert.equal(await host.last('evt.container.first.none'), null);
  await assert.rejects(host.append({ subject: mine, message: message(3), expectedSeq: first.seq }), { code: 'conflict' });

  await nats.restart();
  await until('the log is back', async () => await api.last(mine).then((last) => last !== null, () => false));
  await api.append({ subject: mine, message: message(3), expectedSeq: (await api.last(mine))?.seq ?? 0 });
  await until('the follower goes on', () => got.length === 3);
});
