// Carries bytes both ways between a client's connection and a host's pipe, with the pace of the slower one, half-closes and all.
import type { Duplex } from 'node:stream';
import { closeSoon } from './hijack.ts';

export interface BridgeOptions {
  /** Whether what the client sends is input; else it is read and dropped, so that its going away is noticed. */
  readonly input: boolean;
  /** Awaited between the output's end and telling the client of it. Must not reject. */
  readonly beforeEnd?: () => Promise<void>;
}

/** How often a client that has ended its side is looked at. */
const probeMs = 2_000;

/** Joins them until the answer has ended or one side breaks; then both are closed. Never rejects. */
export async function bridge(client: Duplex, pipe: Duplex, { input, beforeEnd }: BridgeOptions): Promise<void> {
  const closed = Promise.withResolvers<void>();
  // Gone while the host was asked: its end has been told already, to nobody.
  if (client.destroyed) {
    pipe.destroy();
    return;
  }
  // The other side's error is told by its owner (the pipe's trailer) or concerns nobody (a client that has gone).
  pipe.on('error', () => pipe.destroy());
  client.on('error', () => client.destroy());
  client.once('close', () => {
    pipe.destroy();
    closed.resolve();
  });
  noticeGoing(client);
  const over = async (): Promise<void> => {
    await beforeEnd?.();
    client.unpipe(pipe); // input that still comes has nowhere to go
    if (!client.destroyed) closeSoon(client);
  };
  pipe.once('end', () => void over());
  pipe.once('close', () => { if (!pipe.readableEnded) void over(); });
  if (input) client.pipe(pipe);
  else {
    client.resume();
    pipe.end();
  }
  pipe.pipe(client, { end: false });
  await closed.promise;
}

/**
 * A client that has only ended its input waits for output; one that has gone looks the same as long as there is no output. Writing nothing
 * tells them apart on a unix socket: the kernel refuses it where the other end is closed.
 */
function noticeGoing(client: Duplex): void {
  client.once('end', () => {
    const timer = setInterval(() => { if (client.writable && client.writableLength === 0) client.write(Buffer.alloc(0)); }, probeMs);
    client.once('close', () => clearInterval(timer));
  });
}
