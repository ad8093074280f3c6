// Speaks to a machine's monitor through its socket: one request, one answer, with a time limit. It must not keep a connection that it has no use for.
import { connect, type Socket } from 'node:net';
import { Failure, hasCode } from './failure.ts';
import { encodeFrame, FrameReader, type Frame } from './protocol/frames.ts';
import { op } from './protocol/ops.ts';

/** What the guest or the monitor refused: `errno` of Linux. */
export class Refused extends Error {
  readonly code = 'refused';
  readonly retryable = false;
  readonly errno: number;

  constructor(errno: number, text: string) {
    super(text);
    this.errno = errno;
  }
}

const defaultTimeoutMs = 10_000;

export class MonitorClient {
  readonly #socket: Socket;
  readonly #reader = new FrameReader();
  #expect: { readonly wanted: number; readonly settle: (frame: Frame | Error) => void } | undefined;
  #ended: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (piece) => {
      try {
        for (const frame of this.#reader.push(piece as Buffer)) this.#take(frame);
      } catch (error) {
        this.#end(error as Error);
      }
    });
    socket.on('error', (error) => this.#end(error));
    socket.on('close', () => this.#end(new Error('the monitor closed the connection')));
  }

  /** Undefined when nobody listens: the machine has ended. */
  static async connect(path: string): Promise<MonitorClient | undefined> {
    const socket = connect(path);
    const opened = await new Promise<true | Error>((settle) => {
      socket.once('connect', () => settle(true));
      socket.once('error', settle);
    });
    if (opened === true) return new MonitorClient(socket);
    if (hasCode(opened, 'ENOENT', 'ECONNREFUSED', 'ENOTDIR')) return undefined;
    throw new Failure('machine', `the machine's monitor cannot be reached: ${opened.message}`, { cause: opened });
  }

  /** Sends frames and waits for the answer. Throws Refused, or Failure at the time limit or when the monitor goes. */
  async ask(frames: readonly { readonly op: number; readonly id?: number; readonly payload?: Buffer }[], wanted: number, timeoutMs: number = defaultTimeoutMs): Promise<Frame> {
    let timer: NodeJS.Timeout | undefined;
    const answer = await new Promise<Frame | Error>((settle) => {
      if (this.#ended !== undefined) return settle(this.#ended);
      this.#expect = { wanted, settle };
      timer = setTimeout(() => settle(new Failure('machine', `the machine did not answer within ${timeoutMs} ms`, { retryable: true })), timeoutMs);
      for (const { op: operation, id = 0, payload } of frames) this.#socket.write(encodeFrame(operation, id, payload));
    });
    clearTimeout(timer);
    this.#expect = undefined;
    if (answer instanceof Failure || answer instanceof Refused) throw answer;
    if (answer instanceof Error) throw new Failure('machine', `container not running: ${answer.message}`, { cause: answer });
    return answer;
  }

  #take(frame: Frame): void {
    if (frame.op === op.error && frame.payload.length >= 8) this.#expect?.settle(new Refused(frame.payload.readUInt32LE(0), frame.payload.subarray(8, 8 + 1024).toString('utf8')));
    else if (frame.op === this.#expect?.wanted) this.#expect.settle(frame);
  }

  #end(error: Error): void {
    this.#ended ??= error;
    this.#expect?.settle(this.#ended);
    this.#socket.destroy();
  }

  close(): void {
    this.#socket.destroy();
  }
}
