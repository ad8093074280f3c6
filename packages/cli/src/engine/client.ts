// HTTP to the API over a unix socket or TCP: JSON calls, streams of lines, and hijacked connections. Knows no endpoint and prints nothing.
import http from 'node:http';
import type https from 'node:https';
import type { Readable } from 'node:stream';
import { refused, unreachable } from './failures.ts';
import { jsonLines } from './lines.ts';
import type { Target } from './target.ts';

export type QueryValue = string | number | boolean | undefined;

export interface Call {
  readonly query?: Readonly<Record<string, QueryValue>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent as it is; `contentType` goes with it. */
  readonly upload?: { readonly stream: Readable; readonly contentType: string; readonly bytes: number | null };
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** A connection that was taken over after the answer's headers: bytes both ways, each of which can end alone. */
export interface Hijacked {
  readonly output: Readable;
  /** Media type that the API gave; null when it gave none. */
  readonly contentType: string | null;
  write(chunk: Uint8Array, done: () => void): void;
  /** Half-close: no more input, output goes on. */
  endInput(): void;
  destroy(): void;
}

/** Answers larger than this are refused rather than buffered. */
export const maxJsonBytes = 256 * 1024 * 1024;
export const connectTimeoutMs = 10_000;

/** Path of a thing by name; slashes, colons and at-signs of image names stay, as Docker's clients send them. */
export const segment = (name: string): string => encodeURIComponent(name).replaceAll(/%(2F|3A|40)/g, (code) => decodeURIComponent(code));

export class EngineClient {
  readonly target: Target;
  private readonly secure: typeof https | null;

  private readonly token: string | null;

  constructor(target: Target, secure: typeof https | null, token: string | null = null) {
    this.target = target;
    this.token = token;
    this.secure = secure;
  }

  /** One call, one JSON answer (undefined for an empty one). Throws ApiError, UnreachableError. */
  async json<T = unknown>(method: string, path: string, call: Call = {}): Promise<T> {
    const response = await this.open(method, path, call);
    const text = await readAll(response, this.target);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  /** The answer as a stream, once its headers are there and its status is good. */
  async stream(method: string, path: string, call: Call = {}): Promise<http.IncomingMessage> {
    return this.open(method, path, call);
  }

  /** Resolves once the answer's headers are there; the body may take as long as a container runs. */
  async pending<T>(method: string, path: string, call: Call = {}): Promise<{ readonly answer: Promise<T>; cancel(): void }> {
    const response = await this.open(method, path, call);
    const answer = readAll(response, this.target).then((text) => JSON.parse(text) as T);
    // Whoever detaches or fails first does not come back for the answer; its failure is then nobody's.
    answer.catch(() => undefined);
    return { answer, cancel: () => void response.destroy() };
  }

  /** The answer as JSON values, one a line, as they come. */
  async *lines<T = unknown>(method: string, path: string, call: Call = {}): AsyncGenerator<T> {
    const response = await this.open(method, path, call);
    try {
      yield* jsonLines<T>(response);
    } catch (error) {
      throw isSystemError(error) ? unreachable(this.target, error) : error;
    } finally {
      response.destroy();
    }
  }

  /** Takes the connection over: 101 as asked for, or 200 with a raw stream from servers that do not upgrade. */
  hijack(method: string, path: string, call: Call = {}): Promise<Hijacked> {
    const { promise, resolve, reject } = Promise.withResolvers<Hijacked>();
    const request = this.request(method, path, { ...call, headers: { ...call.headers, connection: 'Upgrade', upgrade: 'tcp' } });
    request.once('error', (error: NodeJS.ErrnoException) => reject(unreachable(this.target, error)));
    request.once('upgrade', (response, socket, head) => {
      if (head.length > 0) socket.unshift(head);
      resolve({
        output: socket,
        contentType: response.headers['content-type'] ?? null,
        write: (chunk, done) => void socket.write(chunk, done),
        endInput: () => void socket.end(),
        destroy: () => void socket.destroy(),
      });
    });
    request.once('response', (response) => {
      if (response.statusCode !== 200) {
        readAll(response, this.target).then((text) => reject(refused(response.statusCode ?? 0, text, response.headers)), reject);
        return;
      }
      resolve({
        output: response,
        contentType: response.headers['content-type'] ?? null,
        write: (chunk, done) => void response.socket.write(chunk, done),
        endInput: () => void response.socket.end(),
        destroy: () => void response.destroy(),
      });
    });
    send(request, call);
    return promise;
  }

  private open(method: string, path: string, call: Call): Promise<http.IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
    const request = this.request(method, path, call);
    request.once('error', (error: NodeJS.ErrnoException) => reject(call.signal?.aborted === true ? error : unreachable(this.target, error)));
    request.once('response', (response) => {
      const status = response.statusCode ?? 0;
      if (status >= 200 && status < 300) resolve(response);
      else readAll(response, this.target).then((text) => reject(refused(status, text, response.headers)), reject);
    });
    send(request, call);
    return promise;
  }

  private request(method: string, path: string, call: Call): http.ClientRequest {
    const { target } = this;
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(call.query ?? {})) if (value !== undefined) query.append(name, String(value));
    const options: http.RequestOptions = {
      method,
      path: query.size === 0 ? path : `${path}?${query}`,
      agent: false,
      headers: {
        host: target.kind === 'unix' ? 'pouch' : `${target.host}:${target.port}`,
        'user-agent': 'pouch-cli',
        ...(this.token === null ? {} : { authorization: `Bearer ${this.token}` }),
        ...(call.body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(call.upload === undefined ? {} : { 'content-type': call.upload.contentType }),
        ...(typeof call.upload?.bytes !== 'number' ? {} : { 'content-length': String(call.upload.bytes) }),
        ...(call.body === undefined && call.upload === undefined && method !== 'GET' && method !== 'HEAD' ? { 'content-length': '0' } : {}),
        ...call.headers,
      },
      ...(call.signal === undefined ? {} : { signal: call.signal }),
      ...(target.kind === 'unix' ? { socketPath: target.socketPath } : { host: target.host, port: target.port }),
    };
    if (target.kind === 'tcp' && target.tls !== null && this.secure !== null) return this.bounded(this.secure.request({ ...options, ...target.tls }));
    return this.bounded(http.request(options));
  }

  /** Only connecting is bounded: an answer may rightly take as long as a container runs. */
  private bounded(request: http.ClientRequest): http.ClientRequest {
    if (this.target.kind === 'unix') return request;
    const timer = setTimeout(() => request.destroy(Object.assign(new Error(`no connection within ${connectTimeoutMs / 1000} s`), { code: 'ETIMEDOUT' })), connectTimeoutMs);
    request.once('socket', (socket) => socket.once('connect', () => clearTimeout(timer)));
    request.once('close', () => clearTimeout(timer));
    return request;
  }
}

function send(request: http.ClientRequest, call: Call): void {
  if (call.upload !== undefined) {
    call.upload.stream.once('error', (error) => request.destroy(error));
    call.upload.stream.pipe(request);
    return;
  }
  if (call.body === undefined) {
    request.end();
    return;
  }
  const body = JSON.stringify(call.body);
  request.setHeader('content-length', Buffer.byteLength(body));
  request.end(body);
}

async function readAll(response: http.IncomingMessage, target: Target): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxJsonBytes) throw new Error(`the API's answer is larger than ${maxJsonBytes} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    throw isSystemError(error) ? unreachable(target, error) : error;
  }
  return Buffer.concat(chunks).toString('utf8');
}

export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).code === 'string' && /^E[A-Z]+$/.test((error as NodeJS.ErrnoException).code ?? '');
}
