// Reads a backup from end to end and says what is wrong with it, if anything is. Changes nothing.
import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import { BackupError, backupBytes, backupSections, header, manifestName, maxManifestBytes, parseManifest, type Manifest, type SavedStream } from './format.ts';

export interface CheckedBackup {
  readonly manifest: Manifest;
  readonly bytes: number;
  /** Bytes of a stream's snapshot, piece by piece. */
  snapshot(stream: SavedStream): AsyncGenerator<Buffer>;
}

const pieceBytes = 128 * 1024;

/** Rejects with BackupError, and with the system's error where the file cannot be read. `onProgress`: bytes read so far, of all. */
export async function checkBackup(path: string, onProgress: (done: number, total: number) => void = () => undefined): Promise<CheckedBackup> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const manifest = await readManifest(file, size);
    const total = backupBytes(manifest);
    if (size !== total) throw new BackupError(size < total ? `it is cut off: it has ${size} of ${total} bytes` : `it has ${size - total} bytes behind its end`);
    const offsets = new Map<string, number>();
    let at = 0;
    for (const section of backupSections(manifest)) {
      if ('text' in section) {
        if (!(await readExactly(file, at, section.text.length)).equals(section.text)) throw new BackupError(`it is damaged: bytes ${at} to ${at + section.text.length} are not what the manifest says`);
        at += section.text.length;
        continue;
      }
      const { name, bytes, sha256 } = section.snapshotOf;
      offsets.set(name, at);
      const hash = createHash('sha256');
      for await (const piece of pieces(file, at, bytes)) {
        hash.update(piece);
        at += piece.length;
        onProgress(at, total);
      }
      if (hash.digest('hex') !== sha256) throw new BackupError(`it is damaged: the snapshot of ${name} does not have the digest that the manifest says`);
    }
    return {
      manifest, bytes: size,
      async *snapshot(stream) {
        const again = await open(path, 'r');
        try {
          yield* pieces(again, offsets.get(stream.name) ?? 0, stream.bytes);
        } finally {
          await again.close();
        }
      },
    };
  } finally {
    await file.close();
  }
}

async function readManifest(file: FileHandle, size: number): Promise<Manifest> {
  if (size === 0) throw new BackupError('it is empty');
  const head = await readExactly(file, 0, Math.min(size, 512));
  if (!head.subarray(0, manifestName.length + 1).equals(Buffer.from(`${manifestName}\0`))) throw new BackupError('it is no backup of Pouch: it does not begin with a manifest');
  if (head.length < 512) throw new BackupError('it is cut off within its first header');
  const [bytes, madeAtSeconds] = [Number.parseInt(head.toString('latin1', 124, 135), 8), Number.parseInt(head.toString('latin1', 136, 147), 8)];
  if (!(bytes > 0 && bytes <= maxManifestBytes) || !(madeAtSeconds >= 0) || !header(manifestName, bytes, madeAtSeconds * 1_000).equals(head)) throw new BackupError('it is damaged: its first header is not what Pouch writes');
  if (size < 512 + bytes) throw new BackupError('it is cut off within its manifest');
  return parseManifest((await readExactly(file, 512, bytes)).toString('utf8'));
}

async function readExactly(file: FileHandle, at: number, bytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const piece of pieces(file, at, bytes)) parts.push(piece);
  return Buffer.concat(parts);
}

async function* pieces(file: FileHandle, from: number, bytes: number): AsyncGenerator<Buffer> {
  for (let done = 0; done < bytes;) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(Math.min(pieceBytes, bytes - done)), 0, Math.min(pieceBytes, bytes - done), from + done);
    if (bytesRead === 0) throw new BackupError('it became shorter while it was read');
    done += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
