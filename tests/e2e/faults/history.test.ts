// The past and the projection on a real cluster: rebuilt while the old one serves and while the log grows, events since long ago, and the
// cluster as it was. Never touches another cluster.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { clusterUnavailable, startTestCluster, type TestCluster } from '../../fixtures/cluster.ts';
import { ask, demand, readJson, verified } from './client.ts';

const skip = clusterUnavailable() ?? false;
let cluster: TestCluster;

before(async () => { if (skip === false) cluster = await startTestCluster(); });
after(async () => { if (skip === false) await cluster.stop(); });

type Summary = { id: string; name: string; status: string; exitCode: number | null };
type Containers = { atMs: number; seq: number; containers: Summary[] };

async function lived(name: string, exitCode: number): Promise<string> {
  const { Id } = await demand<{ Id: string }>(cluster.socket, 'POST', `/containers/create?name=${name}`, { body: { Image: 'busybox', Cmd: ['sh', '-c', `exit ${exitCode}`], HostConfig: { NetworkMode: 'none' } } });
  await demand(cluster.socket, 'POST', `/containers/${Id}/start`);
  await demand(cluster.socket, 'POST', `/containers/${Id}/wait`);
  return Id;
}

/** The log's clock after everything that has been told so far, and before everything that follows. */
async function instant(): Promise<number> {
  const { events } = await lastEvents();
  const last = events.at(-1)?.storedAtMs ?? 0;
  // A later message has a later time; the api and the log's server share this machine's clock.
  for (;;) {
    const now = Date.now();
    if (now > last + 2) return now;
  }
}

async function lastEvents(): Promise<{ events: { seq: number; storedAtMs: number; events: { type: string }[]; name: string | null }[] }> {
  const answer = await ask(cluster.socket, 'GET', '/cluster/events?follow=0');
  assert.equal(answer.status, 200, answer.text);
  return { events: answer.text.split('\n').filter((line) => line.startsWith('data:')).map((line) => JSON.parse(line.slice(5)) as never) };
}

test('the cluster as it was, and what happened since, also of what is gone', { skip }, async () => {
  const start = await instant();
  const first = await lived('first', 4);
  const between = await instant();
  await demand(cluster.socket, 'DELETE', `/containers/${first}`);
  const second = await lived('second', 0);
  const end = await instant();

  const at = async (ms: number): Promise<Summary[]> => (await readJson<Containers>(cluster.socket, `/cluster/containers?at=${ms / 1_000}`)).containers;
  assert.deepEqual((await at(start)).map(({ name }) => name), []);
  assert.deepEqual((await at(between)).map(({ name, status, exitCode }) => [name, status, exitCode]), [['first', 'exited', 4]]);
  assert.deepEqual((await at(end)).map(({ id }) => id), [second]);
  const past = await readJson<{ state: { status: string; lastExit: { exitCode: number } } }>(cluster.socket, `/cluster/containers/first?at=${between / 1_000}`);
  assert.deepEqual([past.state.status, past.state.lastExit.exitCode], ['exited', 4]);
  assert.equal((await ask(cluster.socket, 'GET', `/cluster/containers/first?at=${end / 1_000}`)).status, 404);

  const dockers = async (from: number, until: number): Promise<string[]> => {
    const { text } = await ask(cluster.socket, 'GET', `/events?since=${(from / 1_000).toFixed(3)}&until=${(until / 1_000).toFixed(3)}&filters=${encodeURIComponent('{"type":["container"]}')}`);
    return text.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as { Action: string; Actor: { Attributes: { name: string } } }).map(({ Action, Actor }) => `${Actor.Attributes.name} ${Action}`);
  };
  assert.deepEqual(await dockers(start, between), ['first create', 'first start', 'first die']);
  assert.deepEqual(await dockers(between, end), ['first destroy', 'second create', 'second start', 'second die']);
});

test('a rebuild answers what the old projection answered, which serves meanwhile, while the log grows', { skip }, async () => {
  for (let n = 0; n < 10; n++) await lived(`before-${n}`, n);
  const pastMs = await instant();
  const before = await readJson<Containers>(cluster.socket, `/cluster/containers?at=${pastMs / 1_000}`);

  const over = new AbortController();
  const reads = { count: 0 };
  const reading = (async () => {
    while (!over.signal.aborted) {
      const { containers } = await readJson<Containers>(cluster.socket, '/cluster/containers');
      assert.ok(containers.length >= before.containers.length, `a read during the rebuild shows everything: ${containers.length}`);
      reads.count++;
    }
  })();
  const growing = (async () => { for (let n = 0; n < 5; n++) await lived(`during-${n}`, n); })();
  const rebuild = ask(cluster.socket, 'POST', '/cluster/rebuild');
  const [answer] = await Promise.all([rebuild, growing]).finally(() => over.abort());
  await reading;
  assert.ok(reads.count > 0);

  assert.equal(answer.status, 200, answer.text);
  const last = JSON.parse(answer.text.trim().split('\n').at(-1) ?? '{}') as { state: string; error: string | null };
  assert.deepEqual([last.state, last.error], ['done', null]);
  await verified(cluster.socket);
  const after = await readJson<Containers>(cluster.socket, `/cluster/containers?at=${pastMs / 1_000}`);
  assert.deepEqual(after.containers, before.containers);
  assert.equal(after.seq, before.seq);
  const names = (await readJson<Containers>(cluster.socket, '/cluster/containers')).containers.map(({ name }) => name);
  for (let n = 0; n < 5; n++) assert.ok(names.includes(`during-${n}`), `during-${n} is shown`);
});

test('a stream of events is resumed after a rebuild and a kill of the api without a gap or a repeat', { skip }, async () => {
  const whole = (await lastEvents()).events.map(({ seq }) => seq);
  const middle = whole[Math.floor(whole.length / 2)] ?? 0;
  await demand(cluster.socket, 'POST', '/cluster/rebuild').catch((error: unknown) => { if (!(error instanceof SyntaxError)) throw error; }); // JSON lines, not JSON
  await cluster.signal('api', 'SIGKILL');
  await cluster.healthy();
  const { text } = await ask(cluster.socket, 'GET', '/cluster/events?follow=0', { headers: { 'last-event-id': String(middle) } });
  const resumed = text.split('\n').filter((line) => line.startsWith('id:')).map((line) => Number(line.slice(3)));
  assert.deepEqual(resumed.slice(0, whole.length), whole.filter((seq) => seq > middle));
  await verified(cluster.socket);
});
