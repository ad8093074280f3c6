// Takes a backup of a running cluster. Snapshots are spooled to unnamed files first: so digests and sizes are known before the first byte goes out, and a slow
// reader holds up no NATS server.
import { createHash, randomUUID } from 'node:crypto';
import { open, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { NatsLink } from '../connection.ts';
import { LogUnavailable } from '../errors.ts';
import { streamName } from '@pouch/contracts';
import { backupBytes, backupSections, newManifest, stateStreams, type Manifest, type SavedStream } from './format.ts';
import { takeSnapshot } from './snapshot.ts';

export interface Backup {
  readonly manifest: Manifest;
  readonly bytes: number;
  /** The file, piece by piece; once. */
  contents(): AsyncGenerator<Buffer>;
  /** Gives the spool back. Safe to call twice. */
  close(): Promise<void>;
}

const requestMs = 10_000;
const pieceBytes = 128 * 1024;

/** `directory`: where snapshots are spooled; as much room as the log takes. Rejects with LogUnavailable, JetStreamError. */
export async function takeBackup(link: NatsLink, directory: string, nowMs: number): Promise<Backup> {
  const spools = new Map<string, FileHandle>();
  const close = async (): Promise<void> => {
    await Promise.all([...spools.values()].map((file) => file.close()));
    spools.clear();
  };
  try {
    const streams: SavedStream[] = [];
    for (const name of stateStreams) {
      const spool = await unnamed(directory);
      spools.set(name, spool);
      const hash = createHash('sha256');
      let bytes = 0;
      const info = await takeSnapshot(link, name, async (piece) => {
        hash.update(piece);
        await spool.appendFile(piece);
        bytes += piece.length;
      }, requestMs);
      if (info === null) {
        if (name === streamName) throw new LogUnavailable('there is no log to be saved');
        continue; // not made yet: nobody has used it
      }
      const { config, state } = info;
      streams.push({ name, config, messages: state.messages, firstSeq: state.first_seq, lastSeq: state.last_seq, bytes, sha256: hash.digest('hex') });
    }
    const manifest = newManifest({ madeAtMs: nowMs, natsVersion: (await link.connection()).info?.version ?? 'unknown', streams });
    return { manifest, bytes: backupBytes(manifest), close, contents: () => contents(manifest, spools) };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A file without a name: whatever ends this process, nothing of it stays. */
async function unnamed(directory: string): Promise<FileHandle> {
  const path = join(directory, `backup-${randomUUID()}`);
  const file = await open(path, 'wx+', 0o600);
  await unlink(path);
  return file;
}

async function* contents(manifest: Manifest, spools: ReadonlyMap<string, FileHandle>): AsyncGenerator<Buffer> {
  for (const section of backupSections(manifest)) {
    if ('text' in section) {
      yield section.text;
      continue;
    }
    const { name, bytes } = section.snapshotOf;
    for (let at = 0; at < bytes;) {
      const wanted = Math.min(pieceBytes, bytes - at);
      const { bytesRead, buffer } = await (spools.get(name) as FileHandle).read(Buffer.allocUnsafe(wanted), 0, wanted, at);
      if (bytesRead === 0) throw new Error(`the spooled snapshot of ${name} ends early`);
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }
}
