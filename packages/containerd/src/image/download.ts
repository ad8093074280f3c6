// One blob from a registry, or from another host, into the content store: resumed by range where a transfer breaks, from the next host where one host fails.
// containerd verifies digest and size at the commit.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Containerd } from '../client.ts';
import type { ContentWriter } from '../content-writer.ts';
import { isContainerdError } from '../errors.ts';
import type { Descriptor } from '../image-store.ts';
import type { BlobSource } from '../registry/repository.ts';
import { ImageError } from './image-error.ts';

const MAX_FRUITLESS = 4; // attempts in a row at one host that bring not one byte
const MAX_TRANSFERS = 100; // of one blob from one host, however little each brings
const PROGRESS_INTERVAL_MS = 200;

export type DownloadRequest = {
  containerd: Containerd;
  /** In the order in which they are asked. */
  sources: readonly BlobSource[];
  blob: Descriptor;
  lease: string;
  labels: Record<string, string>;
  /** Wait before a transfer is resumed; doubles while nothing comes. */
  retryMs: number;
  signal: AbortSignal;
  onBytes?: (current: number) => void;
};

/** Fetches the blob unless it is there. On failure nothing of it stays. */
export async function download(request: DownloadRequest): Promise<'downloaded' | 'exists'> {
  const { containerd, sources, blob, lease, labels, signal } = request;
  let failure: unknown;
  for (const source of sources) {
    const target = { ref: `${lease}-${blob.digest}`, expected: blob.digest, total: blob.size, labels };
    const writer = await containerd.content.writer(target, { lease, signal });
    if (writer === null) return 'exists';
    try {
      await fill(writer, source, request);
      await writer.commit();
      return 'downloaded';
    } catch (error) {
      await writer.abort();
      if (signal.aborted) throw error;
      failure = isContainerdError(error, 'failed-precondition')
        ? new ImageError('digest-mismatch', `blob ${blob.digest} from ${source.host} is not what its digest says: ${error.detail}`, error)
        : error;
      if (!(failure instanceof ImageError)) throw failure;
    }
  }
  throw failure;
}

async function fill(writer: ContentWriter, source: BlobSource, { blob, retryMs, signal, onBytes }: DownloadRequest): Promise<void> {
  let lastReport = 0;
  let fruitless = 0;
  for (let transfer = 1; writer.offset < blob.size; transfer++) {
    const before = writer.offset;
    try {
      const stream = await source.blob(blob.digest, before);
      if (stream === null) throw new ImageError('digest-mismatch', `blob ${blob.digest} from ${source.host} ends after ${before} of ${blob.size} bytes`);
      let skip = before - stream.offset;
      for await (const chunk of stream.body) {
        const fresh = skip === 0 ? chunk : chunk.subarray(Math.min(skip, chunk.length));
        skip -= Math.min(skip, chunk.length);
        if (writer.offset + fresh.length > blob.size) throw new ImageError('digest-mismatch', `blob ${blob.digest} from ${source.host} is larger than the ${blob.size} bytes of its manifest`);
        await writer.write(fresh);
        const now = Date.now();
        if (onBytes !== undefined && now - lastReport >= PROGRESS_INTERVAL_MS) {
          lastReport = now;
          onBytes(writer.offset);
        }
      }
      if (writer.offset < blob.size) throw new ImageError('unreachable', `the transfer of blob ${blob.digest} from ${source.host} ended after ${writer.offset} of ${blob.size} bytes`);
    } catch (error) {
      if (!(error instanceof ImageError) || error.code !== 'unreachable') throw error;
      fruitless = writer.offset > before ? 0 : fruitless + 1;
      if (fruitless >= MAX_FRUITLESS || transfer >= MAX_TRANSFERS) throw error;
      await sleep(retryMs * 2 ** fruitless, undefined, { signal });
    }
  }
}
