// Questions to a projection: finding containers, lists, what was the case in the past, and what pruning leaves of that.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { checkAgainstLog, distill, finishDockerItem, messageOf, ProjectionReader, Projector, prune, type LogEntry, type Retention } from '@pouch/projections';
import { idOf, LogOfEntries } from '../../fixtures/log-entries.ts';
import { aSpec } from '../../fixtures/domain.ts';

const directory = mkdtempSync(join(tmpdir(), 'pouch-test-reader-'));
after(() => rmSync(directory, { recursive: true, force: true }));
let files = 0;

function projectionOf(entries: readonly LogEntry[]): { projector: Projector; reader: ProjectionReader; close: () => void } {
  const file = join(directory, `r${files++}.db`);
  const projector = Projector.open(file);
  projector.begin('stream');
  projector.apply(entries.map(distill));
  const reader = ProjectionReader.open(file);
  return { projector, reader, close: () => { reader.close(); projector.close(); } };
}

function namesAt(reader: ProjectionReader, seq: number, limit?: number): string[] {
  const names: string[] = [];
  for (let key: number | null = 0; key !== null; ) {
    const page = reader.history.containersAt(seq, key, limit);
    names.push(...page.containers.map(({ state }) => `${state.name} ${state.status}`));
    key = page.nextKey;
  }
  return names.sort();
}

const always: Retention = { maxAgeMs: null, maxMessages: 0, endedMs: 1e15 };

test('a container is found by id, name, slashed name and a prefix that fits one only', () => {
  const log = new LogOfEntries();
  log.create(0x1a, { name: 'web' });
  log.create(0x1b, { name: 'db' });
  const { reader, close } = projectionOf(log.entries);
  const found = (reference: string) => {
    const resolved = reader.present.resolveContainer(reference);
    return resolved.ok ? resolved.container.state.name : resolved.code;
  };
  assert.equal(found(idOf(0x1a)), 'web');
  assert.equal(found('db'), 'db');
  assert.equal(found('/db'), 'db');
  assert.equal(found('0000001a'), 'web');
  assert.equal(found('0000001'), 'ambiguous');
  assert.equal(found('ffff'), 'not-found');
  assert.equal(found(''), 'not-found');
  assert.equal(found("'; DROP TABLE containers"), 'not-found');
  assert.equal(found('a'.repeat(10_000)), 'not-found');
  close();
});

test('a list is newest first, narrows by status and host, and its items are Docker JSON', () => {
  const log = new LogOfEntries();
  log.create(1, { name: 'old' });
  log.create(2, { name: 'new', host: 'host-2', spec: { labels: { a: 'b' }, cmd: ['sleep', '1'] } });
  log.start(1);
  const { reader, close } = projectionOf(log.entries);
  const items = reader.present.containerItems();
  assert.deepEqual(items.map(({ name }) => name), ['new', 'old']);
  const item = JSON.parse(finishDockerItem(items[0]?.item ?? '', 'Created', { SizeRw: 5 })) as Record<string, unknown>;
  assert.deepEqual({ Names: item['Names'], State: item['State'], Status: item['Status'], Labels: item['Labels'], Command: item['Command'], SizeRw: item['SizeRw'] },
    { Names: ['/new'], State: 'created', Status: 'Created', Labels: { a: 'b' }, Command: 'sleep 1', SizeRw: 5 });
  assert.deepEqual(reader.present.containerItems({ statuses: ['running'] }).map(({ name }) => name), ['old']);
  assert.deepEqual(reader.present.containerItems({ hostId: 'host-2' }).map(({ name }) => name), ['new']);
  assert.deepEqual(reader.present.containers({ hostId: 'host-1' }).map(({ state }) => state.status), ['running']);
  assert.equal(reader.present.counts().containers.running, 1);
  close();
});

test('images by name, by id and by prefix, on all hosts; removed ones are gone', () => {
  const log = new LogOfEntries();
  log.pull(1, 'docker.io/library/a:1', 'host-1');
  log.pull(1, 'docker.io/library/a:1', 'host-2');
  log.pull(2, 'docker.io/library/b:1');
  log.untag(2, true);
  const { reader, close } = projectionOf(log.entries);
  assert.equal(reader.present.images().length, 2);
  assert.equal(reader.present.imagesByName('docker.io/library/a:1').length, 2);
  assert.equal(reader.present.imagesByName('docker.io/library/b:1').length, 0);
  const id = reader.present.images()[0]?.state.record.id ?? '';
  assert.equal(reader.present.imagesById(id).length, 2);
  assert.equal(reader.present.imagesById(id.slice('sha256:'.length, 20)).length, 2);
  assert.equal(reader.present.counts().images, 1);
  close();
});

