// What a nats-server says of itself: whether it stores anything, and so whether a start would help. A full disk of a server that is alone is over when there is room.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { openEventLog } from '@pouch/eventlog';
import { nullLogger } from '@pouch/process';
import { lacksJetStream, natsInfo } from '../../../scripts/cluster/nats-info.ts';
import { clusterUnavailable } from '../../fixtures/cluster.ts';
import { Disk } from '../../fixtures/disk.ts';
import { freePort, startNats } from '../../fixtures/nats.ts';
import { message, until, type TestMessage } from '../../unit/eventlog/log-contract.ts';

const skip = clusterUnavailable() ?? false;

async function disk(t: TestContext): Promise<{ readonly directory: string; readonly disk: Disk }> {
  const directory = await mkdtemp(join(tmpdir(), 'pouch-test-full-'));
  const made = new Disk(directory, 96 * 2 ** 20);
  await made.make();
  t.after(async () => {
    await made.free();
    await promisify(execFile)('umount', ['-l', directory]);
    await rm(directory, { recursive: true });
  });
  return { directory, disk: made };
}

test('a server without JetStream is of use again by a start only once there is room', { skip }, async (t) => {
  const { directory, disk: full } = await disk(t);
  // As one of several servers greets after it has given JetStream up, and before.
  let info: object = { server_name: 'one', jetstream: true };
  const server = createServer((socket) => { socket.on('error', () => undefined).write(`INFO ${JSON.stringify(info)} \r\n`); }).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  assert.deepEqual([await natsInfo(port), await lacksJetStream(port, directory)], [{ jetstream: true }, false]);
  info = { server_name: 'one' };
  assert.deepEqual([await natsInfo(port), await lacksJetStream(port, directory)], [{ jetstream: false }, true]);
  await full.fill();
  assert.equal(await lacksJetStream(port, directory), false);
});

test('where nobody listens, nothing is said of it', async () => {
  const port = await freePort();
  assert.deepEqual([await natsInfo(port), await lacksJetStream(port, tmpdir())], [null, false]);
});

test('a log that one server keeps refuses while its disk is full, keeps what it has acknowledged, and goes on when there is room', { skip, timeout: 120_000 }, async (t) => {
  const { directory, disk: full } = await disk(t);
  const nats = await startNats({ sync: 'always', storeDir: join(directory, 'store') });
  const log = openEventLog<TestMessage>({ servers: nats.url, logger: nullLogger, patienceMs: 500, requestTimeoutMs: 500, maxMessagesPerSubject: -1 });
  t.after(async () => {
    await log.close();
    await nats.stop();
  });
  await log.ready(60_000);
  assert.deepEqual([await natsInfo(nats.port), await lacksJetStream(nats.port, directory)], [{ jetstream: true }, false]);
  const acknowledged: { readonly subject: string; readonly id: string }[] = [];
  const append = async (subject: string): Promise<boolean> => {
    const sent = { ...message(1), filler: 'x'.repeat(10_000) } as TestMessage;
    const head = await log.last(subject).catch(() => null);
    const done = await log.append({ subject, message: sent, expectedSeq: head?.seq ?? 0 }).then(() => true, () => false);
    if (done) acknowledged.push({ subject, id: sent.id });
    return done;
  };
  assert.equal(await append('evt.before'), true);
  await full.fill();
  let n = 0;
  await until('it refuses', async () => !(await append(`evt.full${n++}`)) || undefined);
  await full.free();
  await until('it takes again', async () => await append(`evt.after${n++}`) || undefined);
  for (const { subject, id } of acknowledged) assert.equal((await log.last(subject))?.message.id, id, subject);
});
