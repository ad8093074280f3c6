// HTTP/1.1 on a unix socket with next to nothing in between: at thousands of requests a second an ordinary client would cost more than what is measured.
// One request at a time on a connection that stays; answers with a content-length only.
import { connect, type Socket } from 'node:net';

export type RawAnswer = { readonly status: number; readonly body: string };

export class RawConnection {
  readonly #socket: Socket;
  #received = '';
  #waiting: PromiseWithResolvers<RawAnswer> | null = null;

  constructor(socketPath: string) {
    this.#socket = connect({ path: socketPath });
    this.#socket.setEncoding('latin1');
    this.#socket.on('data', (text: unknown) => { this.#take(String(text)); });
    const fail = (error: Error): void => { this.#waiting?.reject(error); };
    this.#socket.on('error', fail).on('close', () => { fail(new Error('the server closed the connection')); });
  }

  async post(path: string, body: string): Promise<RawAnswer> {
    this.#waiting = Promise.withResolvers<RawAnswer>();
    this.#socket.write(`POST ${path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    return await this.#waiting.promise;
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(text: string): void {
    this.#received += text;
    const head = this.#received.indexOf('\r\n\r\n');
    if (head < 0) return;
    const length = Number(/^content-length: (\d+)\r$/im.exec(this.#received.slice(0, head + 1))?.[1] ?? Number.NaN);
    if (Number.isNaN(length)) return this.#waiting?.reject(new Error(`an answer without content-length:\n${this.#received.slice(0, head)}`));
    if (this.#received.length < head + 4 + length) return;
    const answer = { status: Number(this.#received.slice(9, 12)), body: this.#received.slice(head + 4, head + 4 + length) };
    this.#received = this.#received.slice(head + 4 + length);
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.resolve(answer);
  }
}
