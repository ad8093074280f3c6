// Whether whoever asked is still there: what is done only for a client that has gone is not done.
import type { FastifyReply } from 'fastify';

/** The client closed its connection before it was answered; nobody is there to be told. */
export class ClientGone extends Error {
  readonly code = 'client-gone';
}

/** Aborted when the client goes away before its answer is complete. */
export function clientGone(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  const { raw } = reply;
  if (raw.destroyed || raw.closed) controller.abort(new ClientGone('the client has gone'));
  else raw.once('close', () => { if (!raw.writableFinished) controller.abort(new ClientGone('the client has gone')); });
  return controller.signal;
}
