// One streamed write into containerd's content store. Bounds what is in memory: CHUNK_BYTES collected, MAX_IN_FLIGHT messages unanswered.
// containerd hashes and verifies; nothing is hashed here.
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { setTimeout as sleep } from 'node:timers/promises';
import { ContainerdError, fromGrpc, isContainerdError } from './errors.ts';
import { method } from './protos.ts';
import type { CallOptions, Rpc } from './rpc.ts';

const SERVICE = 'containerd.services.content.v1.Content';
const CHUNK_BYTES = 256 << 10;
const MAX_IN_FLIGHT = 8;
const LOCKED_ATTEMPTS = 20;
const LOCKED_WAIT_MS = 50;
const COMMIT_TIMEOUT_MS = 120_000; // commit fsyncs a whole layer

/** What is written. `ref` names the ingest, so that it can be resumed; `total` is in bytes. */
export type WriteTarget = { ref: string; expected?: string; total?: number; labels?: Record<string, string> };
type WriteResponse = { action: 'STAT' | 'WRITE' | 'COMMIT'; offset: number; total: number; digest: string };
type Pending = { resolve: (response: WriteResponse) => void; reject: (error: ContainerdError) => void };

export class ContentWriter {
  readonly #rpc: Rpc;
  readonly #target: WriteTarget;
  readonly #stream: ClientDuplexStream<object, object>;
  readonly #path = method(`${SERVICE}/Write`).path;
  readonly #answers: Pending[] = []; // containerd answers every message, in order
  #failure: ContainerdError | undefined;
  #done = false;
  #chunks: Uint8Array[] = [];
  #chunkBytes = 0;
  #sentOffset = 0;

  private constructor(rpc: Rpc, target: WriteTarget, options: CallOptions) {
    this.#rpc = rpc;
    this.#target = target;
    this.#stream = rpc.openDuplex(`${SERVICE}/Write`, options);
    this.#stream.on('data', (response: object) => { this.#answers.shift()?.resolve(response as WriteResponse); });
    this.#stream.on('error', (error) => { this.#fail(fromGrpc(error, this.#path)); });
    this.#stream.on('end', () => { this.#fail(new ContainerdError('unavailable', 'Content.Write', 'the stream ended')); });
    const { signal } = options;
    if (signal !== undefined) {
      const abort = () => {
        this.#fail(new ContainerdError('cancelled', 'Content.Write', 'cancelled by the caller', signal.reason));
        this.#stream.cancel();
      };
      signal.addEventListener('abort', abort, { once: true });
      this.#stream.on('close', () => { signal.removeEventListener('abort', abort); });
      if (signal.aborted) abort();
    }
  }

  /** See `Content.writer`. Waits a bounded time while an earlier stream still holds the ingest's lock. */
  static async open(rpc: Rpc, target: WriteTarget, options: CallOptions = {}): Promise<ContentWriter | null> {
    for (let attempt = 1; ; attempt++) {
      const writer = new ContentWriter(rpc, target, options);
      try {
        const { offset } = await writer.#ask({ action: 'STAT', ref: target.ref, total: target.total ?? 0, expected: target.expected ?? '' });
        writer.#sentOffset = offset;
        return writer;
      } catch (error) {
        writer.close();
        if (isContainerdError(error, 'already-exists')) return null;
        const locked = isContainerdError(error, 'unavailable') && error.detail.includes('locked');
        if (!locked || attempt >= LOCKED_ATTEMPTS) throw error;
        await sleep(LOCKED_WAIT_MS);
      }
    }
  }

  /** Bytes written so far, counting those of an earlier attempt that is being resumed. */
  get offset(): number {
    return this.#sentOffset + this.#chunkBytes;
  }

  /** Adds bytes; resolves when there is room for more. The buffer must not be changed afterwards. */
  async write(data: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (data.length === 0) return;
    this.#chunks.push(data);
    this.#chunkBytes += data.length;
    if (this.#chunkBytes >= CHUNK_BYTES) await this.#flush();
  }

  /** Verifies against the expected digest and size, stores, and ends the write. Returns the digest. */
  async commit({ expected = this.#target.expected ?? '', size = this.#target.total ?? 0 }: { expected?: string; size?: number } = {}): Promise<string> {
    await this.#flush();
    const timer = setTimeout(() => {
      this.#fail(new ContainerdError('deadline', 'Content.Write', `commit of ${this.#target.ref} took more than ${COMMIT_TIMEOUT_MS} ms`));
      this.#stream.cancel();
    }, COMMIT_TIMEOUT_MS);
    try {
      const { digest } = await this.#ask({ action: 'COMMIT', offset: this.#sentOffset, total: size, expected, labels: this.#target.labels ?? {} });
      return digest;
    } catch (error) {
      if (!isContainerdError(error, 'already-exists') || expected === '') throw error;
      await this.abort(); // somebody else wrote it meanwhile
      return expected;
    } finally {
      clearTimeout(timer);
      this.close();
    }
  }

  /** Ends the stream and leaves the ingest, so that it can be resumed by its `ref`. */
  close(): void {
    if (this.#done) return;
    this.#done = true;
    this.#stream.end();
    this.#stream.cancel();
  }

  /** Ends the stream and throws the ingest away. Does not fail: an ingest that cannot be removed now is collected with its lease. */
  async abort(): Promise<void> {
    this.close();
    for (let attempt = 1; attempt <= LOCKED_ATTEMPTS; attempt++) {
      try {
        await this.#rpc.unary(`${SERVICE}/Abort`, { ref: this.#target.ref });
        return;
      } catch (error) {
        if (!isContainerdError(error, 'unavailable') || !error.detail.includes('locked')) return; // gone, or for the garbage collector
        await sleep(LOCKED_WAIT_MS);
      }
    }
  }

  async #flush(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#chunkBytes === 0) return;
    const data = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks, this.#chunkBytes);
    this.#chunks = [];
    this.#chunkBytes = 0;
    for (let from = 0; from < data.length; from += CHUNK_BYTES) {
      const part = data.subarray(from, from + CHUNK_BYTES);
      const answer = this.#ask({ action: 'WRITE', offset: this.#sentOffset, data: part });
      this.#sentOffset += part.length;
      if (this.#answers.length >= MAX_IN_FLIGHT) await answer;
      else answer.catch(() => { /* kept in #failure, which the next call throws */ });
    }
  }

  #ask(request: object): Promise<WriteResponse> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#answers.push({ resolve, reject });
      this.#stream.write(request);
    });
  }

  #fail(error: ContainerdError): void {
    this.#failure ??= error;
    for (const { reject } of this.#answers.splice(0)) reject(this.#failure);
  }
}
