// The log as a host's credentials show it: read, followed and appended to with the rights of a host alone, also over a restart of the server.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { NatsRole } from '@pouch/contracts';
import { hostId } from '@pouch/domain';
import { connectNats, LogUnavailable, NatsEventLog, type NatsLink } from '@pouch/eventlog';
import { nullLogger } from '@pouch/process';
import { makeMembers, type TestMembers } from '../../fixtures/members.ts';
import { startNats, type NatsFixture } from '../../fixtures/nats.ts';
import { collect, message, until, type TestMessage } from '../../unit/eventlog/log-contract.ts';

const mine = 'evt.container.first.a';
let members: TestMembers;
let nats: NatsFixture;
const links: NatsLink[] = [];

before(async () => {
  members = await makeMembers();
  nats = await startNats({ config: members.config });
});
after(async () => {
  await Promise.all(links.map((link) => link.close()));
  await nats?.stop();
  await members?.remove();
});

async function open(role: NatsRole): Promise<NatsEventLog<TestMessage>> {
  const link = connectNats({ servers: nats.url, name: role.kind, logger: nullLogger, ...await members.address(role), ...(role.kind === 'agent' ? { replicas: 'keep' } : {}) });
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
