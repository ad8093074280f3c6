// An ordinary client of the Docker Engine API on a unix socket, with connections kept alive. The same for Pouch and for Docker Engine:
// a comparison must not differ in its client.
import { Agent, request, type IncomingMessage, type RequestOptions } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';

const connectionsMax = 128;

export type Answer<T> = { readonly status: number; readonly body: T };

/** An answer that was not expected; the words are the engine's. */
export class EngineError extends Error {}

export class DockerClient {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: connectionsMax });
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  close(): void {
    this.#agent.destroy();
  }

  /** Whole answer, parsed where it is JSON. */
  async call<T = unknown>(method: string, path: string, body?: object): Promise<T> {
    const response = await this.open(method, path, body);
    return await finish<T>(response, `${method} ${path}`);
  }

  /** Resolves with the head of the answer. */
  async open(method: string, path: string, body?: object): Promise<IncomingMessage> {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    return await new Promise((resolve, reject) => {
      const headers = payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) };
      request(this.#options(method, path, headers), resolve).once('error', reject).end(payload);
    });
  }

  /** Sends an archive to `/images/load`. */
  async loadImage(archive: Buffer): Promise<void> {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = request(this.#options('POST', '/images/load?quiet=1', { 'content-type': 'application/x-tar', 'content-length': archive.length }), resolve);
      outgoing.once('error', reject);
      Readable.from([archive]).pipe(outgoing);
    });
    const answer = await text(response);
    if (response.statusCode !== 200 || answer.includes('"error"')) throw new EngineError(`load: ${response.statusCode} ${answer}`);
  }

  /** Create, wait (opened before the start, as the docker CLI does), start, the wait's answer, remove. Milliseconds by step. */
  async lifecycle(settings: object): Promise<{ create: number; start: number; wait: number; remove: number; total: number }> {
    const began = performance.now();
    const { Id } = await this.call<{ Id: string }>('POST', '/containers/create', settings);
    const created = performance.now();
    const waiting = await this.open('POST', `/containers/${Id}/wait?condition=next-exit`);
    await this.call('POST', `/containers/${Id}/start`);
    const started = performance.now();
    const { StatusCode } = await finish<{ StatusCode: number }>(waiting, 'wait');
    const ended = performance.now();
    await this.call('DELETE', `/containers/${Id}`);
    const removed = performance.now();
    if (StatusCode !== 0) throw new EngineError(`the container ended with ${StatusCode}`);
    return { create: created - began, start: started - created, wait: ended - started, remove: removed - ended, total: removed - began };
  }

  /** Exec create, start (attached, upgraded as the docker CLI does) until its end, inspect. Milliseconds by step. */
  async exec(containerId: string, args: readonly string[]): Promise<{ create: number; run: number; inspect: number; total: number }> {
    const began = performance.now();
    const { Id } = await this.call<{ Id: string }>('POST', `/containers/${containerId}/exec`, { AttachStdout: true, AttachStderr: true, Cmd: args });
    const created = performance.now();
    await this.#runAttached(Id);
    const ran = performance.now();
    const { ExitCode, Running } = await this.call<{ ExitCode: number | null; Running: boolean }>('GET', `/exec/${Id}/json`);
    const inspected = performance.now();
    if (ExitCode !== 0 || Running) throw new EngineError(`the exec ended with ${String(ExitCode)}, running: ${Running}`);
    return { create: created - began, run: ran - created, inspect: inspected - ran, total: inspected - began };
  }

  async #runAttached(execId: string): Promise<void> {
    const payload = JSON.stringify({ Detach: false, Tty: false });
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload), connection: 'Upgrade', upgrade: 'tcp' };
    await new Promise<void>((resolve, reject) => {
      // A connection that was upgraded cannot be used again: it is no business of the kept ones.
      const outgoing = request({ ...this.#options('POST', `/exec/${execId}/start`, headers), agent: false });
      outgoing.once('error', reject);
      outgoing.once('upgrade', (_response, socket: Socket) => {
        socket.once('error', reject).once('end', () => socket.end()).once('close', () => resolve()).resume();
      });
      outgoing.once('response', (response) => {
        void text(response).then((words) => reject(new EngineError(`exec start: ${response.statusCode} ${words}`)), reject);
      });
      outgoing.end(payload);
    });
  }

  #options(method: string, path: string, headers: Record<string, string | number>): RequestOptions {
    return { socketPath: this.#socketPath, agent: this.#agent, method, path, headers: { host: 'bench', ...headers } };
  }
}

async function finish<T>(response: IncomingMessage, what: string): Promise<T> {
  const body = await text(response);
  const status = response.statusCode ?? 0;
  if (status >= 300) throw new EngineError(`${what}: ${status} ${body.slice(0, 500)}`);
  return (body === '' ? undefined : JSON.parse(body)) as T;
}
