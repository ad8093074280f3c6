// Connections that stop being HTTP: attach and exec. Upgraded requests (`Connection: Upgrade`) and plain ones end up in the same
// route handlers; `takeOver` then gives them the raw connection. Node gives an upgraded request without its body, so it is read here.
import { Readable, type Duplex } from 'node:stream';
import { ServerResponse, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { bodyLimitBytes } from './body.ts';

interface Upgraded {
  readonly socket: Duplex;
  /** Bytes that came after the body: the first of the input. */
  readonly rest: Buffer;
}

const upgraded = new WeakMap<object, Upgraded>();

/** Connections taken over and not yet ended; the server cannot close them by itself. */
export class Hijacked {
  readonly #sockets = new Set<Duplex>();

  get count(): number {
    return this.#sockets.size;
  }

  add(socket: Duplex): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }

  closeAll(): void {
    for (const socket of [...this.#sockets]) socket.destroy();
  }
}

/** Hands a server's upgraded requests to `handler` with their bodies, as if they were plain ones. */
export function serveUpgrades(server: Server, handler: RequestListener): void {
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // Without a listener an error of the connection would end the process; the connection is gone either way.
    socket.on('error', () => socket.destroy());
    readBody(request, socket, head, ({ body, rest, tooLarge }) => {
      const whole = asRequest(request, socket, body, tooLarge);
      upgraded.set(whole, { socket, rest });
      const response = new ServerResponse(whole);
      response.assignSocket(socket as never);
      response.shouldKeepAlive = false;
      // A route that does not take it over has answered: an upgraded connection is of no further use.
      response.once('finish', () => {
        response.detachSocket(socket as never);
        socket.end();
      });
      void handler(whole, response);
    });
  });
}

interface Body {
  readonly body: Buffer;
  readonly rest: Buffer;
  readonly tooLarge: boolean;
}

function readBody(request: IncomingMessage, socket: Duplex, head: Buffer, done: (body: Body) => void): void {
  const length = Number(request.headers['content-length'] ?? 0);
  if (!(length > 0)) return done({ body: Buffer.alloc(0), rest: head, tooLarge: false });
  if (length > bodyLimitBytes) return done({ body: Buffer.alloc(0), rest: Buffer.alloc(0), tooLarge: true });
  const chunks = [head];
  let have = head.length;
  const finish = (): void => {
    socket.off('data', onData);
    socket.pause();
    const all = Buffer.concat(chunks, have);
    done({ body: all.subarray(0, length), rest: all.subarray(length), tooLarge: false });
  };
  const onData = (chunk: Buffer): void => {
    chunks.push(chunk);
    have += chunk.length;
    if (have >= length) finish();
  };
  if (have >= length) return finish();
  socket.on('data', onData);
}

/** What of a request the router and the handlers look at, with the body to be read. */
function asRequest(request: IncomingMessage, socket: Duplex, body: Buffer, tooLarge: boolean): IncomingMessage {
  const readable = tooLarge ? Readable.from([]) : Readable.from(body.length === 0 ? [] : [body]);
  const { method, url, headers, rawHeaders, httpVersion, httpVersionMajor, httpVersionMinor } = request;
  return Object.assign(readable, { method, url, headers, rawHeaders, httpVersion, httpVersionMajor, httpVersionMinor, socket, connection: socket, complete: true, aborted: false }) as unknown as IncomingMessage;
}

/** Whether this request asked for an upgrade. */
export const isUpgrade = (request: FastifyRequest): boolean => upgraded.has(request.raw);

/**
 * Answers with 101 (upgraded) or 200 and gives the raw connection, on which nothing of HTTP happens any more. The caller owns it:
 * it must destroy it in the end.
 */
export function takeOver(request: FastifyRequest, reply: FastifyReply, contentType: string, hijacked: Hijacked): Duplex {
  reply.hijack();
  const upgrade = upgraded.get(request.raw);
  const socket: Duplex = upgrade?.socket ?? request.raw.socket;
  reply.raw.removeAllListeners('finish');
  reply.raw.detachSocket(socket as never);
  if (upgrade === undefined) leaveHttp(socket);
  hijacked.add(socket);
  socket.on('error', () => socket.destroy());
  const line = upgrade === undefined ? 'HTTP/1.1 200 OK' : 'HTTP/1.1 101 UPGRADED';
  const more = upgrade === undefined ? 'Connection: close\r\n' : 'Connection: Upgrade\r\nUpgrade: tcp\r\n';
  socket.write(`${line}\r\nContent-Type: ${contentType}\r\n${more}Api-Version: ${String(reply.getHeader('api-version') ?? '')}\r\n\r\n`);
  if (upgrade !== undefined && upgrade.rest.length > 0) socket.unshift(upgrade.rest);
  return socket;
}

/** Takes Node's HTTP parser off a connection, as Node itself does for upgraded ones. Its `close` listener stays: it frees the parser. */
function leaveHttp(socket: Duplex): void {
  const nothing = (): void => undefined;
  // Listening for `readable` makes Node hand the bytes to the stream instead of straight to its parser.
  socket.on('readable', nothing);
  for (const event of ['data', 'end', 'drain', 'timeout', 'error', 'readable']) socket.removeAllListeners(event);
  (socket as Duplex & { setTimeout?: (ms: number) => void }).setTimeout?.(0);
}
