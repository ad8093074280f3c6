// A host's pipe as the body of an answer, at the client's pace. Knows no endpoint.
import type { FastifyReply } from 'fastify';
import type { HostPipeName } from '@pouch/contracts';
import type { ClientPipe } from '@pouch/pipes';

/** Sends a pipe's output as the answer's body; a pipe that breaks cuts the connection, so that nobody takes the part for the whole. */
export async function sendPipe(reply: FastifyReply, pipe: ClientPipe<HostPipeName>, contentType: string, onBroken: (error: unknown) => void): Promise<void> {
  reply.hijack();
  const { raw } = reply;
  for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) raw.setHeader(name, value);
  raw.writeHead(200, { 'content-type': contentType });
  raw.flushHeaders();
  pipe.end();
  pipe.on('error', () => pipe.destroy());
  raw.once('close', () => pipe.destroy());
  pipe.pipe(raw, { end: false });
  try {
    await pipe.trailer;
    if (!pipe.readableEnded) await new Promise<void>((resolve) => { pipe.once('end', resolve).once('close', resolve); });
    raw.end();
  } catch (error) {
    if (!raw.destroyed) onBroken(error);
    raw.destroy();
  }
}