test('the newest image is the one that the log told of last', () => {
  const log = new LogOfEntries();
  log.pull(1, 'docker.io/library/a:1', 'host-1');
  log.pull(1, 'docker.io/library/a:1', 'host-2');
  log.pull(2, 'docker.io/library/b:1', 'host-1');
  const { reader: { present }, close } = projectionOf(log.entries);
  assert.equal(present.newestImageByName('docker.io/library/a:1')?.state.hostId, 'host-2');
  assert.equal(present.newestImageByName('docker.io/library/c:1'), null);
  const id = present.imagesByName('docker.io/library/a:1')[0]?.state.record.id ?? '';
  const newest = present.newestImageById(id.slice('sha256:'.length));
  assert.equal(newest !== 'ambiguous' && newest?.state.hostId, 'host-2');
  assert.equal(present.newestImageById('sha256:'), 'ambiguous');
  assert.equal(present.newestImageById('sha256:zz'), null);
  close();
});

test('the past is what the first messages alone would have given, at every sequence', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(3), fc.nat(3)), { minLength: 1, maxLength: 30 }), fc.nat(1_000), (steps, cut) => {
      const log = new LogOfEntries();
      for (const [what, n] of steps) [() => log.create(n), () => log.start(n), () => log.exit(n, `start-${n}`), () => log.remove(n)][what]?.();
      const entries = log.entries;
      if (entries.length === 0) return;
      const seq = 1 + (cut % entries.length);
      const whole = projectionOf(entries);
      const then = projectionOf(entries.slice(0, seq));
      const expected = then.reader.present.containers().map(({ state }) => `${state.name} ${state.status}`).sort();
      assert.deepEqual(namesAt(whole.reader, seq, 2), expected);
      // Pruning up to there takes nothing from it, and nothing from later.
      while (prune(whole.projector, { ...always, maxMessages: entries.length - seq }, 0).more);
      assert.deepEqual(namesAt(whole.reader, seq), expected);
      assert.deepEqual(namesAt(whole.reader, entries.length), whole.reader.present.containers().map(({ state }) => `${state.name} ${state.status}`).sort());
      then.close();
      whole.close();
    }),
    { numRuns: 25 },
  );
});

test('pruning keeps the last message of what lives, in small steps, and says how far the past reaches', () => {
  const log = new LogOfEntries();
  log.create(1);
  for (let n = 100; n < 500; n++) {
    log.create(n);
    log.remove(n);
  }
  log.exec(1, 1, 3);
  const { projector, reader, close } = projectionOf(log.entries);
  const before = reader.history.size();
  let steps = 0;
  while (prune(projector, always, 0).more) steps++;
  assert.ok(steps > 2);
  assert.equal(reader.history.size(), 1, `of ${before} messages the last one of the living container stays`);
  assert.equal(reader.present.container(idOf(1))?.state.status, 'created');
  assert.deepEqual(reader.present.execsOf(idOf(1)), []);
  assert.equal(reader.history.floor().seq, log.seq);
  assert.deepEqual(prune(projector, always, 0), { deleted: 0, more: false });
  projector.apply([{ seq: log.seq + 1, subject: 'evt.host.x', storedAtMs: 1, payload: Buffer.from('?') }].map(distill));
  assert.equal(projector.checkpoint?.seq, log.seq + 1);
  close();
});

test('pruning by age goes by the clock of the log', () => {
  const log = new LogOfEntries({ nowMs: 1_000 });
  log.create(1);
  log.remove(1);
  log.nowMs = 10_000;
  log.create(2);
  const { projector, reader, close } = projectionOf(log.entries);
  while (prune(projector, { maxAgeMs: 3_000, maxMessages: null, endedMs: 1e15 }, 10_500).more);
  assert.deepEqual(reader.history.scan({ afterSeq: 0, untilSeq: 100 }).rows.map(({ storedAtMs }) => storedAtMs >= 10_000), [true, true, true, true]);
  assert.equal(reader.history.lastContainer(idOf(1)), null);
  close();
});

