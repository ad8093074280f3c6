// Carries bytes between a hijacked connection and the caller's stdin, stdout and stderr, each as fast as the slower side. Knows no endpoint.
import { Demultiplexer } from '../engine/frames.ts';
import { isSystemError, type Hijacked } from '../engine/client.ts';
import { UnreachableError } from '../errors.ts';
import { DetachKeys } from './detach-keys.ts';

export interface PumpPlan {
  /** Send the caller's stdin; its end half-closes the connection. */
  readonly stdin: boolean;
  /** The container has a terminal: output is raw, not framed. */
  readonly tty: boolean;
  /** Watch input for these keys; null where there is no terminal to type them at. */
  readonly detachKeys: Uint8Array | null;
  /** Sent when stdin ends: what a terminal takes for the end of input, where stdin is no terminal but the container's is. */
  readonly endOfInput?: Uint8Array;
}

const onward = (stream: NodeJS.WriteStream, output: NodeJS.ReadableStream, chunk: Uint8Array): void => {
  if (stream.write(chunk)) return;
  output.pause();
  stream.once('drain', () => output.resume());
};

/** Resolves when the output has ended or the detach keys were typed; rejects when the connection broke. */
export function pump(connection: Hijacked, plan: PumpPlan): Promise<'ended' | 'detached'> {
  const { promise, resolve, reject } = Promise.withResolvers<'ended' | 'detached'>();
  const { stdin, stdout, stderr } = process;
  const keys = plan.detachKeys === null ? null : new DetachKeys(plan.detachKeys);
  const frames = plan.tty ? null : new Demultiplexer((stream, chunk) => onward(stream === 'stdout' ? stdout : stderr, connection.output, chunk));

  const fail = (error: unknown) => reject(isSystemError(error) ? new UnreachableError('the connection to the API broke', { hint: 'the container goes on; pouch attach comes back to it', cause: error }) : error);
  const input = (chunk: Buffer) => {
    const { forward, detached } = keys?.push(chunk) ?? { forward: chunk, detached: false };
    if (forward.length > 0) {
      stdin.pause();
      connection.write(forward, () => !settled && stdin.resume());
    }
    if (detached) resolve('detached');
  };
  const inputEnd = () => {
    // No half-close with a terminal: servers take it for a client that has left, and send no more output.
    if (plan.endOfInput === undefined) connection.endInput();
    else connection.write(plan.endOfInput, () => undefined);
  };
  let settled = false;

  connection.output.on('data', (chunk: Buffer) => {
    try {
      if (frames === null) onward(stdout, connection.output, chunk);
      else frames.push(chunk);
    } catch (error) {
      reject(error);
    }
  });
  connection.output.once('end', () => resolve('ended'));
  connection.output.once('close', () => resolve('ended'));
  connection.output.once('error', fail);
  if (plan.stdin) {
    stdin.on('data', input);
    stdin.once('end', inputEnd);
    // Stdin may be closed, or a terminal that went away: for the container that is the end of its input.
    stdin.once('error', inputEnd);
    stdin.resume();
  }
  return promise.finally(() => {
    settled = true;
    if (plan.stdin) {
      stdin.off('data', input);
      stdin.off('end', inputEnd);
      stdin.pause();
    }
    connection.destroy();
  });
}
