// What every event log must do, run against the one in memory and the one over JetStream. Not a test file by itself.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { ConflictError, MessageTooLargeError, type EventLog, type FollowOptions, type Recorded, type Subscription } from '@pouch/eventlog';

export interface TestMessage {
  readonly id: string;
  readonly n: number;
  readonly pad?: string;
}

export const message = (n: number, id: string = randomUUID()): TestMessage => ({ id, n });

/** Polls until `look` answers other than undefined or false. */
export async function until<T>(what: string, look: () => T | undefined | false | Promise<T | undefined | false>, timeoutMs = 60_000): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const answer = await look();
    if (answer !== undefined && answer !== false) return answer as T;
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Appends as the next message of `subject`. */
export async function appendNext(log: EventLog<TestMessage>, subject: string, n: number): Promise<number> {
  const head = await log.last(subject);
  return (await log.append({ subject, message: message(n), expectedSeq: head?.seq ?? 0 })).seq;
}

/** A subscription that keeps what it got. */
export function collect(log: EventLog<TestMessage>, options: Partial<FollowOptions<TestMessage>> & Pick<FollowOptions<TestMessage>, 'filter' | 'from'>): { got: Recorded<TestMessage>[]; caughtUp: number[]; errors: Error[]; subscription: Subscription } {
  const got: Recorded<TestMessage>[] = [];
  const caughtUp: number[] = [];
  const errors: Error[] = [];
  const subscription = log.follow({
    onMessages: (messages) => { got.push(...messages); },
    onCaughtUp: () => { caughtUp.push(got.length); },
    onFailed: (error) => { errors.push(error); },
    ...options,
  });
  return { got, caughtUp, errors, subscription };
}

