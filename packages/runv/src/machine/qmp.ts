// A small client of QEMU's Machine Protocol: one command after the other, each with a time limit.
// QEMU may be in the hands of a hostile guest: what it says is bounded, and it can only make a command fail.
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { MachineError } from './errors.ts';

const maxReplyBytes = 1 << 20;
const defaultTimeoutMs = 5_000;

type Reply = { readonly return?: unknown; readonly error?: { readonly class?: string; readonly desc?: string }; readonly id?: number };
type Waiting = { readonly id: number; readonly settle: (reply: Reply | Error) => void };

export type RunState = 'running' | 'paused' | 'prelaunch' | 'inmigrate' | 'postmigrate' | 'finish-migrate' | 'shutdown' | 'internal-error' | 'io-error' | 'guest-panicked' | 'suspended' | 'watchdog' | 'debug' | 'save-vm' | 'restore-vm' | 'colo';

/** A connection to a QEMU's monitor. Close it: QEMU serves one client at a time. */
export class Qmp {
  readonly #socket: Socket;
  #received = '';
  #waiting: Waiting | undefined;
  #nextId = 1;
  #queue: Promise<unknown> = Promise.resolve();
  #ended: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#receive(text));
    socket.on('error', (error) => this.#end(error));
    socket.on('close', () => this.#end(new Error('the connection was closed')));
  }

  /** Connects and negotiates. Throws `qmp-failed` or `qmp-timeout`. */
  static async connect(path: string, timeoutMs: number = defaultTimeoutMs): Promise<Qmp> {
    const socket = connect(path);
    const qmp = new Qmp(socket);
    try {
      await qmp.execute('qmp_capabilities', undefined, timeoutMs); // the greeting has no id and is passed over
      return qmp;
    } catch (error) {
      qmp.close();
      throw error;
    }
  }

  /** Runs one command and returns its answer. Commands given at once run one after the other. */
  async execute(command: string, args?: Readonly<Record<string, unknown>>, timeoutMs: number = defaultTimeoutMs): Promise<unknown> {
    const turn = this.#queue.then(() => this.#send(command, args, timeoutMs));
    this.#queue = turn.catch(() => undefined); // the caller gets the error; the next command is sent all the same
    return await turn;
  }

  async #send(command: string, args: Readonly<Record<string, unknown>> | undefined, timeoutMs: number): Promise<unknown> {
    if (this.#ended !== undefined) throw new MachineError('qmp-failed', `QEMU cannot be told ${command}: ${this.#ended.message}`, { cause: this.#ended });
    const id = this.#nextId++;
    let timer: NodeJS.Timeout | undefined;
    const reply = await new Promise<Reply | Error>((settle) => {
      this.#waiting = { id, settle };
      timer = setTimeout(() => settle(new MachineError('qmp-timeout', `QEMU did not answer ${command} within ${timeoutMs} ms`, { retryable: true })), timeoutMs);
      this.#socket.write(`${JSON.stringify({ execute: command, ...(args === undefined ? {} : { arguments: args }), id })}\n`);
    });
    clearTimeout(timer);
    this.#waiting = undefined;
    if (reply instanceof MachineError) throw reply;
    if (reply instanceof Error) throw new MachineError('qmp-failed', `QEMU cannot be told ${command}: ${reply.message}`, { cause: reply });
    if (reply.error !== undefined) throw new MachineError('qmp-failed', `QEMU refused ${command}: ${String(reply.error.desc ?? reply.error.class).slice(0, 500)}`);
    return reply.return;
  }

  #receive(text: string): void {
    this.#received += text;
    if (this.#received.length > maxReplyBytes) return this.#end(new Error('QEMU said more than an answer can be'));
    for (let end = this.#received.indexOf('\n'); end >= 0; end = this.#received.indexOf('\n')) {
      const line = this.#received.slice(0, end);
      this.#received = this.#received.slice(end + 1);
      let reply: Reply;
      try {
        reply = JSON.parse(line) as Reply;
      } catch (error) {
        return this.#end(new Error('QEMU said something that is no JSON', { cause: error }));
      }
      if (reply.id !== undefined && reply.id === this.#waiting?.id) this.#waiting.settle(reply); // others are the greeting and events
    }
  }

  #end(error: Error): void {
    this.#ended ??= error;
    this.#waiting?.settle(this.#ended);
    this.#socket.destroy();
  }

  close(): void {
    this.#end(new Error('the connection was closed'));
  }

  async stop(): Promise<void> { await this.execute('stop'); }
  async cont(): Promise<void> { await this.execute('cont'); }
  /** Ends QEMU at once: the guest is not asked. */
  async quit(): Promise<void> { await this.execute('quit'); }

  async status(): Promise<RunState> {
    return ((await this.execute('query-status')) as { readonly status: RunState }).status;
  }

  /** Tells the guest that the image behind a drive has another size. */
  async blockResize(device: string, sizeBytes: number): Promise<void> {
    await this.execute('block_resize', { device, size: sizeBytes });
  }

  /** Sets migration capabilities, e.g. `x-ignore-shared`: memory that is a shared file stays where it is. */
  async migrationCapabilities(capabilities: Readonly<Record<string, boolean>>): Promise<void> {
    await this.execute('migrate-set-capabilities', { capabilities: Object.entries(capabilities).map(([capability, state]) => ({ capability, state })) });
  }

  /** Sends the machine's state to a unix socket that listens there, and waits for the end; the machine stands still afterwards. */
  async migrateTo(socketPath: string, timeoutMs: number): Promise<void> {
    await this.execute('migrate', { uri: `unix:${socketPath}` });
    await this.#migrated(timeoutMs);
  }

  /**
   * Takes the state in that another QEMU of the same command line sent (this one was started with `-incoming defer`), and waits for the end.
   * It is read from a file on a descriptor that QEMU has inherited: the sandbox denies it to start a program (`exec:`).
   */
  async migrateFrom(fd: number, timeoutMs: number): Promise<void> {
    await this.execute('migrate-incoming', { uri: `fd:${fd}` });
    await this.#migrated(timeoutMs);
  }

  async #migrated(timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const { status, 'error-desc': reason } = (await this.execute('query-migrate')) as { readonly status?: string; readonly 'error-desc'?: string };
      if (status === 'completed') return;
      if (status === 'failed' || status === 'cancelled') throw new MachineError('qmp-failed', `the migration ${status}: ${reason ?? 'QEMU does not say why'}`);
      if (performance.now() > deadline) throw new MachineError('qmp-timeout', `the migration did not end within ${timeoutMs} ms`);
      await delay(5);
    }
  }
}
