// Client of pouch-sys, a child process that makes FIFOs and network namespaces. It must not decide where they are made.
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { getSystemErrorName } from 'node:util';
import { sysPath } from './programs.ts';

/** A call that failed: `code` is the errno's name, or one of HELPER_{DIED,TIMEOUT,BUSY,CLOSED}. */
export class SysError extends Error {
  readonly code: string;
  /** Whether the same call may succeed later; after HELPER_DIED and HELPER_TIMEOUT it may also have been done. */
  readonly retryable: boolean;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'SysError';
    this.code = code;
    this.retryable = code.startsWith('HELPER_') && code !== 'HELPER_CLOSED';
  }
}

export type SysHelperOptions = {
  readonly path?: string;
  /** How long one call may take, in the queue and at work; the helper is ended and started anew when it takes longer. */
  readonly timeoutMs?: number;
  /** Calls under way at once; more are refused with HELPER_BUSY. */
  readonly maxPending?: number;
};

type Child = ChildProcessByStdio<Writable, Readable, null>;
type Pending = { readonly what: string; readonly resolve: () => void; readonly reject: (error: SysError) => void; readonly timer: NodeJS.Timeout };

const answerMax = 64 * 1024;

function errnoName(errno: string | undefined): string {
  try {
    return getSystemErrorName(-Number(errno));
  } catch {
    return 'EUNKNOWN'; // a number that this Node has no name for
  }
}

/** One pouch-sys child, started at the first call and again after it died. Its owner calls `close`. */
export class SysHelper {
  readonly #path: string;
  readonly #timeoutMs: number;
  readonly #maxPending: number;
  readonly #pending = new Map<number, Pending>();
  #child: Child | undefined;
  #nextNumber = 1;
  #closed = false;

  constructor(options: SysHelperOptions = {}) {
    this.#path = options.path ?? sysPath;
    this.#timeoutMs = options.timeoutMs ?? 15_000;
    this.#maxPending = options.maxPending ?? 1_024;
  }

  /** The child's process id while it runs. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Makes a FIFO; EEXIST when something is there. */
  async mkfifo(path: string, mode = 0o600): Promise<void> {
    await this.#call('mkfifo', path, mode.toString(8));
  }

  /** Makes a network namespace with lo up, kept at `path`, whose directory exists; EEXIST when something is there. */
  async addNetns(path: string): Promise<void> {
    await this.#call('netns-add', path);
  }

  /** Removes a network namespace and its file; nothing there is no error. */
  async deleteNetns(path: string): Promise<void> {
    await this.#call('netns-del', path);
  }

  /** Detaches every mount on `path`; nothing there is no error. */
  async unmount(path: string): Promise<void> {
    await this.#call('umount', path);
  }

  /** Refuses further calls, lets the ones under way finish and waits until the child has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.stdin.end();
    const timer = setTimeout(() => child.kill('SIGKILL'), this.#timeoutMs);
    await exited;
    clearTimeout(timer);
  }

  async #call(verb: string, ...args: string[]): Promise<void> {
    const what = `${verb} ${args[0] ?? ''}`;
    if (this.#closed) throw new SysError('HELPER_CLOSED', `${what}: the helper is closed`);
    if (this.#pending.size >= this.#maxPending) throw new SysError('HELPER_BUSY', `${what}: ${this.#maxPending} calls are under way`);
    const child = this.#child ?? this.#start();
    const number = this.#nextNumber++;
    const line = `${[number, verb, ...args.map(encodeURIComponent)].join('\t')}\n`;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => this.#lose(child, 'HELPER_TIMEOUT', `did not answer within ${this.#timeoutMs} ms`), this.#timeoutMs);
      this.#pending.set(number, { what, resolve, reject, timer });
      child.stdin.write(line);
    });
  }

  #start(): Child {
    const child = spawn(this.#path, [], { stdio: ['pipe', 'pipe', 'ignore'], cwd: '/', env: {} });
    let rest = '';
    child.stdout.setEncoding('latin1');
    child.stdout.on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > answerMax) this.#lose(child, 'HELPER_DIED', 'answered nonsense');
      for (const line of lines) this.#settle(line);
    });
    // A broken pipe is followed by 'exit', which settles what is pending.
    child.stdin.on('error', () => undefined);
    child.once('error', (cause) => this.#lose(child, 'HELPER_DIED', 'could not be started', cause));
    child.once('close', (code, signal) => this.#lose(child, 'HELPER_DIED', `ended (${signal ?? code})`));
    this.#child = child;
    return child;
  }

  #settle(line: string): void {
    const [number, errno, failed] = line.split('\t');
    const pending = this.#pending.get(Number(number));
    if (pending === undefined) return;
    this.#pending.delete(Number(number));
    clearTimeout(pending.timer);
    if (errno === '0') return pending.resolve();
    const code = errnoName(errno);
    pending.reject(new SysError(code, `${pending.what}: ${failed ?? 'it'} failed with ${code}`));
  }

  /** Gives a child up. Calls are answered in order, so when one is stuck all behind it are. */
  #lose(child: Child, code: string, reason: string, cause?: Error): void {
    if (this.#child !== child) return;
    this.#child = undefined;
    child.kill('SIGKILL');
    const lost = [...this.#pending.values()];
    this.#pending.clear();
    for (const { what, reject, timer } of lost) {
      clearTimeout(timer);
      reject(new SysError(code, `${what}: pouch-sys ${reason}`, cause === undefined ? undefined : { cause }));
    }
  }
}
