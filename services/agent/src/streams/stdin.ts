// A client's input on its way to a container: into the FIFO that the shim reads. The FIFO stays open without us, so an agent that dies ends no input.
import { closeSync, constants, open } from 'node:fs';
import { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';

const openFile = promisify(open);

/** Opens a FIFO for writing. Read-write and non-blocking: it never waits for the other side and never finds it missing. */
export async function openFifoWriter(path: string): Promise<Socket> {
  const fd = await openFile(path, constants.O_RDWR | constants.O_NONBLOCK);
  try {
    return new Socket({ fd, readable: false, writable: true });
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Carries `input` into the FIFO with back-pressure. Resolves with true at the end of the input, false when `signal` cut it short. */
export async function pumpInput(input: Readable, fifo: Socket, signal: AbortSignal): Promise<boolean> {
  return await new Promise<boolean>((resolve) => {
    let settled = false;
    const settle = (ended: boolean): void => {
      if (settled) return;
      settled = true;
      signal.removeEventListener('abort', aborted);
      input.off('data', data);
      input.off('end', end);
      input.off('close', closed);
      input.off('error', closed);
      if (!ended) fifo.destroy();
      resolve(ended);
    };
    const aborted = (): void => settle(false);
    const closed = (): void => settle(false);
    const data = (chunk: Buffer): void => {
      if (!fifo.write(chunk)) input.pause();
    };
    // All of it is in the FIFO before its end is told.
    const end = (): void => { fifo.end(() => settle(true)); };
    fifo.on('drain', () => { if (!settled) input.resume(); });
    fifo.on('error', closed);
    signal.addEventListener('abort', aborted, { once: true });
    if (signal.aborted) return settle(false);
    input.on('data', data);
    input.once('end', end);
    input.once('close', closed);
    input.once('error', closed);
    if (input.readableEnded) end();
  });
}
