// containerd's content store: blobs by digest. Does not know what is in them.
import { ContainerdError } from './errors.ts';
import { ContentWriter, type WriteTarget } from './content-writer.ts';
import type { CallOptions, Rpc } from './rpc.ts';
import { timestampText, type WireTimestamp } from './wire.ts';

const SERVICE = 'containerd.services.content.v1.Content';

export type ContentInfo = { digest: string; size: number; labels: Record<string, string>; createdAt: string | null; updatedAt: string | null };
/** A write that is under way or was left for resumption. */
export type Ingest = { ref: string; offset: number; total: number; expected: string; startedAt: string | null; updatedAt: string | null };
type WireInfo = Omit<ContentInfo, 'createdAt' | 'updatedAt'> & { createdAt: WireTimestamp; updatedAt: WireTimestamp };
type WireIngest = Omit<Ingest, 'startedAt' | 'updatedAt'> & { startedAt: WireTimestamp; updatedAt: WireTimestamp };

export class Content {
  readonly #rpc: Rpc;
  constructor(rpc: Rpc) { this.#rpc = rpc; }

  /** Fails with `not-found`. */
  async info(digest: string, options?: CallOptions): Promise<ContentInfo> {
    return fromWire((await this.#rpc.unary<{ info: WireInfo }>(`${SERVICE}/Info`, { digest }, options)).info);
  }

  async list(filters: string[] = [], options?: CallOptions): Promise<ContentInfo[]> {
    const found: ContentInfo[] = [];
    for await (const { info } of this.#rpc.stream<{ info: WireInfo[] }>(`${SERVICE}/List`, { filters }, options)) found.push(...info.map(fromWire));
    return found;
  }

  /** Sets the given labels and leaves the others; an empty value removes a label. */
  async updateLabels(digest: string, labels: Record<string, string>, options?: CallOptions): Promise<ContentInfo> {
    const updateMask = { paths: Object.keys(labels).map((key) => `labels.${key}`) };
    return fromWire((await this.#rpc.unary<{ info: WireInfo }>(`${SERVICE}/Update`, { info: { digest, labels }, updateMask }, options)).info);
  }

  async delete(digest: string, options?: CallOptions): Promise<void> {
    await this.#rpc.unary(`${SERVICE}/Delete`, { digest }, options);
  }

  /** Streams bytes of a blob from `offset`; `size` 0 means to its end. Leaving the loop early cancels the read. */
  async *read(digest: string, { offset = 0, size = 0, ...options }: { offset?: number; size?: number } & CallOptions = {}): AsyncGenerator<Buffer, void, undefined> {
    for await (const { data } of this.#rpc.stream<{ data: Buffer }>(`${SERVICE}/Read`, { digest, offset, size }, options)) {
      if (data.length > 0) yield data;
    }
  }

  /** A small blob as a whole; fails with `out-of-range` if it is larger than `maxBytes`. */
  async readBlob(digest: string, { maxBytes = 16 << 20, ...options }: { maxBytes?: number } & CallOptions = {}): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let total = 0;
    for await (const chunk of this.read(digest, options)) {
      total += chunk.length;
      if (total > maxBytes) throw new ContainerdError('out-of-range', 'Content.Read', `${digest} is larger than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks, total);
  }

  /** Begins or resumes a write; null where the expected digest is there already (the lease then holds it). */
  async writer(target: WriteTarget, options?: CallOptions): Promise<ContentWriter | null> {
    return ContentWriter.open(this.#rpc, target, options);
  }

  /** Writes a small blob whose digest is known. */
  async writeBlob(target: WriteTarget & { expected: string }, data: Uint8Array, options?: CallOptions): Promise<void> {
    const writer = await this.writer({ ...target, total: data.length }, options);
    if (writer === null) return;
    try {
      await writer.write(data.subarray(writer.offset)); // an ingest of the same ref holds the same bytes, or the commit refuses it
      await writer.commit();
    } catch (error) {
      await writer.abort();
      throw error;
    }
  }

  async listIngests(filters: string[] = [], options?: CallOptions): Promise<Ingest[]> {
    const { statuses } = await this.#rpc.unary<{ statuses: WireIngest[] }>(`${SERVICE}/ListStatuses`, { filters }, options);
    return statuses.map((ingest) => ({ ...ingest, startedAt: timestampText(ingest.startedAt), updatedAt: timestampText(ingest.updatedAt) }));
  }

  /** Throws an ingest away. Fails with `not-found`. */
  async abortIngest(ref: string, options?: CallOptions): Promise<void> {
    await this.#rpc.unary(`${SERVICE}/Abort`, { ref }, options);
  }
}

function fromWire(info: WireInfo): ContentInfo {
  return { ...info, createdAt: timestampText(info.createdAt), updatedAt: timestampText(info.updatedAt) };
}
