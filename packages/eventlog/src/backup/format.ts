// The form of a backup: a plain tar of `manifest.json`, `manifest.sha256`, and a snapshot of each stream as JetStream gives it. Its headers follow from the
// manifest, to the byte, so that nothing in the file can change unseen. Pure.
import { createHash } from 'node:crypto';
import { claimsBucket, kernelsBucket, leasesBucket, secretsBucket, streamName } from '@pouch/contracts';
import { OperatingError } from '@pouch/process';
import type { StreamConfig } from '../jetstream-api.ts';

/** The file is no backup, a damaged one, or one of another version; `message` says which. */
export class BackupError extends OperatingError {
  constructor(message: string, cause?: unknown) {
    super('bad-backup', message, { cause });
  }
}

/** Raised when what an older version of Pouch would read wrongly has changed. */
export const backupVersion = 1;
const format = 'pouch-backup';

/**
 * What a cluster's state is, in the order of saving. The log comes first: what is saved after it is as new or newer, so that whatever it refers to is there unless it was removed
 * meanwhile. The lease is saved for its sequence, which is the leaders' epoch and must go on rising.
 */
export const stateStreams: readonly string[] = [streamName, `KV_${claimsBucket}`, `OBJ_${secretsBucket}`, `OBJ_${kernelsBucket}`, `KV_${leasesBucket}`];

export interface SavedStream {
  readonly name: string;
  readonly config: StreamConfig;
  readonly messages: number;
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Of the snapshot, and its digest, hex. */
  readonly bytes: number;
  readonly sha256: string;
}

export interface Manifest {
  readonly format: typeof format;
  readonly v: number;
  readonly madeAtMs: number;
  /** Version of the NATS server whose snapshots these are. */
  readonly natsVersion: string;
  readonly streams: readonly SavedStream[];
}

export const newManifest = (parts: Pick<Manifest, 'madeAtMs' | 'natsVersion' | 'streams'>): Manifest => ({ format, v: backupVersion, ...parts });

/** One member of the tar: bytes that stand here, or `bytes` of a stream's snapshot. */
export type Section = { readonly text: Buffer } | { readonly snapshotOf: SavedStream };

const block = 512;
const trailer = Buffer.alloc(2 * block);
/** What an octal field of eleven digits can say. */
const maxMemberBytes = 0o77777777777;
export const maxManifestBytes = 1024 * 1024;

export const manifestName = 'manifest.json';
const digestName = 'manifest.sha256';
const snapshotName = ({ name }: SavedStream): string => `${name}.snapshot`;

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
export const padding = (bytes: number): number => (block - (bytes % block)) % block;

/** A header of ustar (POSIX.1-1988). */
export function header(name: string, bytes: number, madeAtMs: number): Buffer {
  if (bytes > maxMemberBytes) throw new BackupError(`${name} has ${bytes} bytes, more than a tar can hold`);
  const head = Buffer.alloc(block);
  head.write(name, 0);
  head.write('0000600\0', 100);
  head.write('0000000\0', 108);
  head.write('0000000\0', 116);
  head.write(`${bytes.toString(8).padStart(11, '0')}\0`, 124);
  head.write(`${Math.floor(madeAtMs / 1_000).toString(8).padStart(11, '0')}\0`, 136);
  head.write('        ', 148);
  head.write('0', 156);
  head.write('ustar\0' + '00', 257);
  head.write(`${head.reduce((total, byte) => total + byte, 0).toString(8).padStart(6, '0')}\0 `, 148);
  return head;
}

/** Everything that a backup with this manifest consists of, in order. */
export function backupSections(manifest: Manifest): Section[] {
  const { madeAtMs } = manifest;
  const json = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
  const digest = Buffer.from(`${sha256(json)}  ${manifestName}\n`);
  const whole = (name: string, bytes: Buffer): Buffer => Buffer.concat([header(name, bytes.length, madeAtMs), bytes, Buffer.alloc(padding(bytes.length))]);
  return [
    { text: Buffer.concat([whole(manifestName, json), whole(digestName, digest)]) },
    ...manifest.streams.flatMap((stream): Section[] => [{ text: header(snapshotName(stream), stream.bytes, madeAtMs) }, { snapshotOf: stream }, { text: Buffer.alloc(padding(stream.bytes)) }]),
    { text: trailer },
  ];
}

export const backupBytes = (manifest: Manifest): number => backupSections(manifest).reduce((sum, section) => sum + ('text' in section ? section.text.length : section.snapshotOf.bytes), 0);

/** The manifest from its text. Throws BackupError where it is of another version or not whole. */
export function parseManifest(text: string): Manifest {
  let value: Partial<Manifest>;
  try {
    value = JSON.parse(text) as Partial<Manifest>;
  } catch (cause) {
    throw new BackupError('it is damaged: its manifest cannot be read', cause);
  }
  if (value.format !== format) throw new BackupError('it is no backup of Pouch: its manifest says something else');
  if (value.v !== backupVersion) throw new BackupError(`it is a backup of version ${String(value.v)}, and this Pouch reads version ${backupVersion}: restore it with the Pouch that made it, then upgrade`);
  const streams: readonly unknown[] = Array.isArray(value.streams) ? value.streams : [];
  const sound = typeof value.madeAtMs === 'number' && typeof value.natsVersion === 'string' && streams.length > 0 && streams.every(isSavedStream) && streams.some((stream) => (stream as SavedStream).name === streamName);
  if (!sound) throw new BackupError('it is damaged: its manifest lacks what every backup has');
  return value as Manifest;
}

function isSavedStream(value: unknown): value is SavedStream {
  const { name, config, messages, firstSeq, lastSeq, bytes, sha256: digest } = (value ?? {}) as Partial<Record<keyof SavedStream, unknown>>;
  return typeof name === 'string' && stateStreams.includes(name) && typeof config === 'object' && config !== null && (config as { name?: unknown }).name === name
    && [messages, firstSeq, lastSeq, bytes].every((number) => Number.isSafeInteger(number) && (number as number) >= 0) && typeof digest === 'string' && /^[0-9a-f]{64}$/.test(digest);
}
