// Who asks, as the log remembers it: the subject of a verified client certificate, else where the connection came from.
import type { TLSSocket } from 'node:tls';
import type { FastifyRequest } from 'fastify';

/** `CN` of the client's certificate; `local` on the unix socket; the address of a plain TCP connection. */
export function actorOf(request: FastifyRequest): string {
  const socket = request.raw.socket as Partial<TLSSocket>;
  if (socket.authorized === true && socket.getPeerCertificate !== undefined) {
    const { subject } = socket.getPeerCertificate();
    const name = subject?.CN;
    return `tls:${(Array.isArray(name) ? name.join(',') : name) ?? 'unnamed'}`.slice(0, 200);
  }
  return socket.remoteAddress === undefined ? 'local' : `tcp:${socket.remoteAddress}`;
}
