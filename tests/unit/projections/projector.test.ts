// The projector: any way of cutting the log into batches, with kills and replays in between, leaves what one clean replay leaves.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { distill, Projector, ProjectionFileError, ProjectionReader, readMigrations, tables, type LogEntry } from '@pouch/projections';
import { getTableConfig } from 'drizzle-orm/sqlite-core';
import { idOf, LogOfEntries } from '../../fixtures/log-entries.ts';

const directory = mkdtempSync(join(tmpdir(), 'pouch-test-projector-'));
after(() => rmSync(directory, { recursive: true, force: true }));
let files = 0;
const freshFile = () => join(directory, `p${files++}.db`);

/** Everything that the file holds but for keys, which only name rows. */
function contents(projector: Projector): unknown {
  const all = (sql: string) => projector.orm.$client.prepare(sql).all();
  return {
    checkpoint: all('SELECT * FROM checkpoint'),
    subjects: all('SELECT subject, kind, host_id, aggregate_id, parent_id, first_seq, last_seq, gone_seq FROM subjects ORDER BY subject'),
    history: all('SELECT h.seq, subject, stored_at_ms, at_ms, message_id, actor, types, message FROM history h JOIN subjects s ON s.key = h.subject_key ORDER BY seq'),
    containers: all('SELECT * FROM containers ORDER BY id'),
    placements: all('SELECT * FROM placements ORDER BY id'),
    hosts: all('SELECT * FROM hosts ORDER BY id'),
    images: all('SELECT * FROM images ORDER BY host_id, key'),
    execs: all('SELECT * FROM execs ORDER BY id'),
  };
}

function replayed(entries: readonly LogEntry[], batch = 10_000): Projector {
  const projector = Projector.open(freshFile());
  projector.begin('stream');
  for (let i = 0; i < entries.length; i += batch) projector.apply(entries.slice(i, i + batch).map(distill));
  return projector;
}

type Step = { readonly what: number; readonly n: number; readonly host: number; readonly name: number };
const steps: fc.Arbitrary<readonly Step[]> = fc.array(fc.record({ what: fc.nat(13), n: fc.nat(4), host: fc.nat(1), name: fc.nat(2) }), { minLength: 1, maxLength: 60 });

/** A log of lives of a few containers on two hosts, with renames, rejections, execs, images, and things that nobody can read. */
function logOf(taken: readonly Step[]): LogEntry[] {
  const log = new LogOfEntries();
  for (const { what, n, host: hostN, name } of taken) {
    const host = `host-${hostN}`;
    const on = (command: Parameters<LogOfEntries['container']>[2]) => log.container(host as never, idOf(n), command);
    const actions = [
      () => log.create(n, { host, name: `name-${name}` }),
      () => log.start(n, undefined, host),
      () => log.exit(n, `start-${n}-${log.seq}`, 1, host),
      () => log.remove(n, host),
      () => on({ type: 'RenameContainer', name: `name-${name}` }),
      () => on({ type: 'ReportRejected', code: 'does-not-fit', message: 'no' }),
      () => on({ type: 'ReportPaused', commandId: null }),
      () => log.join(host),
      () => log.pull(n, `docker.io/library/i${name}:latest`, host),
      () => log.untag(n, name === 0, host),
      () => log.exec(n, name, 1 + (n % 3), host),
      () => log.raw(`evt.container.${host}.${idOf(n)}`, ['{"v":1', '{"v":9,"id":"x"}', Buffer.from([0xff, 0xfe]).toString('latin1')][name] ?? ''),
      () => log.raw(`evt.network.n${n}`, JSON.stringify({ v: 1, id: `n-${log.seq}`, kind: 'network', events: [{ type: 'NetworkMade' }], snapshot: {}, meta: { atMs: 1, service: 'api', actor: 'x', cause: null } })),
      () => log.raw(`evt.container.${host}.${idOf(n)}`, JSON.stringify({ v: 1, id: `b-${log.seq}`, kind: 'container', events: [], snapshot: { id: idOf(n), hostId: host, name: 'x', status: 'running' }, meta: { atMs: 1, actor: 'x' } })),
    ];
    actions[what]?.();
  }
  return log.entries;
}

