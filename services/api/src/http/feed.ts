// A client's body on its way into the pipes of hosts, with the pace of the slowest. Knows no endpoint.
import type { Duplex, Readable } from 'node:stream';

/** Writes the input into every pipe at the pace of the slowest. A pipe that breaks is left out; its trailer tells why. Never rejects. */
export async function feed(input: Readable, pipes: readonly Duplex[], signal: AbortSignal): Promise<void> {
  const open = () => pipes.filter((pipe) => !pipe.destroyed && !pipe.writableEnded);
  try {
    for await (const chunk of input.iterator({ destroyOnReturn: false })) {
      const waiting = open();
      if (waiting.length === 0 || signal.aborted) {
        // Nobody wants the rest; it is read all the same, for a connection closed over unread bytes loses the answer.
        input.resume();
        return;
      }
      await Promise.all(waiting.map(async (pipe) => { if (!pipe.write(chunk)) await room(pipe); }));
    }
    for (const pipe of open()) pipe.end();
  } catch (error) {
    // The client broke off: half an archive must not be taken for a whole one.
    for (const pipe of open()) pipe.destroy(error instanceof Error ? error : undefined);
  }
}

function room(pipe: Duplex): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      pipe.off('drain', done).off('close', done);
      resolve();
    };
    pipe.once('drain', done).once('close', done);
    if (pipe.destroyed) done();
  });
}
