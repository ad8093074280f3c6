// Following a log: what is committed is told, an away log is waited for, another log and a damaged file end it with the reason, the past is pruned.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { MemoryEventLog } from '@pouch/eventlog';
import { toMessage, type Message } from '@pouch/contracts';
import { systemClock } from '@pouch/process';
import { ProjectionReader, type LogEntry } from '@pouch/projections';
import { runFollower } from '../../../services/api/src/projection/follower.ts';
import { maxToldSubjects, type FromProjector } from '../../../services/api/src/projection/protocol.ts';
import { idOf, LogOfEntries } from '../../fixtures/log-entries.ts';

const directory = mkdtempSync(join(tmpdir(), 'pouch-test-follower-'));
after(() => rmSync(directory, { recursive: true, force: true }));
let files = 0;
const longMs = 30_000;

async function append(log: MemoryEventLog<Message>, entries: readonly LogEntry[]): Promise<number> {
  let seq = 0;
  for (const { subject, payload } of entries) {
    const last = await log.last(subject);
    seq = (await log.append({ subject, message: toMessage(JSON.parse(Buffer.from(payload).toString())), expectedSeq: last?.seq ?? 0 })).seq;
  }
  return seq;
}

function following(t: TestContext, log: MemoryEventLog<Message>, options: { readonly file?: string; readonly maxMessages?: number } = {}) {
  const file = options.file ?? join(directory, `f${files++}.db`);
  const said: FromProjector[] = [];
  const stop = new AbortController();
  t.after(() => stop.abort());
  const ended = runFollower({ file, log, clock: systemClock, retention: { maxAgeMs: null, maxMessages: options.maxMessages ?? null, endedMs: 1e12 }, post: (message) => said.push(message), checkIntervalMs: 10, pruneIntervalMs: 10 }, stop.signal);
  const until = async (what: string, holds: () => boolean) => {
    for (const end = Date.now() + longMs; !holds(); await delay(5)) assert.ok(Date.now() < end, `not in time: ${what}`);
  };
  return { file, said, until, ended, stop: async () => { stop.abort(); await ended; } };
}

const committedTo = (said: readonly FromProjector[]) => said.reduce((seq, message) => (message.type === 'committed' ? message.seq : seq), 0);

test('what is there and what comes is committed in order, and told with its subjects', async (t) => {
  const log = new MemoryEventLog<Message>();
  const source = new LogOfEntries();
  for (let n = 0; n < 2 * maxToldSubjects; n++) source.pull(n, `docker.io/library/i${n}:latest`);
  source.create(3);
  const before = await append(log, source.entries);
  const { said, until, stop } = following(t, log);
  await until('the past is committed', () => committedTo(said) === before);
  await until('it follows', () => said.at(-1)?.type === 'following');
  assert.ok(said.some((message) => message.type === 'committed' && message.subjects === null), 'too many subjects are told as any');
  source.start(3);
  const seq = await append(log, source.entries.slice(before));
  await until('the news is committed', () => committedTo(said) === seq);
  const last = said.findLast((message) => message.type === 'committed');
  assert.deepEqual(last?.type === 'committed' && last.subjects, [`evt.container.host-1.${idOf(3)}`]);
  await stop();
});

test('a log that goes away and comes back is followed on without a gap', async (t) => {
  const log = new MemoryEventLog<Message>();
  log.setAvailable(false);
  const { file, said, until, stop } = following(t, log);
  await until('it says so', () => said.some(({ type }) => type === 'log-unavailable'));
  log.setAvailable(true);
  const source = new LogOfEntries();
  source.create(1);
  const first = await append(log, source.entries);
  await until('it is followed', () => committedTo(said) === first);
  log.setAvailable(false);
  await until('it says so again', () => said.at(-1)?.type === 'log-unavailable');
  log.setAvailable(true);
  source.start(1);
  const second = await append(log, source.entries.slice(first));
  await until('it goes on', () => committedTo(said) === second);
  await stop();
  const reader = ProjectionReader.open(file);
  assert.equal(reader.history.size(), second);
  reader.close();
});

test('another log under the same name makes the file unusable, while running and at the start', async (t) => {
  const log = new MemoryEventLog<Message>();
  const source = new LogOfEntries();
  source.create(1);
  const seq = await append(log, source.entries);
  const first = following(t, log);
  await first.until('it is committed', () => committedTo(first.said) === seq);
  log.recreate();
  await first.ended;
  assert.equal(first.said.at(-1)?.type, 'unusable');
  const second = following(t, log, { file: first.file });
  await second.ended;
  assert.equal(second.said.at(-1)?.type, 'unusable');
});

test('a damaged file is unusable, not an error of the thread', async (t) => {
  const file = join(directory, 'damaged.db');
  writeFileSync(file, 'x'.repeat(10_000));
  const { said, ended } = following(t, new MemoryEventLog<Message>(), { file });
  await ended;
  assert.deepEqual(said.map(({ type }) => type), ['unusable']);
});

test('the history is pruned while it is followed', async (t) => {
  const log = new MemoryEventLog<Message>();
  const source = new LogOfEntries();
  for (let n = 0; n < 50; n++) {
    source.create(n);
    source.remove(n);
  }
  const seq = await append(log, source.entries);
  const { file, said, until, stop } = following(t, log, { maxMessages: 100 });
  await until('it is pruned', () => said.some(({ type }) => type === 'pruned'));
  await stop();
  assert.equal(committedTo(said), seq);
  const reader = ProjectionReader.open(file);
  assert.ok(reader.history.size() <= 100);
  assert.ok(reader.history.floor().seq > 0);
  reader.close();
});