test('a scan goes on where it stopped, whatever the filter, and tells each match once', () => {
  const log = new LogOfEntries();
  log.join();
  for (let n = 1; n < 40; n++) log.create(n, { host: `host-${n % 3}` });
  log.exec(5, 1, 3, 'host-2');
  const { reader, close } = projectionOf(log.entries);
  const all = (filter: Parameters<typeof reader.history.scan>[1], limit: number) => {
    const seqs: number[] = [];
    for (let at = 0, done = false; !done; ) {
      const page = reader.history.scan({ afterSeq: at, untilSeq: log.seq, limit }, filter);
      seqs.push(...page.rows.map(({ seq }) => seq));
      assert.ok(page.done || page.scannedTo > at);
      at = page.scannedTo;
      done = page.done;
    }
    return seqs;
  };
  assert.equal(all({}, 7).length, log.seq);
  assert.deepEqual(all({ kinds: ['host'] }, 7), [1]);
  assert.equal(all({ types: ['ContainerCreated', 'HostJoined'] }, 3).length, 40);
  assert.equal(all({ aggregateIds: [idOf(5)] }, 2).length, 4 + 3, 'an exec counts to its container');
  assert.equal(all({ hostIds: ['host-0'], kinds: ['container'] }, 100).length, 26);
  assert.equal(all({ actors: ['nobody'] }, 100).length, 0);
  const ofFive = reader.history.ofAggregate(idOf(5), { afterSeq: 0, limit: 100 });
  assert.deepEqual(ofFive.map((row) => messageOf(row)?.kind), ['placement', 'placement', 'container', 'container', 'exec', 'exec', 'exec']);
  close();
});

test('a projection is of the log that is there only if identity, end and last messages agree', async () => {
  const log = new LogOfEntries();
  for (let n = 0; n < 30; n++) log.create(n);
  const { projector, close } = projectionOf(log.entries);
  const checkpoint = projector.checkpoint;
  assert.ok(checkpoint !== null);
  const ids = new Map([...projector.recent(1_000)].map(({ seq, messageId }) => [seq, messageId]));
  const check = (facts: Partial<Parameters<typeof checkAgainstLog>[2]>) =>
    checkAgainstLog(checkpoint, projector.recent(64), { identity: 'stream', lastSeq: log.seq, messageIdAt: (seq) => Promise.resolve(ids.get(seq) ?? null), ...facts });
  assert.equal((await check({})).same, true);
  assert.equal((await check({ identity: 'other' })).same, false);
  assert.equal((await check({ lastSeq: log.seq - 1 })).same, false);
  assert.equal((await check({ messageIdAt: () => Promise.resolve('reused') })).same, false);
  assert.equal((await check({ messageIdAt: (seq) => Promise.resolve(seq > log.seq - 10 ? null : (ids.get(seq) ?? null)) })).same, true, 'retention may have taken the last ones');
  assert.equal((await check({ messageIdAt: () => Promise.resolve(null) })).same, false);
  close();
});

test('a projection is recognised although the log has forgotten everything that ended since', async () => {
  const log = new LogOfEntries();
  log.join();
  for (let n = 0; n < 200; n++) {
    log.create(n);
    log.remove(n);
  }
  const { projector, close } = projectionOf(log.entries);
  const checkpoint = projector.checkpoint;
  assert.ok(checkpoint !== null);
  const facts = { identity: 'stream', lastSeq: log.seq, messageIdAt: (seq: number) => Promise.resolve(seq === 1 ? 'm-1' : null) };
  assert.deepEqual(await checkAgainstLog(checkpoint, projector.recent(64), facts), { same: true });
  assert.equal((await checkAgainstLog(checkpoint, projector.recent(64), { ...facts, messageIdAt: (seq) => Promise.resolve(seq === 1 ? 'other' : null) })).same, false);
  close();
});

test('an item tells addresses and ports of what runs', () => {
  const log = new LogOfEntries();
  log.create(1, { spec: aSpec({ network: { mode: 'bridge' }, mounts: [{ type: 'bind', declaredAs: 'binds', source: '/a', target: '/b', readonly: true, propagation: 'rprivate', recursive: true, createSource: true }] }) });
  log.container('host-1' as never, idOf(1), {
    type: 'ReportStarted', byPolicy: false,
    run: { startId: 's', startedAtMs: 5, pid: 9, network: { ipAddress: '172.20.0.2', prefixLength: 16, gateway: '172.20.0.1', macAddress: null, ports: [{ containerPort: 80, protocol: 'tcp', hostIp: '', hostPort: 8080 }] } },
  });
  const { reader, close } = projectionOf(log.entries);
  const item = JSON.parse(finishDockerItem(reader.present.containerItems()[0]?.item ?? '', 'Up')) as { Ports: unknown; NetworkSettings: { Networks: Record<string, { IPAddress: string }> }; Mounts: { Source: string; RW: boolean }[] };
  assert.deepEqual(item.Ports, [{ IP: '0.0.0.0', PrivatePort: 80, PublicPort: 8080, Type: 'tcp' }]);
  assert.equal(item.NetworkSettings.Networks['bridge']?.IPAddress, '172.20.0.2');
  assert.deepEqual(item.Mounts.map(({ Source, RW }) => [Source, RW]), [['/a', false]]);
  close();
});
