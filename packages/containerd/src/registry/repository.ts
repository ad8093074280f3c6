// One repository at one endpoint, over the distribution HTTP API: authentication, bounded retries, time limits. Stores nothing.
import { setTimeout as sleep } from 'node:timers/promises';
import { ImageError } from '../image/image-error.ts';
import { ACCEPT_MANIFESTS, MAX_MANIFEST_BYTES } from '../image/manifest.ts';
import { authorize, type Fetcher } from './challenge.ts';
import type { Endpoint } from './endpoints.ts';
import { exchange, type HttpRequest, type HttpResponse } from './http.ts';

const ATTEMPTS = 4;
const MAX_ERROR_BYTES = 64 << 10;

/** Limits of a registry conversation; tests shorten them. */
export type HttpTiming = { /** until the answer's head is there */ headMs: number; /** without a single byte of a body */ stallMs: number; /** before the second attempt; doubles with each further one */ retryMs: number };
export const DEFAULT_TIMING: HttpTiming = { headMs: 30_000, stallMs: 60_000, retryMs: 300 };

/** A body with the byte it begins at. */
export type BlobStream = { offset: number; body: AsyncIterable<Uint8Array> };

/** Where manifests and blobs of one repository come from: a registry, a mirror of it, another host. */
export interface BlobSource {
  /** For messages: `host`, and with what it is `title`, e.g. `mirror http://localhost:5000`. */
  readonly host: string;
  readonly title: string;
  /** Whether it stands in for a registry, whose own word counts more. */
  readonly isMirror: boolean;
  /** Fetches a manifest or index by tag or digest, unchecked. Fails with ImageError. */
  manifest(tagOrDigest: string): Promise<{ bytes: Buffer; mediaType: string }>;
  /** Opens a blob from `offset`; the answer may begin earlier. Null: `offset` is at or behind its end. Fails with ImageError, `unreachable` where it is worth asking again. */
  blob(digest: string, offset: number): Promise<BlobStream | null>;
}

export class Repository implements BlobSource {
  readonly endpoint: Endpoint;
  readonly #path: string;
  readonly #timing: HttpTiming;
  readonly #signal: AbortSignal;
  readonly #fetcher: Fetcher = {
    send: (url, request) => this.#fetch(url, request),
    read: (response, maxBytes, what) => readAll(this.#guarded(response), maxBytes, what),
  };
  #authorization: string | undefined;

  constructor(endpoint: Endpoint, path: string, timing: HttpTiming, signal: AbortSignal) {
    this.endpoint = endpoint;
    this.#path = path;
    this.#timing = timing;
    this.#signal = signal;
    if (endpoint.credentials?.registryToken) this.#authorization = `Bearer ${endpoint.credentials.registryToken}`;
  }

  get host(): string {
    return new URL(this.endpoint.url).host;
  }

  get title(): string {
    return `${this.isMirror ? 'mirror' : 'registry'} ${this.endpoint.url}`;
  }

  get isMirror(): boolean {
    return this.endpoint.isMirror;
  }

