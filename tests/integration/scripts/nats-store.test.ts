// The log of a cluster that was made before NATS had accounts is its log afterwards.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { NatsEventLog } from '@pouch/eventlog';
import { nullLogger } from '@pouch/process';
import { adoptStore, storeConflict } from '../../../scripts/cluster/nats-store.ts';
import { makeMembers } from '../../fixtures/members.ts';
import { startNats } from '../../fixtures/nats.ts';
import { message, type TestMessage } from '../../unit/eventlog/log-contract.ts';

test('a store without accounts is taken over by the account of the cluster, once', async () => {
  const storeDir = await mkdtemp(join(tmpdir(), 'pouch-test-store-'));
  const members = await makeMembers();
  try {
    const before = await startNats({ storeDir });
    const log = new NatsEventLog<TestMessage>({ servers: before.url, logger: nullLogger });
    const { streamId } = await log.ready(20_000);
    await log.append({ subject: 'evt.container.first.a', message: message(1), expectedSeq: 0 });
    await log.close();
    await log.link.close();
    await before.stop();

    assert.match(await storeConflict(storeDir, 3) ?? '', /would be lost as soon as it is one of 3/);
    assert.equal(await storeConflict(storeDir, 1), null);
    const account = members.authority.trust.account.publicKey;
    await adoptStore(storeDir, account);
    await adoptStore(storeDir, account);
    const after = await startNats({ storeDir, config: members.config });
    const same = new NatsEventLog<TestMessage>({ servers: after.url, logger: nullLogger, ...await members.address({ kind: 'api' }) });
    assert.equal((await same.ready(20_000)).streamId, streamId);
    assert.equal((await same.last('evt.container.first.a'))?.message.n, 1);
    await same.close();
    await same.link.close();
    await after.stop();
  } finally {
    await members.remove();
    await rm(storeDir, { recursive: true, force: true });
  }
});

test('a log that several servers keep is not left to one, and an empty store is anybody\'s', async () => {
  const storeDir = await mkdtemp(join(tmpdir(), 'pouch-test-store-'));
  try {
    for (const servers of [1, 3]) assert.equal(await storeConflict(storeDir, servers), null);
    // As nats-server 2.10.27 lays it out.
    await mkdir(join(storeDir, 'jetstream', 'A', 'streams', 'EVT'), { recursive: true });
    await mkdir(join(storeDir, 'jetstream', 'S', '_js_', '_meta_'), { recursive: true });
    assert.match(await storeConflict(storeDir, 1) ?? '', /with --address and --servers as before/);
    assert.equal(await storeConflict(storeDir, 3), null);
  } finally {
    await rm(storeDir, { recursive: true, force: true });
  }
});
