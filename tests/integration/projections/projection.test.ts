// The projection on a real JetStream: it shows what was appended, survives kills, finds out when the log is another one, and is rebuilt while it serves.
import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Container } from '@pouch/domain';
import { startProjectedApi, longMs, type ProjectedApi } from '../../fixtures/projected-api.ts';
import { idOf, LogOfEntries } from '../../fixtures/log-entries.ts';

const running: ProjectedApi[] = [];
after(async () => {
  for (const api of running) await api.stop();
});
async function started(...args: Parameters<typeof startProjectedApi>): Promise<ProjectedApi> {
  const api = await startProjectedApi(...args);
  running.push(api);
  return api;
}

async function eventually(what: string, holds: () => boolean): Promise<void> {
  for (const end = Date.now() + longMs; !holds(); await delay(20)) if (Date.now() > end) assert.fail(`not within ${longMs} ms: ${what}`);
}

const dbFiles = (api: ProjectedApi) => readdirSync(api.directory).filter((name) => name.endsWith('.db'));

test('what is appended is shown, told once and in order, and is still there after a restart', async () => {
  let api = await started();
  const told: number[] = [];
  api.projection.onCommitted(({ seq }) => told.push(seq));
  const log = new LogOfEntries();
  log.join();
  log.create(1, { name: 'web' });
  const seq = await api.show(log.entries);
  assert.equal(api.projection.seq, seq);
  assert.deepEqual(told, told.toSorted((a, b) => a - b));
  assert.equal(told.at(-1), seq);
  const found = api.projection.present.resolveContainer('web');
  assert.equal(found.ok && found.container.state.id, idOf(1));
  await api.projection.whenCurrent({ timeoutMs: longMs });
  assert.equal(api.projection.health().behind, 0);
  running.pop();
  api = await api.reopen();
  running.push(api);
  assert.equal(api.projection.seq, seq, 'it serves before the log has been reached');
  await api.projection.whenCurrent({ timeoutMs: longMs });
  assert.equal(dbFiles(api).length, 1);
});

test('whoever waits for a container is woken by its messages, also by its end', async () => {
  const api = await started();
  const log = new LogOfEntries();
  log.create(1);
  const created = api.projection.waitForContainer(idOf(1), (container) => (container?.status === 'created' ? container.name : undefined), { timeoutMs: longMs });
  const removed = api.projection.waitForContainer(idOf(1), (container) => (container?.status === 'removed' ? container.reason.kind : undefined), { timeoutMs: longMs });
  const refused = api.projection.waitForContainer(idOf(2), (_container, placement) => (placement?.status === 'refused' ? placement.message : undefined), { timeoutMs: longMs });
  await api.append(log.entries);
  assert.equal(await created, 'c1');
  log.remove(1);
  log.append('placement', `evt.placement.${idOf(2)}`, [
    { type: 'PlacementRequested', id: idOf(2), name: 'x', spec: log.stateOf(1)!.spec, atMs: 1 },
    { type: 'PlacementRefused', code: 'no-hosts', message: 'no host', verdicts: [], atMs: 2 },
  ]);
  await api.append(log.entries);
  assert.equal(await removed, 'removed');
  assert.equal(await refused, 'no host');
  const gone = new AbortController();
  const waiting = api.projection.waitForContainer(idOf(9), () => undefined, { timeoutMs: null, signal: gone.signal });
  gone.abort(new Error('client gone'));
  await assert.rejects(waiting, /client gone/);
  await assert.rejects(api.projection.waitForSeq(1e9, { timeoutMs: 10 }), { code: 'projection-behind' });
  assert.equal(api.projection.waiting, 0);
});

test('whoever heeds only some states is asked at none but those, and at nothing before the sequence that it waits for', async () => {
  const api = await started();
  const log = new LogOfEntries();
  log.create(1);
  const statuses: (string | undefined)[] = [];
  const seen = (container: Container | null): true | undefined => {
    statuses.push(container?.status);
    return container?.status === 'exited' ? true : undefined;
  };
  const seq = await api.show(log.entries);
  const ended = api.projection.waitForContainer(idOf(1), seen, { timeoutMs: longMs, afterSeq: seq + 1, onStatus: (status) => (status === 'exited' ? 'look' : 'sleep') });
  log.exit(1, log.start(1));
  await api.show(log.entries);
  assert.equal(await ended, true);
  assert.deepEqual(statuses, ['exited']);
});

