// Large bytes beside the log, by their digest: an object store of NATS (its form is ADR-20's, so `nats object` reads it too). Chunks are written and read one
// by one, so memory is bounded by one; what is read is held against its digest. It knows no meaning of what it keeps.
import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { OperatingError, type Logger } from '@pouch/process';
import type { NatsLink } from './connection.ts';
import { ConflictError, LogUnavailable } from './errors.ts';
import { JetStreamError, payloadOf, purgeSubject, storedMessage, subjectsOf } from './jetstream-api.ts';
import { publishOnce } from './publish.ts';
import { ensureStream, type StreamSettings } from './stream-setup.ts';

export interface StoredObject {
  /** `sha256:` and 64 hex digits. */
  readonly digest: string;
  readonly sizeBytes: number;
}

export interface ObjectStore {
  /**
   * Keeps what the source gives; bytes that are there already are kept once (`existed`). An error of the source is thrown on, and nothing of it stays.
   * Rejects with `too-large` beyond `maxBytes`, with LogUnavailable.
   */
  put(source: AsyncIterable<Uint8Array>, limits: { readonly maxBytes: number }): Promise<StoredObject & { readonly existed: boolean }>;
  /** The bytes; throws at the end where they are not what the digest says: nothing may be used before. Rejects with `not-found`, LogUnavailable. */
  get(digest: string): AsyncGenerator<Buffer>;
  /** Nothing there is no error. */
  remove(digest: string): Promise<void>;
  /** Takes away what is older than `beforeMs` and not among `keep`, and what broken-off writes have left. Answers with the number of objects. */
  sweep(keep: ReadonlySet<string>, beforeMs: number): Promise<number>;
}

export interface ObjectStoreOptions {
  readonly link: NatsLink;
  readonly logger: Logger;
  readonly bucket: string;
  readonly replicas?: number;
  readonly storage?: 'file' | 'memory';
  /** For every request. Default 10,000. */
  readonly timeoutMs?: number;
}

const chunkBytes = 256 * 1024;
const maxTries = 4;
const retryMs = 250;

/** ADR-20's ObjectInfo, as far as it is read. */
interface Meta {
  readonly name: string;
  readonly nuid: string;
  readonly size: number;
  readonly chunks: number;
  /** `SHA-256=` and URL-safe base64. */
  readonly digest: string;
  readonly mtime: string;
}

export class NatsObjectStore implements ObjectStore {
  readonly #options: ObjectStoreOptions;
  readonly #settings: StreamSettings;
  readonly #timeoutMs: number;
  #setUpEpoch = 0;

