// Backups over real NATS servers: what one server saved goes into one, what three saved into three and into one, with every sequence, id and time as it was.
import assert from 'node:assert/strict';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { after, before, test } from 'node:test';
import { connectNats, NatsEventLog, NatsObjectStore, openClaims, type NatsLink } from '@pouch/eventlog';
import { checkBackup, restoreBackup, takeBackup } from '@pouch/eventlog/backup';
import { createLogger } from '@pouch/process';
import { freePort, startNats, type NatsFixture } from '../../fixtures/nats.ts';

const logger = createLogger({ service: 'test', level: 'silent' });
const options = { timeout: 240_000 };
const readyMs = 60_000;
const gatherMs = 30_000;
type Note = { readonly id: string; readonly text: string };
interface Opened { readonly link: NatsLink; readonly log: NatsEventLog<Note>; readonly servers: string }
let directory: string;
const cleanups: (() => Promise<unknown>)[] = [];

before(async () => { directory = await mkdtemp(join(tmpdir(), 'pouch-test-backup-')); });
after(async () => {
  for (const cleanup of cleanups.toReversed()) await cleanup();
  await rm(directory, { recursive: true, force: true });
});

/** Three servers on a busy machine do not always come together at once: then others are started. */
async function start(count: 1 | 3): Promise<NatsFixture[]> {
  for (let tried = 1; ; tried++) {
    const servers = await launch(count);
    const link = connectNats({ servers: servers.map(({ url }) => url).join(','), name: 'probe', logger, replicas: count });
    try {
      const probe = new NatsEventLog<Note>({ link, logger, streamName: 'PROBE', subjects: ['probe.>'] });
      await probe.ready(gatherMs);
      return servers;
    } catch (error) {
      if (tried === 3) throw error;
      await Promise.all(servers.map((server) => server.stop()));
    } finally {
      await link.close();
    }
  }
}

async function launch(count: 1 | 3): Promise<NatsFixture[]> {
  const ports = count === 1 ? [] : await Promise.all([freePort(), freePort(), freePort()]);
  const routes = (own: number): string => ports.filter((port) => port !== own).map((port) => `"nats://127.0.0.1:${port}"`).join(', ');
  const servers = await Promise.all(count === 1 ? [startNats()] : ports.map((port, at) => startNats({ config: `server_name: s${at}\ncluster { name: c, listen: "127.0.0.1:${port}", routes: [${routes(port)}] }` })));
  cleanups.push(() => Promise.all(servers.map((server) => server.stop())));
  return servers;
}

function open(servers: readonly NatsFixture[]): Opened {
  const urls = servers.map(({ url }) => url).join(',');
  const link = connectNats({ servers: urls, name: 'test', logger, replicas: servers.length });
  const log = new NatsEventLog<Note>({ link, logger });
  cleanups.push(async () => {
    await log.close();
    await link.close();
  });
  return { link, log, servers: urls };
}

async function entriesOf(log: NatsEventLog<Note>): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const batch of log.read()) for (const { seq, subject, storedAtMs, payload } of batch) all.push([seq, subject, storedAtMs, Buffer.from(payload).toString()]);
  return all;
}

/** A log with gaps, a claim and an object, saved to a file. */
async function saved(count: 1 | 3): Promise<{ readonly file: string; readonly from: Opened; readonly digest: string }> {
  const from = open(await start(count));
  await from.log.ready(readyMs);
  for (let at = 0; at < 40; at++) await from.log.append({ subject: `evt.host.h${at % 2}`, message: { id: `m${at}`, text: 'x'.repeat(20_000) }, expectedSeq: at < 2 ? 0 : at - 1 });
  await from.log.append({ subject: 'evt.host.gone', message: { id: 'gone', text: '' }, expectedSeq: 0 });
  await from.log.purge('evt.host.gone');
  await openClaims({ link: from.link, logger }).claim('web', { containerId: 'c' });
  const { digest } = await new NatsObjectStore({ link: from.link, logger, bucket: 'secrets' }).put(Readable.from([Buffer.alloc(700_000, 7)]), { maxBytes: 1e6 });
  const backup = await takeBackup(from.link, directory, Date.now());
  const file = join(directory, `${count}.backup`);
  await pipeline(Readable.from(backup.contents()), createWriteStream(file));
  await backup.close();
  assert.deepEqual((await readdir(directory)).filter((name) => name.startsWith('backup-')), [], 'nothing of the spool is left');
  return { file, from, digest };
}

for (const [count, targets] of [[1, [1]], [3, [3, 1]]] as const) {
  test(`what ${count} server(s) saved is put back whole into ${targets.join(' and into ')}`, options, async () => {
    const { file, from, digest } = await saved(count);
    const there = await entriesOf(from.log);
    const before = await from.log.identity();
    const backup = await checkBackup(file);
    for (const target of targets) {
      const servers = await start(target);
      const address = { servers: servers.map(({ url }) => url) };
      await restoreBackup({ backup, address, logger, nowMs: 123_456 });
      await assert.rejects(restoreBackup({ backup, address, logger, nowMs: 1 }), { code: 'log-is-there' });
      const to = open(servers);
      const identity = await to.log.ready(readyMs);
      assert.deepEqual([identity.lastSeq, identity.messages, identity.restoredAtMs], [41, 40, 123_456]);
      assert.notEqual(identity.streamId, before.streamId);
      assert.deepEqual(await entriesOf(to.log), there);
      assert.equal((await to.log.append({ subject: 'evt.host.h1', message: { id: 'next', text: '' }, expectedSeq: 40 })).seq, 42);
      assert.deepEqual((await openClaims({ link: to.link, logger }).get('web'))?.value, { containerId: 'c' });
      const pieces: Buffer[] = [];
      for await (const piece of new NatsObjectStore({ link: to.link, logger, bucket: 'secrets' }).get(digest)) pieces.push(piece);
      assert.equal(Buffer.concat(pieces).length, 700_000);
    }
  });
}
