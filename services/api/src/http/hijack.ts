// Connections that stop being HTTP: attach and exec. Upgraded requests (`Connection: Upgrade`) and plain ones end up in the same
// route handlers; `takeOver` then gives them the raw connection. Node gives an upgraded request without its body, so it is read here.
import { Readable, type Duplex } from 'node:stream';
import { ServerResponse, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { bodyLimitBytes } from './body.ts';

/** A client that does not close its side after it has been sent the answer's end is cut after this. */
const lingerMs = 2_000;
/** A client that has not taken the last of an answer after this is cut. A slow one, or one that stops for a while, is to have it all. */
const lastBytesMs = 600_000;
/** A client that does not send the body that it has announced is cut after this. */
const bodyTimeMs = 30_000;

/** The connections of upgraded requests. */
const upgraded = new WeakMap<object, Duplex>();

/** Connections taken over and not yet ended; the server cannot close them by itself. */
export class Hijacked {
  readonly #sockets = new Set<Duplex>();

  get count(): number {
    return this.#sockets.size;
  }

  add(socket: Duplex): void {
    if (this.#sockets.has(socket)) return;
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }

  closeAll(): void {
    for (const socket of [...this.#sockets]) socket.destroy();
  }
}

/** Hands a server's upgraded requests to `handler` with their bodies, as if they were plain ones. */
export function serveUpgrades(server: Server, handler: RequestListener, hijacked: Hijacked): void {
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    hijacked.add(socket);
    // Without a listener an error of the connection would end the process; the connection is gone either way.
    socket.on('error', () => socket.destroy());
    if (request.headers['transfer-encoding'] !== undefined) {
      // Where such a body ends, input begins: only a length tells them apart.
      socket.write('HTTP/1.1 411 Length Required\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{"message":"Content-Length: an upgraded request needs one for its body"}');
      return closeSoon(socket);
    }
    readBody(request, socket, head, ({ body, rest, tooLarge }) => {
      // What came after the body is the first of the input. It goes back at once: a stream that has told its end takes nothing back.
      socket.pause();
      if (rest.length > 0) socket.unshift(rest);
      const whole = asRequest(request, socket, body, tooLarge);
      upgraded.set(whole, socket);
      const response = new ServerResponse(whole);
      response.assignSocket(socket as never);
      response.shouldKeepAlive = false;
      // A route that does not take it over has answered: an upgraded connection is of no further use.
      response.once('finish', () => {
        response.detachSocket(socket as never);
        closeSoon(socket);
      });
      void handler(whole, response);
    });
  });
}

/** Ends our side, and the connection when the client has ended its own or has been given the time to. */
export function closeSoon(socket: Duplex): void {
  // What still comes is read: a connection that is closed over unread bytes is reset, and the answer with it.
  socket.resume();
  socket.end();
  let timer = setTimeout(() => socket.destroy(), lastBytesMs);
  const linger = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => socket.destroy(), lingerMs);
  };
  if (socket.writableFinished) linger();
  else socket.once('finish', linger);
  socket.once('close', () => clearTimeout(timer));
  const destroyWhenSent = (): void => {
    if (socket.writableFinished) socket.destroy();
    else socket.once('finish', () => socket.destroy());
  };
  if (socket.readableEnded) destroyWhenSent();
  else socket.once('end', destroyWhenSent);
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
  const timer = setTimeout(() => socket.destroy(), bodyTimeMs);
  socket.once('close', () => clearTimeout(timer));
  const finish = (): void => {
    clearTimeout(timer);
    socket.off('data', onData).off('end', onEnd);
    const all = Buffer.concat(chunks, have);
    done({ body: all.subarray(0, length), rest: all.subarray(length), tooLarge: false });
  };
  const onData = (chunk: Buffer): void => {
    chunks.push(chunk);
    have += chunk.length;
    if (have >= length) finish();
  };
  // Half a body, and there will be no more.
  const onEnd = (): void => { socket.destroy(); };
  if (have >= length) return finish();
  socket.on('data', onData).on('end', onEnd);
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
  const socket: Duplex = upgrade ?? request.raw.socket;
  reply.raw.removeAllListeners('finish');
  reply.raw.detachSocket(socket as never);
  if (upgrade === undefined) leaveHttp(socket);
  hijacked.add(socket);
  socket.on('error', () => socket.destroy());
  const line = upgrade === undefined ? 'HTTP/1.1 200 OK' : 'HTTP/1.1 101 UPGRADED';
  const more = upgrade === undefined ? 'Connection: close\r\n' : 'Connection: Upgrade\r\nUpgrade: tcp\r\n';
  socket.write(`${line}\r\nContent-Type: ${contentType}\r\n${more}Api-Version: ${String(reply.getHeader('api-version') ?? '')}\r\n\r\n`);
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
