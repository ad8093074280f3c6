// Who asks, as the log remembers it: what the gate has found out.
import type { FastifyRequest } from 'fastify';
import { admittedAs } from '../access/gate.ts';

/** `local` on the unix socket; `tls:` and the certificate's CN; `token:` and its name; `tcp:` and the address of a plain connection. */
export function actorOf(request: FastifyRequest): string {
  return admittedAs(request).actor;
}
