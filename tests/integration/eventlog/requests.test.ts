// Requests over one connection, with a real nats-server: each has its own answer or a reason, in a bounded time, and nothing waits for what cannot come.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { connect, type NatsConnection } from 'nats';
import { connectNats, LogUnavailable, type NatsLink } from '@pouch/eventlog';
import { nullLogger } from '@pouch/process';
import { startNats, type NatsFixture } from '../../fixtures/nats.ts';

const timeoutMs = 20_000;

/** A server, a link of somebody who may do what `config` says, and another connection to answer with. */
async function meet(t: TestContext, config = ''): Promise<{ nats: NatsFixture; link: NatsLink; peer: NatsConnection }> {
  const nats = await startNats({ config });
  t.after(() => nats.stop());
  const as = (user: string): { user: string; pass: string } | Record<string, never> => (config === '' ? {} : { user, pass: user });
  const link = connectNats({ servers: nats.url, name: 'test', logger: nullLogger, ...(config === '' ? {} : { credentials: as('asker') }) });
  t.after(() => link.close());
  const peer = await connect({ servers: nats.url, ...as('peer') });
  t.after(() => peer.close());
  assert.ok(await link.whenConnected(timeoutMs));
  return { nats, link, peer };
}

const unavailable = (outcome: 'unknown' | 'not-sent', words: RegExp) => (error: unknown): boolean => {
  assert.ok(error instanceof LogUnavailable);
  assert.match(error.message, words);
  assert.equal(error.outcome, outcome);
  return true;
};

test('many at once, answered in another order, have each their own answer', async (t) => {
  const { link, peer } = await meet(t);
  const held: (() => void)[] = [];
  peer.subscribe('ask', { callback: (_, message) => {
    held.unshift(() => message.respond(message.data));
    if (held.length === 100) for (const answer of held) answer();
  } });
  await peer.flush();
  const answers = await Promise.all(Array.from({ length: 100 }, async (_, n) => (await link.request('ask', String(n), { timeoutMs })).string()));
  assert.deepEqual(answers, Array.from({ length: 100 }, (_, n) => String(n)));
});

test('where nobody listens that is told at once, and that nothing was done', async (t) => {
  const { link } = await meet(t);
  await assert.rejects(link.request('nobody', '', { timeoutMs }), unavailable('not-sent', /without a leader/));
});

test('an answer that comes too late is not taken for that of the next request', async (t) => {
  const { link, peer } = await meet(t);
  const held: (() => void)[] = [];
  peer.subscribe('ask', { callback: (_, message) => { held.push(() => message.respond(message.data)); } });
  await peer.flush();
  await assert.rejects(link.request('ask', 'first', { timeoutMs: 50 }), unavailable('unknown', /within 50 ms/));
  const second = link.request('ask', 'second', { timeoutMs });
  while (held.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  for (const answer of held) answer();
  assert.equal((await second).string(), 'second');
});

test('what waits when the connection breaks is told so, and later requests are answered', async (t) => {
  const { nats, link, peer } = await meet(t);
  peer.subscribe('ask', { callback: (_, message) => { if (message.string() !== 'unanswered') message.respond(message.data); } });
  await peer.flush();
  const waiting = link.request('ask', 'unanswered', { timeoutMs });
  const refused = assert.rejects(waiting, unavailable('unknown', /broke/));
  await link.request('ask', 'there', { timeoutMs });
  await nats.kill9();
  await refused;
  await nats.restart();
  assert.ok(await link.whenConnected(timeoutMs));
  for (const deadline = Date.now() + timeoutMs; ;) {
    // The peer may come back a little later.
    const answer = await link.request('ask', 'again', { timeoutMs }).catch(() => null);
    if (answer !== null) return assert.equal(answer.string(), 'again');
    assert.ok(Date.now() < deadline, 'never answered again');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

test('what may not be asked is refused by name instead of waited for, and the rest goes on', async (t) => {
  const { link, peer } = await meet(t, 'authorization { users: [{ user: peer, password: peer }, { user: asker, password: asker, permissions: { publish: "ask", subscribe: "_INBOX.>" } }] }');
  peer.subscribe('ask', { callback: (_, message) => { message.respond('yes'); } });
  await peer.flush();
  await assert.rejects(link.request('forbidden', '', { timeoutMs }), unavailable('unknown', /no permission to publish to forbidden/));
  assert.equal((await link.request('ask', '', { timeoutMs })).string(), 'yes');
});

test('who may not listen for answers is told so', async (t) => {
  const { link } = await meet(t, 'authorization { users: [{ user: peer, password: peer }, { user: asker, password: asker, permissions: { publish: "ask", subscribe: "elsewhere" } }] }');
  await assert.rejects(link.request('ask', '', { timeoutMs }), unavailable('unknown', /permissions violation/i));
  // And at each further request again.
  await assert.rejects(link.request('ask', '', { timeoutMs }), unavailable('unknown', /permissions violation/i));
});
