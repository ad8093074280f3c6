// Takes an image archive (docker save or OCI layout) into the content store as it streams by: nothing is written to disk here and only
// the few small documents are kept in memory. What the documents mean is load.ts's business.
import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import type { Containerd } from '../client.ts';
import { compressionOf, decompressed } from './decompressed.ts';
import { ImageError } from './image-error.ts';
import { readTar, safePath, type TarEntry } from './tar-reader.ts';

/** Bounds of what an archive may hold. */
export type ArchiveLimits = { entries: number; entryBytes: number; totalBytes: number };
export const DEFAULT_LIMITS: ArchiveLimits = { entries: 50_000, entryBytes: 64 * 2 ** 30, totalBytes: 256 * 2 ** 30 };
const MAX_DOCUMENT_BYTES = 4 << 20;
const DOCUMENTS: ReadonlySet<string> = new Set(['manifest.json', 'index.json', 'oci-layout', 'repositories']);

/** A file of the archive that is now in the content store. */
export type StoredFile = { digest: string; size: number; compression: 'none' | 'gzip' | 'zstd' };
/** The archive's contents by path. */
export type Archive = { documents: Map<string, Buffer>; files: Map<string, StoredFile>; links: Map<string, string> };

export type IngestOptions = { lease: string; limits: ArchiveLimits; signal?: AbortSignal | undefined; onFile?: (name: string, current: number, total: number) => void };

/** Reads the whole stream. Throws ImageError `invalid-archive` for whatever must not be in it. */
export async function ingestArchive(containerd: Containerd, source: AsyncIterable<Uint8Array>, options: IngestOptions): Promise<Archive> {
  const archive: Archive = { documents: new Map(), files: new Map(), links: new Map() };
  let entries = 0;
  let total = 0;
  for await (const entry of readTar(decompressed(source))) {
    options.signal?.throwIfAborted();
    const { name, type, size } = entry;
    if (++entries > options.limits.entries) invalid(`it has more than ${options.limits.entries} entries`);
    if (size > options.limits.entryBytes) invalid(`${name} claims ${size} bytes, more than the ${options.limits.entryBytes} allowed`);
    total += size;
    if (total > options.limits.totalBytes) invalid(`its entries claim more than ${options.limits.totalBytes} bytes together`);
    if (type === 'directory') continue;
    if (type === 'other') invalid(`${name} is a device, a FIFO or another thing that does not belong in an image archive`);
    if (type === 'symlink' || type === 'link') {
      const target = type === 'symlink' ? posix.join(posix.dirname(name), entry.linkName) : entry.linkName;
      archive.links.set(name, safePath(entry.linkName.startsWith('/') ? entry.linkName : target, `the link ${name}`));
    } else if (DOCUMENTS.has(name)) {
      archive.documents.set(name, await small(entry));
    } else if (!/(?:^|\/)(?:VERSION|json)$/.test(name)) { // what the oldest docker save wrote beside every layer
      archive.files.set(name, await store(containerd, entry, `${options.lease}-${entries}`, options));
    }
  }
  return archive;
}

/** Follows links within the archive, a bounded number of times. */
export function fileAt(archive: Archive, path: string): StoredFile | undefined {
  let name = safePath(path, 'a file named in manifest.json');
  for (let hops = 0; hops < 8; hops++) {
    const file = archive.files.get(name);
    if (file !== undefined) return file;
    const next = archive.links.get(name);
    if (next === undefined) return undefined;
    name = next;
  }
  return undefined;
}

function invalid(why: string): never {
  throw new ImageError('invalid-archive', `invalid image archive: ${why}`);
}

async function small({ name, size, body }: TarEntry): Promise<Buffer> {
  if (size > MAX_DOCUMENT_BYTES) invalid(`${name} has ${size} bytes, more than ${MAX_DOCUMENT_BYTES}`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function store(containerd: Containerd, { name, size, body }: TarEntry, ref: string, { lease, signal, onFile }: IngestOptions): Promise<StoredFile> {
  const [, algorithm, hex] = /^blobs\/([^/]+)\/([^/]+)$/.exec(name) ?? [];
  if (hex !== undefined && (algorithm !== 'sha256' || !/^[0-9a-f]{64}$/.test(hex))) invalid(`${name} is not named by a sha256 digest`);
  const expected = hex === undefined ? undefined : `sha256:${hex}`;
  const writer = await containerd.content.writer({ ref, total: size, ...(expected === undefined ? {} : { expected }) }, { lease, signal });
  const hash = createHash('sha256');
  let head: Buffer = Buffer.alloc(0);
  let current = 0;
  try {
    for await (const chunk of body) {
      if (head.length < 4) head = Buffer.concat([head, chunk.subarray(0, 4)]);
      hash.update(chunk);
      await writer?.write(chunk);
      current += chunk.length;
      onFile?.(name, current, size);
    }
    const digest = `sha256:${hash.digest('hex')}`;
    if (expected !== undefined && digest !== expected) invalid(`${name} holds ${digest}`);
    await writer?.commit({ expected: digest, size });
    await containerd.leases.addResource(lease, { type: 'content', id: digest }); // also where somebody else stored it before
    return { digest, size, compression: compressionOf(head) };
  } catch (error) {
    await writer?.abort();
    throw error;
  }
}