  constructor(options: ObjectStoreOptions) {
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? 10_000;
    const { bucket } = options;
    this.#settings = {
      name: `OBJ_${bucket}`,
      subjects: [`$O.${bucket}.C.>`, `$O.${bucket}.M.>`],
      replicas: options.replicas ?? options.link.replicas,
      storage: options.storage ?? 'file',
      maxMessagesPerSubject: -1,
      duplicateWindowMs: 120_000,
      maxAgeMs: 0,
    };
  }

  async put(source: AsyncIterable<Uint8Array>, { maxBytes }: { readonly maxBytes: number }): Promise<StoredObject & { readonly existed: boolean }> {
    await this.#usable();
    const nuid = randomUUID().replaceAll('-', '');
    const subject = this.#chunks(nuid);
    const hash = createHash('sha256');
    let size = 0;
    let chunks = 0;
    let seq = 0;
    try {
      for await (const chunk of rechunked(source)) {
        size += chunk.length;
        if (size > maxBytes) throw new OperatingError('too-large', `more than ${maxBytes} bytes are not taken`);
        hash.update(chunk);
        seq = await this.#publish(subject, chunk, seq, `${nuid}-${chunks}`);
        chunks += 1;
      }
      const raw = hash.digest();
      const digest = `sha256:${raw.toString('hex')}`;
      if ((await this.#meta(digest)) !== null) {
        await this.#purge(subject);
        return { digest, sizeBytes: size, existed: true };
      }
      const meta: Meta & Record<string, unknown> = {
        name: digest, bucket: this.#options.bucket, nuid, size, chunks, digest: `SHA-256=${base64url(raw)}`, mtime: new Date().toISOString(), options: { max_chunk_size: chunkBytes },
      };
      try {
        await this.#publish(this.#metaSubject(digest), Buffer.from(JSON.stringify(meta)), 0, `${nuid}-meta`);
        return { digest, sizeBytes: size, existed: false };
      } catch (error) {
        // Another writer of the same bytes was faster.
        if (!(error instanceof ConflictError) || (await this.#meta(digest)) === null) throw error;
        await this.#purge(subject);
        return { digest, sizeBytes: size, existed: true };
      }
    } catch (error) {
      await this.#purge(subject).catch((cause: unknown) => this.#options.logger.debug({ err: cause, subject }, 'chunks of a broken-off write stay until the next sweep'));
      throw error;
    }
  }

  async *get(digest: string): AsyncGenerator<Buffer> {
    await this.#usable();
    const meta = await this.#meta(digest);
    if (meta === null) throw new OperatingError('not-found', `there is no object ${digest} in the store ${this.#options.bucket}`);
    const hash = createHash('sha256');
    const filter = this.#chunks(meta.nuid);
    let after = 0;
    for (let read = 0; read < meta.chunks; read++) {
      const stored = await this.#stored({ seq: after + 1, next_by_subj: filter });
      if (stored === null) throw new OperatingError('damaged', `the object ${digest} ends after ${read} of ${meta.chunks} chunks`);
      after = stored.seq;
      const chunk = payloadOf(stored);
      hash.update(chunk);
      yield chunk;
    }
    const found = `sha256:${hash.digest('hex')}`;
    if (found !== digest) throw new OperatingError('damaged', `the object ${digest} is damaged: its bytes have the digest ${found}`);
  }

  async remove(digest: string): Promise<void> {
    await this.#usable();
    const meta = await this.#meta(digest);
    if (meta === null) return;
    // The description first: chunks that nothing points to are swept up, a description without chunks would be a lie.
    await this.#purge(this.#metaSubject(digest));
    await this.#purge(this.#chunks(meta.nuid));
  }

  async sweep(keep: ReadonlySet<string>, beforeMs: number): Promise<number> {
    await this.#usable();
    const { bucket } = this.#options;
    const kept = new Set<string>();
    let removed = 0;
    for (const subject of await subjectsOf(this.#options.link, this.#settings.name, `$O.${bucket}.M.>`, this.#timeoutMs)) {
      const stored = await this.#stored({ last_by_subj: subject });
      const meta = stored === null ? null : readMeta(payloadOf(stored));
      if (meta === null) continue;
      if (keep.has(meta.name) || Date.parse(meta.mtime) >= beforeMs) {
        kept.add(this.#chunks(meta.nuid));
        continue;
      }
      await this.remove(meta.name);
      removed += 1;
    }
    for (const subject of await subjectsOf(this.#options.link, this.#settings.name, `$O.${bucket}.C.>`, this.#timeoutMs)) {
      if (kept.has(subject)) continue;
      // By its newest chunk: a write that is under way is left alone.
      const newest = await this.#stored({ last_by_subj: subject });
      if (newest !== null && Date.parse(newest.time) < beforeMs) await this.#purge(subject);
    }
    return removed;
  }

  #chunks(nuid: string): string {
    return `$O.${this.#options.bucket}.C.${nuid}`;
  }

  #metaSubject(digest: string): string {
    return `$O.${this.#options.bucket}.M.${base64url(Buffer.from(digest))}`;
  }

  async #meta(digest: string): Promise<Meta | null> {
    const stored = await this.#stored({ last_by_subj: this.#metaSubject(digest) });
    const meta = stored === null ? null : readMeta(payloadOf(stored));
    return meta?.name === digest ? meta : null;
  }

  async #stored(which: Parameters<typeof storedMessage>[2]): ReturnType<typeof storedMessage> {
    return await this.#again(async () => await storedMessage(this.#options.link, this.#settings.name, which, this.#timeoutMs));
  }

  /** Sent again under one id where it is not known whether it arrived: the server takes it once. */
  async #publish(subject: string, payload: Uint8Array, expectedSeq: number, messageId: string): Promise<number> {
    return await this.#again(async () => (await publishOnce(this.#options.link, { stream: this.#settings.name, subject, payload, expectedSeq, messageId, timeoutMs: this.#timeoutMs })).seq);
  }

  async #purge(filter: string): Promise<void> {
    await this.#again(async () => await purgeSubject(this.#options.link, this.#settings.name, { filter }, this.#timeoutMs));
  }

  async #again<T>(work: () => Promise<T>): Promise<T> {
    for (let tried = 1; ; tried++) {
      try {
        return await work();
      } catch (error) {
        if (error instanceof JetStreamError) throw new LogUnavailable(error.message, { cause: error });
        if (!(error instanceof LogUnavailable) || tried >= maxTries) throw error;
        await delay(retryMs * tried);
        await this.#usable();
      }
    }
  }

  async #usable(): Promise<void> {
    const { link } = this.#options;
    if (!(await link.whenConnected(this.#timeoutMs))) throw new LogUnavailable('NATS cannot be reached');
    const { epoch } = link;
    if (this.#setUpEpoch === epoch) return;
    await ensureStream(link, this.#settings, this.#timeoutMs);
    this.#setUpEpoch = epoch;
  }
}

/** The same bytes in chunks of `chunkBytes`, the last one smaller. */
async function* rechunked(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of source) {
    let rest = piece;
    while (rest.length > 0) {
      const part = rest.subarray(0, chunkBytes - bytes);
      parts.push(part);
      bytes += part.length;
      rest = rest.subarray(part.length);
      if (bytes < chunkBytes) continue;
      yield Buffer.concat(parts, bytes);
      parts = [];
      bytes = 0;
    }
  }
  if (bytes > 0) yield Buffer.concat(parts, bytes);
}

/** With padding, as ADR-20 has it. */
function base64url(bytes: Buffer): string {
  return bytes.toString('base64').replaceAll('+', '-').replaceAll('/', '_');
}

function readMeta(payload: Buffer): Meta | null {
  try {
    const meta = JSON.parse(payload.toString('utf8')) as Partial<Meta> & { deleted?: boolean };
    const sound = typeof meta.name === 'string' && typeof meta.nuid === 'string' && /^[A-Za-z0-9]+$/.test(meta.nuid) && Number.isInteger(meta.chunks) && meta.deleted !== true;
    return sound ? (meta as Meta) : null;
  } catch {
    return null; // not one of ours: as if it was not there
  }
}