/** `open` gives a log that is empty at the first call; with `maxMessagesPerSubject` 5. The log belongs to the caller. */
export function logContract(name: string, open: () => Promise<EventLog<TestMessage>>): void {
  // Each test has subjects of its own, so that one log serves all.
  let at = 0;
  const host = () => `evt.container.h${++at}`;

  describe(`event log contract: ${name}`, () => {
    test('has an identity that stays', async () => {
      const log = await open();
      const first = await log.ready(30_000);
      assert.match(first.streamId, /^[0-9a-f-]{36}$/);
      assert.ok(Math.abs(Date.now() - first.createdAtMs) < 3_600_000);
      const seq = await appendNext(log, `${host()}.a`, 1);
      const later = await log.identity();
      assert.equal(later.streamId, first.streamId);
      assert.equal(later.lastSeq, seq);
    });

    test('appends with an expectation and answers with rising sequences', async () => {
      const log = await open();
      const subject = `${host()}.a`;
      assert.equal(await log.last(subject), null);
      const one = await log.append({ subject, message: message(1), expectedSeq: 0 });
      const two = await log.append({ subject, message: message(2), expectedSeq: one.seq });
      assert.ok(two.seq > one.seq);
      assert.deepEqual([one.duplicate, two.duplicate], [false, false]);
      const head = await log.last(subject);
      assert.equal(head?.seq, two.seq);
      assert.equal(head?.subject, subject);
      assert.equal(head?.message.n, 2);
      assert.ok(Math.abs((head?.storedAtMs ?? 0) - Date.now()) < 600_000);
    });

    test('refuses a stale expectation and tells the head', async () => {
      const log = await open();
      const subject = `${host()}.a`;
      const { seq } = await log.append({ subject, message: message(1), expectedSeq: 0 });
      for (const expectedSeq of [0, seq - 1, seq + 7].filter((stale) => stale >= 0)) {
        await assert.rejects(log.append({ subject, message: message(2), expectedSeq }), (error) => {
          assert.ok(error instanceof ConflictError);
          assert.equal(error.headSeq, seq);
          assert.equal(error.code, 'conflict');
          return true;
        });
      }
    });

    test('a repeated id is one message, also with a stale expectation', async () => {
      const log = await open();
      const subject = `${host()}.a`;
      const same = message(1);
      const first = await log.append({ subject, message: same, expectedSeq: 0 });
      assert.deepEqual(await log.append({ subject, message: same, expectedSeq: 0 }), { seq: first.seq, duplicate: true });
      const next = await log.append({ subject, message: message(2), expectedSeq: first.seq });
      assert.deepEqual(await log.append({ subject, message: same, expectedSeq: next.seq }), { seq: first.seq, duplicate: true });
    });

    test('a refused append does not use up its id', async () => {
      const log = await open();
      const subject = `${host()}.a`;
      const { seq } = await log.append({ subject, message: message(1), expectedSeq: 0 });
      const again = message(2);
      await assert.rejects(log.append({ subject, message: again, expectedSeq: 0 }), ConflictError);
      const appended = await log.append({ subject, message: again, expectedSeq: seq });
      assert.equal(appended.duplicate, false);
      assert.equal((await log.last(subject))?.message.n, 2);
    });

    test('of many who append with the same expectation one wins', async () => {
      const log = await open();
      const subject = `${host()}.a`;
      const outcomes = await Promise.allSettled(Array.from({ length: 16 }, (_, n) => log.append({ subject, message: message(n), expectedSeq: 0 })));
      assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
      assert.ok(outcomes.every((outcome) => outcome.status === 'fulfilled' || outcome.reason instanceof ConflictError));
    });

    test('refuses what the server would not take, by size', async () => {
      const log = await open();
      const subject = `${host()}.a`;
      await assert.rejects(log.append({ subject, message: { ...message(1), pad: 'x'.repeat(1_100_000) }, expectedSeq: 0 }), (error) => error instanceof MessageTooLargeError && !error.retryable && /bytes/.test(error.message));
      assert.ok((await log.append({ subject, message: { ...message(1), pad: 'é'.repeat(400_000) }, expectedSeq: 0 })).seq > 0);
    });

    test('keeps the newest of each subject, the head always', async () => {
      const log = await open();
      const subject = `${host()}.a`;
      for (let n = 1; n <= 12; n++) await appendNext(log, subject, n);
      const read: number[] = [];
      for await (const batch of log.read({ filter: subject })) read.push(...batch.map((entry) => log.decode(entry).message.n));
      assert.deepEqual(read, [8, 9, 10, 11, 12]);
    });

    test('reads one entry and its id by sequence', async () => {
      const log = await open();
      const subject = `${host()}.a`;
      const one = message(1);
      const { seq } = await log.append({ subject, message: one, expectedSeq: 0 });
      const entry = await log.entry(seq);
      assert.deepEqual(entry === null ? null : log.decode(entry).message, one);
      assert.equal(await log.messageIdAt(seq), one.id);
      for (const nowhere of [0, seq + 1_000_000]) assert.deepEqual([await log.messageIdAt(nowhere), await log.entry(nowhere)], [null, null]);
    });

    test('purges a subject, wholly or but for the newest', async () => {
      const log = await open();
      const root = host();
      for (let n = 1; n <= 4; n++) await appendNext(log, `${root}.a`, n);
      await appendNext(log, `${root}.b`, 1);
      assert.deepEqual(await log.purge(`${root}.a`, { keep: 1 }), { purged: 3 });
      assert.equal((await log.last(`${root}.a`))?.message.n, 4);
      assert.deepEqual(await log.purge(`${root}.a`), { purged: 1 });
      assert.equal(await log.last(`${root}.a`), null);
      assert.equal((await log.last(`${root}.b`))?.message.n, 1);
      // As new: nothing is expected.
      assert.ok((await log.append({ subject: `${root}.a`, message: message(9), expectedSeq: 0 })).seq > 0);
    });

    test('reads in bounded batches from a sequence, and ends at what was there', async () => {
      const log = await open();
      const root = host();
      const seqs: number[] = [];
      for (let n = 0; n < 25; n++) seqs.push((await log.append({ subject: `${root}.${n}`, message: message(n), expectedSeq: 0 })).seq);
      const batches: number[][] = [];
      for await (const batch of log.read({ filter: `${root}.>`, fromSeq: seqs[5] as number, maxBatch: 7 })) {
        batches.push(batch.map(({ seq }) => seq));
        if (batches.length === 1) await log.append({ subject: `${root}.late`, message: message(99), expectedSeq: 0 });
      }
      assert.deepEqual(batches.flat(), seqs.slice(5));
      assert.ok(batches.every((batch) => batch.length >= 1 && batch.length <= 7));
      // Leaving early is allowed.
      for await (const batch of log.read({ filter: `${root}.>`, maxBatch: 3 })) {
        assert.equal(batch.length, 3);
        break;
      }
      const none: unknown[] = [];
      for await (const batch of log.read({ filter: `${host()}.>` })) none.push(batch);
      assert.deepEqual(none, []);
      const some: number[] = [];
      for await (const batch of log.read({ filter: `${root}.>`, untilSeq: seqs[2] as number })) some.push(...batch.map(({ seq }) => seq));
      assert.deepEqual(some, seqs.slice(0, 3));
    });

    test('follows from a sequence: what is there, then what comes, each once and in order', async () => {
      const log = await open();
      const root = host();
      const { firstSeq } = await log.identity();
      const seqs: number[] = [];
      for (let n = 0; n < 10; n++) seqs.push((await log.append({ subject: `${root}.${n}`, message: message(n), expectedSeq: 0 })).seq);
      const { got, caughtUp, errors, subscription } = collect(log, { filter: `${root}.*`, from: { seq: firstSeq } });
      await until('caught up', () => subscription.caughtUp);
      assert.deepEqual(got.map(({ seq }) => seq), seqs);
      assert.deepEqual(caughtUp, [10]);
      for (let n = 10; n < 30; n++) seqs.push((await log.append({ subject: `${root}.${n}`, message: message(n), expectedSeq: 0 })).seq);
      await log.append({ subject: `${host()}.other`, message: message(0), expectedSeq: 0 });
      await until('all came', () => got.length >= 30);
      assert.deepEqual(got.map(({ seq }) => seq), seqs);
      assert.equal(subscription.lastSeq, seqs.at(-1));
      await subscription.stop();
      await subscription.stop();
      await log.append({ subject: `${root}.after`, message: message(31), expectedSeq: 0 });
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.equal(got.length, 30);
      assert.deepEqual(errors, []);
    });

    test('follows from the newest of each subject', async () => {
      const log = await open();
      const root = host();
      for (const subject of ['a', 'b', 'a', 'c', 'a', 'b']) await appendNext(log, `${root}.${subject}`, at++);
      const { got, subscription } = collect(log, { filter: `${root}.>`, from: 'last-per-subject' });
      await until('caught up', () => subscription.caughtUp);
      assert.deepEqual(got.map(({ subject }) => subject), [`${root}.c`, `${root}.a`, `${root}.b`]);
      await appendNext(log, `${root}.a`, 1);
      await appendNext(log, `${root}.a`, 2);
      await until('both came', () => got.length === 5);
      assert.deepEqual(got.slice(3).map(({ message: { n } }) => n), [1, 2]);
      await subscription.stop();
    });

    test('follows only what is new', async () => {
      const log = await open();
      const root = host();
      await appendNext(log, `${root}.a`, 1);
      const { got, subscription } = collect(log, { filter: `${root}.>`, from: 'new' });
      await until('caught up', () => subscription.caughtUp);
      await appendNext(log, `${root}.a`, 2);
      await until('it came', () => got.length === 1);
      assert.equal(got[0]?.message.n, 2);
      await subscription.stop();
    });

    test('an empty log is caught up at once', async () => {
      const log = await open();
      const { got, subscription } = collect(log, { filter: `${host()}.>`, from: 'last-per-subject' });
      await until('caught up', () => subscription.caughtUp);
      assert.deepEqual(got, []);
      await subscription.stop();
    });

    test('waits for a slow handler: one batch at a time, bounded, all of it', async () => {
      const log = await open();
      const root = host();
      for (let n = 0; n < 60; n++) await log.append({ subject: `${root}.${n}`, message: message(n), expectedSeq: 0 });
      const sizes: number[] = [];
      const got: number[] = [];
      let atWork = 0;
      const { subscription } = collect(log, {
        filter: `${root}.>`,
        from: 'last-per-subject',
        maxBatch: 8,
        onMessages: async (messages) => {
          assert.equal(++atWork, 1);
          sizes.push(messages.length);
          await new Promise((resolve) => setTimeout(resolve, 2));
          got.push(...messages.map(({ message: { n } }) => n));
          atWork -= 1;
        },
        onCaughtUp: () => sizes.push(-got.length),
      });
      await until('caught up', () => subscription.caughtUp);
      assert.deepEqual(got, Array.from({ length: 60 }, (_, n) => n));
      assert.equal(sizes.pop(), -60);
      assert.ok(sizes.every((size) => size >= 1 && size <= 8));
      await subscription.stop();
    });

    test('what the handler throws ends the subscription, once', async () => {
      const log = await open();
      const root = host();
      await appendNext(log, `${root}.a`, 1);
      const { errors, subscription } = collect(log, { filter: `${root}.>`, from: 'last-per-subject', onMessages: () => { throw new RangeError('no'); } });
      await until('it failed', () => errors.length > 0);
      await appendNext(log, `${root}.a`, 2);
      await new Promise((resolve) => setTimeout(resolve, 30));
      assert.deepEqual(errors.map(({ message: text }) => text), ['no']);
      await subscription.stop();
    });

    test('a stream that is not the one asked for, or ends before, is told', async () => {
      const log = await open();
      const { lastSeq } = await log.identity();
      for (const options of [{ from: { seq: 1 }, streamId: randomUUID() }, { from: { seq: lastSeq + 1_000 } }]) {
        const { errors, subscription } = collect(log, { filter: 'evt.>', ...options });
        await until('it failed', () => errors.length > 0);
        assert.equal((errors[0] as { code?: string }).code, 'identity-changed');
        await subscription.stop();
      }
    });
  });
}
