// The thread that reads ahead: what it hands over is what the log holds, in order and whole; leaving it early, and a log that is away, end it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toMessage, type Message } from '@pouch/contracts';
import { openEventLog } from '@pouch/eventlog';
import { createLogger } from '@pouch/process';
import { distill, type Distilled } from '@pouch/projections';
import { maxBatchesAhead, readAhead } from '../../../services/api/src/projection/read-ahead.ts';
import { fill } from '../../bench/log/synthetic.ts';
import { LogOfEntries } from '../../fixtures/log-entries.ts';
import { startNats } from '../../fixtures/nats.ts';

test('all of a log comes, in order and as it stands there', { timeout: 120_000 }, async (t) => {
  const nats = await startNats({ sync: '2m' });
  t.after(() => nats.stop());
  const log = openEventLog<Message>({ servers: nats.url, name: 'test', logger: createLogger({ service: 'test', level: 'silent' }), check: toMessage });
  t.after(() => log.close());
  await log.ready(20_000);
  const source = new LogOfEntries();
  // More than may wait, so that the thread has to be told that there is room.
  for (let n = 0; source.seq < (maxBatchesAhead + 2) * 1_000; n++) source.create(n);
  await fill(log, source, 64);
  const garbage = await log.append({ subject: 'evt.container.one', message: { id: 'x' } as Message, expectedSeq: 0 });
  const { streamId } = await log.identity(0);
  const settings = { log: { servers: nats.url }, logLevel: 'silent', streamId, fromSeq: 3 } as const;

  const read: Distilled[] = [];
  let batches = 0;
  for await (const batch of readAhead(settings, new AbortController().signal)) {
    read.push(...batch);
    batches += 1;
  }
  assert.ok(batches > maxBatchesAhead);
  assert.deepEqual(read.map(({ seq }) => seq), Array.from({ length: garbage.seq - 2 }, (_, index) => index + 3));
  const payloads = new Map(source.entries.map((entry) => [JSON.stringify(JSON.parse(Buffer.from(entry.payload).toString())), entry]));
  for (const got of read.slice(0, -1)) {
    const entry = payloads.get(Buffer.from(got.payload).toString());
    assert.ok(entry !== undefined);
    const { payload: _bytes, storedAtMs: _mine, ...expected } = distill({ ...entry, seq: got.seq });
    const { payload: _same, storedAtMs: _server, ...members } = got;
    assert.deepEqual(members, expected);
  }
  assert.match(read.at(-1)?.fault ?? '', /version/);

  for await (const batch of readAhead(settings, new AbortController().signal)) {
    assert.equal(batch[0]?.seq, 3);
    break;
  }
  await nats.stop();
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 200);
  for await (const batch of readAhead(settings, stop.signal)) assert.fail(`nothing can come: ${batch.length}`);
});