  async manifest(tagOrDigest: string): Promise<{ bytes: Buffer; mediaType: string }> {
    const response = await this.#get(`manifests/${tagOrDigest}`, { accept: ACCEPT_MANIFESTS });
    if (response.status !== 200) throw await this.#failure(response, `manifest ${tagOrDigest}`);
    const bytes = await readManifest(this.#guarded(response), this.host);
    return { bytes, mediaType: response.header('content-type') };
  }

  /** The answer begins earlier than asked where the host knows no ranges. */
  async blob(digest: string, offset: number): Promise<BlobStream | null> {
    const response = await this.#get(`blobs/${digest}`, offset > 0 ? { range: `bytes=${offset}-` } : {});
    if (response.status === 416 && offset > 0) {
      response.body.destroy();
      return null;
    }
    if (response.status === 206) {
      const start = Number(/^bytes (\d+)-/.exec(response.header('content-range'))?.[1] ?? offset);
      if (start > offset) {
        response.body.destroy();
        throw new ImageError('registry', `${this.host} answered with bytes from ${start} of blob ${digest}, not from ${offset}`);
      }
      return { offset: start, body: this.#guarded(response) };
    }
    if (response.status !== 200) throw await this.#failure(response, `blob ${digest}`);
    return { offset: 0, body: this.#guarded(response) };
  }

  async #get(resource: string, headers: Record<string, string>): Promise<HttpResponse> {
    const url = `${this.endpoint.url}/v2/${this.#path}/${resource}`;
    for (let challenged = false; ; challenged = true) {
      const authorization = this.#authorization;
      const response = await this.#fetch(url, { headers: { 'accept-encoding': 'identity', ...headers, ...(authorization ? { authorization } : {}) } });
      if (response.status !== 401 || challenged) return response;
      const answer = await authorize(response.header('www-authenticate'), `repository:${this.#path}:pull`, this.endpoint.credentials, this.#fetcher);
      if (answer === undefined || answer === authorization) return response;
      response.body.destroy();
      this.#authorization = answer;
    }
  }

  // Network errors, 429 and 5xx are tried again; every other answer is the caller's to judge.
  async #fetch(url: string, init: HttpRequest): Promise<HttpResponse> {
    for (let attempt = 1; ; attempt++) {
      let waitMs = this.#timing.retryMs * 2 ** (attempt - 1) * (0.75 + Math.random() / 2);
      try {
        const response = await exchange(url, init, { headMs: this.#timing.headMs, signal: this.#signal });
        if (attempt === ATTEMPTS || (response.status !== 429 && response.status < 500)) return response;
        waitMs = Math.max(waitMs, Math.min(Number(response.header('retry-after')) * 1000 || 0, 30_000));
        response.body.destroy();
      } catch (error) {
        if (this.#signal.aborted) throw new ImageError('cancelled', 'the pull was cancelled', error);
        if (attempt === ATTEMPTS || !isTransient(error)) throw new ImageError('unreachable', `cannot reach ${new URL(url).origin}: ${networkReason(error)}`, error);
      }
      await sleep(waitMs, undefined, { signal: this.#signal }).catch((error: unknown) => {
        throw new ImageError('cancelled', 'the pull was cancelled', error);
      });
    }
  }

  /** A body that fails when it stalls, so that a silent host cannot hold a pull for ever. */
  async *#guarded(response: HttpResponse): AsyncGenerator<Uint8Array, void, undefined> {
    const body = response.body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    try {
      for (;;) {
        let timer: NodeJS.Timeout | undefined;
        const stalled = new Promise<never>((_, reject) => {
          timer = setTimeout(() => { reject(new Error(`no data for ${this.#timing.stallMs / 1000} s`)); }, this.#timing.stallMs);
        });
        const item = await Promise.race([body.next(), stalled]).finally(() => { clearTimeout(timer); });
        if (item.done === true) return;
        yield item.value;
      }
    } catch (error) {
      if (this.#signal.aborted) throw new ImageError('cancelled', 'the pull was cancelled', error);
      throw new ImageError('unreachable', `the transfer from ${this.host} broke off: ${networkReason(error)}`, error);
    } finally {
      if (!response.body.complete) response.body.destroy();
    }
  }

  async #failure(response: HttpResponse, what: string): Promise<ImageError> {
    const body = await readAll(this.#guarded(response), MAX_ERROR_BYTES, 'the error').catch(() => Buffer.alloc(0)); // its status says enough
    const { code, message } = firstError(body);
    const said = message || code || response.message || String(response.status);
    const { status } = response;
    if (status === 401 || status === 403 || code === 'DENIED' || code === 'UNAUTHORIZED' || code === 'NAME_UNKNOWN') return new ImageError('access-denied', said);
    if (status === 404) return new ImageError('manifest-unknown', what.startsWith('blob') ? `${what} unknown` : said);
    if (status === 429) return new ImageError('registry', `too many requests: ${said}`);
    return new ImageError('registry', `${this.host} answered ${status} for ${what}: ${said}`);
  }
}

/** The first error of a registry's JSON error body. */
function firstError(body: Buffer): { code: string; message: string } {
  try {
    const { errors } = JSON.parse(body.toString('utf8')) as { errors?: { code?: unknown; message?: unknown }[] };
    const error = errors?.[0];
    return { code: typeof error?.code === 'string' ? error.code : '', message: typeof error?.message === 'string' ? error.message.slice(0, 500) : '' };
  } catch {
    return { code: '', message: '' }; // not a registry's JSON, e.g. a proxy's page
  }
}

/** The bytes of a manifest, bounded. Fails with `invalid-image` where it is larger than any. */
export async function readManifest(body: AsyncIterable<Uint8Array>, from: string): Promise<Buffer> {
  return await readAll(body, MAX_MANIFEST_BYTES, `the manifest from ${from}`);
}

async function readAll(body: AsyncIterable<Uint8Array>, maxBytes: number, what: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let total = 0;
  for await (const chunk of body) {
    total += chunk.length;
    if (total > maxBytes) throw new ImageError('invalid-image', `${what} is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, total);
}

function networkReason(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return networkReason(error.errors[0]); // one error for each address of a name
  return error instanceof Error ? error.message || String((error as NodeJS.ErrnoException).code ?? error.name) : String(error);
}

// Nobody listens, the name does not exist, or it speaks no TLS: asking again at once changes nothing.
function isTransient(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code ?? '';
  return !['ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH', 'ENETUNREACH'].includes(code) && !/^(?:ERR_SSL|ERR_TLS|EPROTO|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/.test(code);
}
