// Reads the output of an exec from FIFOs. Opened before the process exists, so nothing of it is missed and no thread waits.
import { closeSync, constants, open, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { promisify } from 'node:util';

const openFile = promisify(open);

/** A FIFO open for reading, with a writing end of our own that keeps it from ending before the process has it. */
export class FifoReader {
  readonly socket: Socket;
  #keeper: number | null;

  private constructor(socket: Socket, keeper: number) {
    this.socket = socket;
    this.#keeper = keeper;
  }

  static async open(path: string): Promise<FifoReader> {
    const fd = await openFile(path, constants.O_RDONLY | constants.O_NONBLOCK);
    // There is a reader now, so this neither waits nor fails.
    const keeper = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    return new FifoReader(new Socket({ fd, readable: true, writable: false }), keeper);
  }

  /** The process has opened it: from here on it ends when the process and its children have closed it. */
  release(): void {
    if (this.#keeper !== null) closeSync(this.#keeper);
    this.#keeper = null;
  }

  close(): void {
    this.release();
    this.socket.destroy();
  }
}
