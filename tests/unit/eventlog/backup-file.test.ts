// A backup's file: what is whole is read as it was written, and whatever is not is told by its reason. Any byte that changes is found.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { backupSections, checkBackup, type Manifest } from '@pouch/eventlog/backup';
import { newManifest, sha256 } from '../../../packages/eventlog/src/backup/format.ts';

const snapshots: Readonly<Record<string, Buffer>> = { EVT: Buffer.alloc(1_500, 1), KV_names: Buffer.alloc(512, 2), OBJ_secrets: Buffer.alloc(0) };
const manifest = newManifest({
  madeAtMs: 1_700_000_000_123, natsVersion: '2.10.27',
  streams: Object.entries(snapshots).map(([name, bytes]) => ({ name, config: { name } as never, messages: 3, firstSeq: 1, lastSeq: 3, bytes: bytes.length, sha256: sha256(bytes) })),
});
const written = (of: Manifest): Buffer => Buffer.concat(backupSections(of).map((section) => ('text' in section ? section.text : snapshots[section.snapshotOf.name] as Buffer)));
const whole = written(manifest);
let directory: string;
let file: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pouch-test-backup-file-'));
  file = join(directory, 'a.backup');
});
after(async () => { await rm(directory, { recursive: true, force: true }); });

async function refused(bytes: Buffer, message: RegExp): Promise<void> {
  await writeFile(file, bytes);
  await assert.rejects(checkBackup(file), { code: 'bad-backup', message });
}

test('what is whole is read as it was written', async () => {
  await writeFile(file, whole);
  const backup = await checkBackup(file);
  assert.deepEqual(backup.manifest, manifest);
  assert.equal(backup.bytes, whole.length);
  for (const stream of manifest.streams) {
    const pieces: Buffer[] = [];
    for await (const piece of backup.snapshot(stream)) pieces.push(piece);
    assert.deepEqual(Buffer.concat(pieces), snapshots[stream.name]);
  }
});

test('a file that ends anywhere is cut off, and one that goes on has too much', async () => {
  await refused(Buffer.alloc(0), /it is empty/);
  await refused(whole.subarray(0, 100), /cut off within its first header/);
  await refused(whole.subarray(0, 700), /cut off within its manifest/);
  for (let length = 2_600; length < whole.length; length += 509) await refused(whole.subarray(0, length), /it is cut off/);
  await refused(Buffer.concat([whole, Buffer.alloc(1)]), /has 1 bytes behind its end/);
});

test('any byte that changes is found', async () => {
  for (let at = 0; at < whole.length; at += 37) {
    const changed = Buffer.from(whole);
    changed[at] = (changed[at] ?? 0) ^ 1;
    await refused(changed, /damaged|cut off|behind its end|no backup|version/);
  }
});

test('something else, and another version, are told as that', async () => {
  await refused(Buffer.from('hello'), /no backup of Pouch/);
  await refused(Buffer.alloc(4_096), /no backup of Pouch/);
  await refused(written({ ...manifest, v: 9 }), /backup of version 9, and this Pouch reads version 1: restore it with the Pouch that made it/);
  await refused(written({ ...manifest, streams: manifest.streams.slice(1) }), /lacks what every backup has/);
});