test('any batching, with a kill and a replay at any point, equals a clean replay', () => {
  fc.assert(
    fc.property(steps, fc.array(fc.record({ size: fc.integer({ min: 1, max: 12 }), back: fc.nat(6), reopen: fc.boolean() }), { minLength: 1, maxLength: 40 }), (taken, cuts) => {
      const entries = logOf(taken);
      const clean = replayed(entries);
      const file = freshFile();
      let projector = Projector.open(file);
      projector.begin('stream');
      let at = 0;
      for (let i = 0; at < entries.length; i++) {
        const { size, back, reopen } = cuts[i % cuts.length] ?? { size: 1, back: 0, reopen: false };
        const from = Math.max(0, at - back);
        projector.apply(entries.slice(from, at + size).map(distill));
        at += size;
        if (reopen) {
          projector.close();
          projector = Projector.open(file);
        }
      }
      assert.deepEqual(contents(projector), contents(clean));
      projector.close();
      clean.close();
    }),
    { numRuns: 40 },
  );
});

test('in a hurry it leaves the same rows, and after it the same file; a batch that fails meanwhile leaves nothing', () => {
  const log = new LogOfEntries();
  for (let n = 0; n < 20; n++) {
    log.create(n);
    log.exit(n, log.start(n));
    if (n % 3 === 0) log.remove(n);
  }
  const [first] = log.entries;
  assert.ok(first !== undefined);
  const form = (projector: Projector) => ({
    indexes: projector.orm.$client.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'index' ORDER BY name").all(),
    pragmas: ['journal_mode', 'synchronous', 'cache_size'].map((name) => projector.orm.$client.pragma(name, { simple: true })),
  });
  const clean = replayed(log.entries);
  const hurried = Projector.open(freshFile());
  hurried.hurry();
  hurried.begin('stream');
  hurried.apply(log.entries.slice(0, 30).map(distill));
  assert.notDeepEqual(form(hurried), form(clean));
  const before = contents(hurried);
  assert.throws(() => hurried.apply([...log.entries.slice(30).map(distill), { ...distill(first), seq: 999, subject: Symbol('no') as unknown as string }]));
  assert.deepEqual(contents(hurried), before);
  hurried.apply(log.entries.slice(30).map(distill));
  hurried.settle();
  assert.deepEqual(contents(hurried), contents(clean));
  assert.deepEqual(form(hurried), form(clean));
  hurried.close();
  clean.close();
});

test('a batch that fails in the middle leaves nothing of itself, and can be applied again', () => {
  const log = new LogOfEntries();
  log.join();
  log.create(1);
  const [first, ...rest] = log.entries;
  assert.ok(first !== undefined);
  const projector = replayed([first]);
  const before = contents(projector);
  // A subject of no text cannot be stored: the transaction fails at its last entry.
  assert.throws(() => projector.apply([...rest.map(distill), { ...distill(first), seq: 999, subject: Symbol('no') as unknown as string }]));
  assert.deepEqual(contents(projector), before);
  projector.apply(rest.map(distill));
  const clean = replayed(log.entries);
  assert.deepEqual(contents(projector), contents(clean));
  projector.close();
  clean.close();
});

