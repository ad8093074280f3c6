// Claims and lease over real buckets of NATS.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { connectNats, NatsBucket, openLease, type Lease, type NatsLink } from '@pouch/eventlog';
import { nullLogger } from '@pouch/process';
import { startNats, type NatsFixture } from '../../fixtures/nats.ts';
import { bucketContract } from '../../unit/eventlog/bucket-contract.ts';
import { until } from '../../unit/eventlog/log-contract.ts';

let nats: NatsFixture | undefined;
let link: NatsLink | undefined;
const leases: Lease[] = [];
after(async () => {
  await Promise.all(leases.map((lease) => lease.stop()));
  await link?.close();
  await nats?.stop();
});

const linked = startNats().then((started) => {
  nats = started;
  link = connectNats({ servers: started.url, name: 'test', logger: nullLogger });
  return { nats: started, link };
});
const bucket = linked.then(() => new NatsBucket({ link: link as NatsLink, logger: nullLogger, bucket: 'names', ttlMs: 0, timeoutMs: 30_000 }));
bucketContract('over JetStream', () => bucket);

test('removed keys leave no mark in the stream', async () => {
  const { link: own } = await linked;
  const names = await bucket;
  const revision = await names.put('gone', '1', 0);
  assert.equal(await names.remove('gone', revision ?? -1), true);
  const manager = await (await own.connection()).jetstreamManager();
  await until('the mark is purged', async () => (await manager.streams.info('KV_names', { subjects_filter: '$KV.names.gone' })).state.subjects?.['$KV.names.gone'] === undefined);
});

test('a standby takes the lease over when the holder dies, and after a restart of the server epochs still rise', async () => {
  const { nats: server, link: own } = await linked;
  const hold = (holder: string, over: NatsLink) => {
    const told = { acquired: [] as number[], lost: [] as string[] };
    const lease = openLease({ link: over, logger: nullLogger, name: 'scheduler', holder, onAcquired: ({ epoch }) => told.acquired.push(epoch), onLost: (reason) => told.lost.push(reason) });
    leases.push(lease);
    return { ...told, lease };
  };
  // Its connection ends as if its process had died: nothing is let go.
  const dying = connectNats({ servers: server.url, name: 'dying', logger: nullLogger });
  const one = hold('one', dying);
  await until('one has it', () => one.acquired.length > 0);
  const two = hold('two', own);
  await dying.close();
  await until('two has it', () => two.acquired.length > 0);
  assert.ok((two.acquired[0] ?? 0) > (one.acquired.at(-1) ?? 0));
  assert.ok(one.lost.length >= 1);
  await server.kill9();
  await until('two has lost it', () => two.lost.length > 0);
  const before = two.acquired.at(-1) ?? 0;
  const terms = two.acquired.length;
  await server.restart();
  await until('two has it again', () => two.acquired.length > terms);
  assert.ok((two.acquired.at(-1) ?? 0) > before);
});
