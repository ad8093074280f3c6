// What must hold when nats-server dies, hangs, loses its data or its end: nothing acknowledged is lost, nothing is there twice, followers see
// each sequence once or are told that the log is another one.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { cp, rm } from 'node:fs/promises';
import { test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { ConflictError, LogChangedError, LogUnavailable, openClaims, openEventLog, type EventLogOptions, type NatsEventLog } from '@pouch/eventlog';
import { nullLogger } from '@pouch/process';
import { freePort, startNats, type NatsFixture } from '../../fixtures/nats.ts';
import { appendNext, collect, message, until, type TestMessage } from '../../unit/eventlog/log-contract.ts';

async function server(t: TestContext): Promise<NatsFixture> {
  const nats = await startNats();
  t.after(() => nats.stop());
  return nats;
}

function open(t: TestContext, nats: NatsFixture, options: Partial<EventLogOptions<TestMessage>> = {}): NatsEventLog<TestMessage> {
  const log = openEventLog<TestMessage>({ servers: nats.url, logger: nullLogger, ...options });
  t.after(() => log.close());
  return log;
}

/** Appends, however long it takes, the same message until it is in. */
async function insist(log: NatsEventLog<TestMessage>, subject: string, sent: TestMessage): Promise<number> {
  return await until('it is appended', async () => {
    try {
      const head = await log.last(subject);
      return (await log.append({ subject, message: sent, expectedSeq: head?.seq ?? 0 })).seq;
    } catch (error) {
      if (error instanceof LogUnavailable || error instanceof ConflictError) return undefined;
      throw error;
    }
  });
}

test('kill -9 in the midst of appends and followers: nothing acknowledged is lost, nothing is doubled or seen twice', { timeout: 240_000 }, async (t) => {
  const nats = await server(t);
  const log = open(t, nats, { maxMessagesPerSubject: -1 });
  await log.ready(60_000);
  const reader = open(t, nats);
  const { got, errors, subscription } = collect(reader, { filter: 'evt.>', from: { seq: 1 } });
  const acknowledged = new Map<number, string>();
  let stopped = false;
  const writers = Array.from({ length: 4 }, async (_, writer) => {
    for (let n = 0; !stopped; n++) {
      const sent = message(n);
      acknowledged.set(await insist(log, `evt.container.h.${writer}`, sent), sent.id);
    }
  });
  for (let round = 0; round < 4; round++) {
    const before = acknowledged.size;
    await until('some are appended', () => acknowledged.size > before + 40);
    await nats.kill9();
    await nats.restart();
  }
  const before = acknowledged.size;
  await until('some are appended after', () => acknowledged.size > before + 20);
  stopped = true;
  await Promise.all(writers);

  const { lastSeq } = await log.identity();
  await until('the follower has all', () => subscription.lastSeq === lastSeq);
  const inLog: { seq: number; id: string }[] = [];
  for await (const batch of log.read()) inLog.push(...batch.map((entry) => ({ seq: entry.seq, id: log.decode(entry).message.id })));
  assert.equal(new Set(inLog.map(({ id }) => id)).size, inLog.length, 'an id is there twice');
  const bySeq = new Map(inLog.map(({ seq, id }) => [seq, id]));
  for (const [seq, id] of acknowledged) assert.equal(bySeq.get(seq), id, `message ${seq} was acknowledged`);
  assert.deepEqual(got.map(({ seq }) => seq), inLog.map(({ seq }) => seq));
  assert.deepEqual(errors, []);
});

test('with NATS away an append fails in a bounded time and says that nothing was sent', async (t) => {
  const port = await freePort();
  const log = openEventLog<TestMessage>({ servers: `nats://127.0.0.1:${port}`, logger: nullLogger, patienceMs: 300, requestTimeoutMs: 300 });
  t.after(() => log.close());
  assert.equal(log.available, false);
  for (const call of [() => log.append({ subject: 'evt.a', message: message(1), expectedSeq: 0 }), () => log.last('evt.a'), () => log.identity(), () => log.purge('evt.a'), () => log.ready(200)]) {
    await assert.rejects(call(), (error) => error instanceof LogUnavailable && error.retryable && error.outcome === 'not-sent' && error.retryAfterMs > 0);
  }
  await assert.rejects(log.read().next(), LogUnavailable);
});

test('a server that comes late is found, by appends and by followers that began before', async (t) => {
  const nats = await server(t);
  await nats.kill9();
  const log = open(t, nats);
  const states: boolean[] = [];
  log.onStateChange((available) => states.push(available));
  const { got, subscription } = collect(log, { filter: 'evt.>', from: 'last-per-subject' });
  await nats.restart();
  await insist(log, 'evt.a', message(1));
  await until('it came', () => got.length === 1);
  assert.equal(states.at(-1), true);
  await subscription.stop();
});

test('a server that hangs: the outcome is unknown, and trying again with the same id does not double', { timeout: 120_000 }, async (t) => {
  const nats = await server(t);
  const log = open(t, nats, { patienceMs: 500, requestTimeoutMs: 500 });
  await log.ready(60_000);
  const { got, subscription } = collect(log, { filter: 'evt.>', from: 'new' });
  await until('it follows', () => subscription.caughtUp);
  const sent = message(1);
  nats.pause();
  await assert.rejects(log.append({ subject: 'evt.a', message: sent, expectedSeq: 0 }), (error) => error instanceof LogUnavailable && error.outcome === 'unknown');
  nats.resume();
  await insist(log, 'evt.a', sent);
  await appendNext(log, 'evt.a', 2);
  await until('both came', () => got.length >= 2);
  assert.deepEqual(got.map(({ message: { n } }) => n), [1, 2]);
});

test('an append whose acknowledgement was lost is found at the head, or by its id below it', async (t) => {
  const nats = await server(t);
  const log = open(t, nats);
  await log.ready(60_000);
  const sent = message(1);
  const request = log.link.request.bind(log.link);
  let lost = 0;
  let overtake = false;
  log.link.request = async (subject, payload, options) => {
    const answer = await request(subject, payload, options);
    if (!subject.startsWith('evt.') || lost > 0) return answer;
    lost += 1;
    if (overtake) await other.append({ subject, message: message(2), expectedSeq: (await other.last(subject))?.seq ?? 0 });
    throw new LogUnavailable('the answer was lost', { outcome: 'unknown' });
  };
  const other = open(t, nats);
  const first = await log.append({ subject: 'evt.a', message: sent, expectedSeq: 0 });
  assert.equal(first.duplicate, true);
  assert.equal(lost, 1);
  lost = 0;
  overtake = true;
  const again = message(3);
  const second = await log.append({ subject: 'evt.a', message: again, expectedSeq: first.seq });
  assert.equal(second.duplicate, true);
  assert.equal(await log.messageIdAt(second.seq), again.id);
  assert.equal((await log.last('evt.a'))?.message.n, 2);
});

test('an append that was not answered and has others on top is found, also where the server speaks of a conflict and nobody can say for a moment', async (t) => {
  const nats = await server(t);
  const log = open(t, nats);
  await log.ready(60_000);
  const other = open(t, nats);
  const request = log.link.request.bind(log.link);
  const answered = async (error: object) => ({ ...await request('$JS.API.INFO', '', { timeoutMs: 2_000 }), json: () => ({ error }) }) as never;
  const steps: string[] = [];
  log.link.request = async (subject, payload, options) => {
    const step = subject.startsWith('evt.') ? 'append' : subject.includes('MSG.GET') ? 'look' : 'else';
    if (step === 'else') return await request(subject, payload, options);
    steps.push(step);
    switch (steps.length) {
      case 1: {
        await request(subject, payload, options);
        await other.append({ subject, message: message(2), expectedSeq: 1 });
        throw new LogUnavailable('the answer was lost', { outcome: 'unknown' });
      }
      case 2: return await answered({ code: 404, err_code: 10_037, description: 'no message found' });
      case 3: return await answered({ code: 400, err_code: 10_071, description: 'wrong last sequence: 2' });
      case 4: throw new LogUnavailable('nobody leads the log for the moment');
      default: return await request(subject, payload, options);
    }
  };
  assert.deepEqual(await log.append({ subject: 'evt.a', message: message(1), expectedSeq: 0 }), { seq: 1, duplicate: true });
  assert.deepEqual(steps, ['append', 'look', 'append', 'look', 'look']);
});

test('with patience a call waits for a log that is away for a while: it is late instead of refused, and done once', { timeout: 120_000 }, async (t) => {
  const nats = await startNats({ sync: 'always' }); // else a kill may take what was acknowledged
  t.after(() => nats.stop());
  const log = open(t, nats, { patienceMs: 50_000, requestTimeoutMs: 300 });
  await log.ready(60_000);
  const names = openClaims<string>({ link: log.link, logger: nullLogger, timeoutMs: 300, patienceMs: 50_000 });
  const kept = await names.claim('kept', 'one');
  const seq = await appendNext(log, 'evt.a', 1);
  const absences: readonly { readonly begin: () => Promise<void> | void; readonly end: () => Promise<void> | void }[] = [{ begin: () => nats.kill9(), end: () => nats.restart() }, { begin: () => nats.pause(), end: () => nats.resume() }];
  for (const [n, absence] of absences.entries()) {
    await absence.begin();
    const sent = message(2);
    const calls = [log.append({ subject: `evt.b${n}`, message: sent, expectedSeq: 0 }), log.last('evt.a'), names.claim(`new${n}`, 'two'), names.get('kept')] as const;
    const over = Promise.all(calls).then(() => true);
    // Longer than one request may take: each has failed at least once by then.
    assert.equal(await Promise.race([over, delay(700, false)]), false);
    await absence.end();
    const [appended, last, claimed, got] = await Promise.all(calls);
    assert.equal(last?.seq, seq);
    assert.deepEqual([claimed.ok, got?.value, got?.revision], [true, 'one', kept.ok ? kept.revision : -1]);
    const inLog: string[] = [];
    for await (const batch of log.read({ filter: `evt.b${n}` })) inLog.push(...batch.map((entry) => `${entry.seq} ${log.decode(entry).message.id}`));
    assert.deepEqual(inLog, [`${appended.seq} ${sent.id}`]);
  }
});

test('while its own message may still be under way, a conflict with "a message under way" is none: it is waited for', async (t) => {
  const nats = await server(t);
  const log = open(t, nats);
  await log.ready(60_000);
  const request = log.link.request.bind(log.link);
  let tries = 0;
  log.link.request = async (subject, payload, options) => {
    if (!subject.startsWith('evt.')) return await request(subject, payload, options);
    tries += 1;
    if (tries === 1) throw new LogUnavailable('no answer', { outcome: 'unknown' });
    // What a server of a cluster says until its peers have agreed on the message.
    if (tries === 2) return { ...await request('$JS.API.INFO', '', options), json: () => ({ error: { code: 400, err_code: 10_164, description: 'wrong last sequence' } }) } as never;
    return await request(subject, payload, options);
  };
  assert.deepEqual([(await log.append({ subject: 'evt.a', message: message(1), expectedSeq: 0 })).duplicate, tries], [false, 3]);
});

test('a question that a hanging server has swallowed is asked again, and answered by whoever hears it', { timeout: 30_000 }, async (t) => {
  const nats = await server(t);
  const log = open(t, nats, { patienceMs: 50_000, requestTimeoutMs: 50_000 });
  await log.ready(60_000);
  await appendNext(log, 'evt.a', 1);
  const request = log.link.request.bind(log.link);
  const swallowed = new Set<string>();
  log.link.request = async (subject, payload, options) => {
    if (swallowed.has(subject)) return await request(subject, payload, options);
    swallowed.add(subject);
    return await new Promise(() => undefined);
  };
  assert.equal((await log.identity()).lastSeq, 1);
  assert.equal((await log.last('evt.a'))?.message.n, 1);
  const { got } = collect(log, { filter: 'evt.>', from: { seq: 1 } });
  await until('it is followed', () => got.length === 1);
});

test('a server that hears requests and knows none, as one does whose JetStream is starting, is waited for', { timeout: 30_000 }, async (t) => {
  const nats = await server(t);
  const maker = open(t, nats);
  await maker.ready(60_000);
  await appendNext(maker, 'evt.a', 1);
  const log = open(t, nats);
  await log.link.connection(10_000);
  const request = log.link.request.bind(log.link);
  const heard = new Map<string, number>();
  log.link.request = async (subject, payload, options) => {
    const answer = await request(subject, payload, options);
    const verb = subject.split('.').slice(0, 4).join('.'); // consumers have names of their own behind it
    const before = heard.get(verb) ?? 0;
    heard.set(verb, before + 1);
    return before < 2 ? { ...answer, json: () => ({ error: { code: 400, err_code: 10_003, description: 'bad request' } }) } as never : answer;
  };
  const { got, errors } = collect(log, { filter: 'evt.>', from: { seq: 1 } });
  assert.equal((await log.last('evt.a'))?.message.n, 1);
  await until('it is followed', () => got.length === 1);
  assert.deepEqual(errors, []);
});

test('a consumer that is deleted under a follower is made again, without a gap', async (t) => {
  const nats = await server(t);
  const log = open(t, nats);
  await log.ready(60_000);
  const interruptions: string[] = [];
  const { got, subscription } = collect(log, { filter: 'evt.>', from: 'new', onInterrupted: (reason) => interruptions.push(reason) });
  await until('it follows', () => subscription.caughtUp);
  const manager = await (await log.link.connection()).jetstreamManager();
  for (let n = 0; n < 3; n++) {
    await appendNext(log, 'evt.a', n);
    for await (const { name } of manager.consumers.list('EVT')) await manager.consumers.delete('EVT', name);
    await until('it was noticed', () => interruptions.length > n);
    await until('it follows again', () => subscription.caughtUp);
  }
  await appendNext(log, 'evt.a', 3);
  await until('all came', () => got.length === 4);
  assert.deepEqual(got.map(({ message: { n } }) => n), [0, 1, 2, 3]);
});

test('data that is lost makes another log: followers are told, appends go on', { timeout: 120_000 }, async (t) => {
  const nats = await server(t);
  const log = open(t, nats);
  const before = await log.ready(60_000);
  await appendNext(log, 'evt.a', 1);
  const { errors, subscription } = collect(log, { filter: 'evt.>', from: { seq: 1 } });
  await until('it follows', () => subscription.caughtUp);
  await nats.kill9();
  await rm(nats.storeDir, { recursive: true });
  await nats.restart();
  await until('the follower is told', () => errors.length > 0);
  assert.ok(errors[0] instanceof LogChangedError && errors[0].change === 'recreated', String(errors[0]));
  assert.notEqual((await log.identity()).streamId, before.streamId);
  assert.equal(await insist(log, 'evt.a', message(2)), 1);
});

test('a log that lost its end is told to those who saw it', { timeout: 120_000 }, async (t) => {
  const nats = await server(t);
  const log = open(t, nats);
  await log.ready(60_000);
  for (let n = 0; n < 3; n++) await appendNext(log, 'evt.a', n);
  await nats.kill9();
  const copy = `${nats.storeDir}-copy`;
  await cp(nats.storeDir, copy, { recursive: true });
  await nats.restart();
  await insist(log, 'evt.a', message(3));
  const { streamId } = await log.identity();
  const { errors, got } = collect(log, { filter: 'evt.>', from: { seq: 1 }, streamId });
  await until('it saw the end', () => got.length === 4);
  await nats.kill9();
  await rm(nats.storeDir, { recursive: true });
  await cp(copy, nats.storeDir, { recursive: true });
  await nats.restart();
  await until('the follower is told', () => errors.length > 0);
  assert.ok(errors[0] instanceof LogChangedError && errors[0].change === 'rewound', String(errors[0]));
  // The sequence is given out again; the id tells that it is another message.
  const again = message(9, randomUUID());
  assert.equal(await insist(log, 'evt.a', again), 4);
  assert.equal(await log.messageIdAt(4), again.id);
  assert.equal((await log.identity()).streamId, streamId);
});