test('malformed and unknown messages are counted, kept in the history, and change nothing of the present', () => {
  const log = new LogOfEntries();
  log.create(1);
  const subject = `evt.container.host-1.${idOf(1)}`;
  log.raw(subject, 'not json');
  log.raw(subject, JSON.stringify({ v: 2, id: 'x', kind: 'container', events: [], snapshot: {}, meta: {} }));
  log.raw('evt.network.mine', JSON.stringify({ v: 1, id: 'v1', kind: 'network', events: [{ type: 'NetworkMade' }], snapshot: {}, meta: { atMs: 5, service: 'agent', actor: 'a', cause: null } }));
  log.raw('other.subject', '{}');
  const file = freshFile();
  const projector = Projector.open(file);
  projector.begin('s');
  const applied = projector.apply(log.entries.map(distill));
  assert.deepEqual(applied.malformed.map(({ seq }) => seq), [5, 6, 8]);
  assert.equal(projector.checkpoint?.malformed, 3);
  assert.equal(projector.checkpoint?.unknown, 1);
  const reader = ProjectionReader.open(file);
  assert.equal(reader.present.container(idOf(1))?.seq, 4);
  const rows = reader.history.scan({ afterSeq: 0, untilSeq: 100 }).rows;
  assert.equal(rows.length, 8);
  assert.equal(rows[4]?.message.toString(), 'not json');
  assert.equal(rows[6]?.types, ',NetworkMade,');
  assert.equal(reader.history.containerAt(idOf(1), 100)?.state.status, 'created');
  reader.close();
  projector.close();
});

test('of two holders of a name the one that took it last is found by it', () => {
  const log = new LogOfEntries();
  log.create(1, { name: 'web' });
  log.create(2, { name: 'other' });
  log.container('host-1' as never, idOf(2), { type: 'RenameContainer', name: 'web' });
  log.start(1); // a later message of the earlier holder is no claim
  for (const batch of [1, 100]) {
    const projector = replayed(log.entries, batch);
    const reader = ProjectionReader.open(projector.orm.$client.name);
    const found = reader.present.resolveContainer('/web');
    assert.equal(found.ok && found.container.state.id, idOf(2));
    reader.close();
    projector.close();
  }
});

test('a rejected container leaves its placement; a removed one takes it and its execs along', () => {
  const log = new LogOfEntries();
  log.create(1);
  log.exec(1, 1, 2);
  log.remove(1);
  log.create(2, { host: 'host-2' });
  log.container('host-3' as never, idOf(3), { type: 'AssignContainer', id: idOf(3), hostId: 'host-3' as never, name: 'x', spec: log.stateOf(2, 'host-2')!.spec });
  log.container('host-3' as never, idOf(3), { type: 'ReportRejected', code: 'full', message: 'full' });
  const projector = replayed(log.entries);
  const reader = ProjectionReader.open(projector.orm.$client.name);
  assert.equal(reader.present.container(idOf(1)), null);
  assert.equal(reader.present.placement(idOf(1)), null);
  assert.deepEqual(reader.present.execsOf(idOf(1)), []);
  assert.equal(reader.history.lastContainer(idOf(1))?.state.status, 'removed');
  assert.equal(reader.present.placement(idOf(2))?.state.status, 'placed');
  assert.equal(reader.present.container(idOf(3)), null);
  reader.close();
  projector.close();
});

test('a file of other statements is refused, and so is one that is no database', () => {
  const file = freshFile();
  const migrations = readMigrations();
  Projector.open(file, { ...migrations, digest: 'earlier' }).close();
  assert.throws(() => Projector.open(file), ProjectionFileError);
  assert.throws(() => ProjectionReader.open(file), ProjectionFileError);
  assert.throws(() => ProjectionReader.open(join(directory, 'absent.db')), ProjectionFileError);
});

test('drizzle and the SQL speak of the same columns', () => {
  const projector = Projector.open(freshFile());
  for (const table of Object.values(tables)) {
    const { name, columns } = getTableConfig(table);
    const there = projector.orm.$client.pragma(`table_info(${name})`) as { name: string; type: string; notnull: number; pk: number }[];
    assert.deepEqual(
      columns.map((column) => [column.name, column.getSQLType().toUpperCase(), column.notNull]).sort(),
      there.map((column) => [column.name, column.type, column.notnull === 1 || column.pk > 0]).sort(),
      name,
    );
  }
  projector.close();
});