test('a rebuild serves the old until the new has come as far, and leaves one file', async () => {
  const api = await started();
  const log = new LogOfEntries();
  for (let n = 0; n < 50; n++) log.create(n);
  log.remove(3);
  await api.show(log.entries);
  const names = () => api.projection.present.containerItems().map(({ name }) => name);
  const before = names();
  const progress: string[] = [];
  for await (const { state, seq, targetSeq } of api.projection.rebuild()) {
    progress.push(state);
    assert.deepEqual(names(), before);
    assert.ok(seq <= targetSeq || state === 'done');
  }
  assert.equal(progress.at(-1), 'done');
  assert.deepEqual(names(), before);
  log.create(99);
  await api.show(log.entries);
  assert.equal(names().length, before.length + 1, 'it goes on with what comes');
  await eventually('the old file is removed', () => dbFiles(api).length === 1);
});

test('a second rebuild at once is refused, and one that nobody waits for is given up', async () => {
  const api = await started();
  const log = new LogOfEntries();
  log.create(1);
  await api.show(log.entries);
  const first = api.projection.rebuild();
  const step = first.next();
  await assert.rejects(api.projection.rebuild().next(), { code: 'conflict' });
  await step;
  await first.return(undefined);
  assert.equal(api.projection.health().rebuild, null);
  await eventually('its file is removed', () => dbFiles(api).length === 1);
  assert.equal(api.projection.present.container(idOf(1))?.state.status, 'created');
});

test('a log that was made anew is noticed while running, and everything is read again', async () => {
  const api = await started();
  const log = new LogOfEntries({ tag: 'old' });
  log.create(1, { name: 'old' });
  await api.show(log.entries);
  // What is not there yet while the new log is read is not gone.
  const gone = api.projection.waitForContainer(idOf(1), (container) => (container === null ? api.projection.health().state : undefined), { timeoutMs: longMs });
  await api.nats.kill9();
  const { rm } = await import('node:fs/promises');
  await rm(api.nats.storeDir, { recursive: true, force: true });
  await api.nats.restart();
  await api.log.ready(longMs);
  const anew = new LogOfEntries({ tag: 'new' });
  anew.create(2, { name: 'new' });
  const other = await api.log.identity();
  assert.equal(other.lastSeq, 0);
  for (const { subject, payload } of anew.entries) {
    const { seq } = await api.log.last(subject).then((last) => ({ seq: last?.seq ?? 0 }));
    await api.log.append({ subject, message: JSON.parse(Buffer.from(payload).toString()) as never, expectedSeq: seq });
  }
  await eventually('the new log is shown and nothing else', () => api.projection.present.containerItems().map(({ name }) => name).join() === 'new');
  assert.equal(api.projection.seq, anew.seq);
  assert.equal(await gone, 'following');
});

test('with the log away it serves what it has and says so, and goes on when it is back', async () => {
  const api = await started();
  const log = new LogOfEntries();
  log.create(1);
  await api.show(log.entries);
  await api.nats.kill9();
  await eventually('it says that the log is away', () => api.projection.health().state === 'log-unavailable');
  assert.equal(api.projection.present.container(idOf(1))?.state.status, 'created');
  await api.nats.restart();
  await api.log.ready(longMs);
  log.start(1);
  await api.show(log.entries);
  await api.projection.whenCurrent({ timeoutMs: longMs });
  assert.equal(api.projection.present.container(idOf(1))?.state.status, 'running');
});

test('a damaged file is built again', async () => {
  let api = await started();
  const log = new LogOfEntries();
  log.create(1);
  const seq = await api.show(log.entries);
  const [name = ''] = dbFiles(api);
  running.pop();
  // Closed first, so that the damage is not overwritten.
  await api.projection.stop();
  writeFileSync(join(api.directory, name), 'no database at all');
  api = await api.reopen();
  running.push(api);
  await api.projection.waitForSeq(seq, { timeoutMs: longMs });
  assert.equal(api.projection.present.container(idOf(1))?.state.status, 'created');
});

test('what cannot be read is passed over, counted and kept', async () => {
  const api = await started();
  const { connect } = await import('nats');
  const nc = await connect({ servers: api.nats.url });
  const log = new LogOfEntries();
  log.create(1);
  await api.show(log.entries);
  await nc.jetstream().publish(`evt.container.host-1.${idOf(1)}`, Buffer.from([0xff, 0x00, 0x7b]));
  const { seq } = await nc.jetstream().publish('evt.planet.earth', JSON.stringify({ v: 1, id: 'p', kind: 'planet', events: [{ type: 'PlanetSeen' }], snapshot: {}, meta: { atMs: 1, service: 'api', actor: 'x', cause: null } }));
  await nc.close();
  await api.projection.waitForSeq(seq, { timeoutMs: longMs });
  await eventually('it is counted', () => api.projection.health().malformed === 1);
  assert.equal(api.projection.present.container(idOf(1))?.state.status, 'created');
  assert.equal(api.projection.history.scan({ afterSeq: seq - 1, untilSeq: seq }).rows[0]?.kind, 'planet');
});
