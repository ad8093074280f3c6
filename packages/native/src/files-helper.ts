// One pouch-files: a child that reads or writes the files of one container, for one request. It must not decide which container, nor what a path means.
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { getSystemErrorName } from 'node:util';
import { decodeFileEntry, encodeFilesFrame, FilesFrames, FilesOp, type FileEntry, type FilesFrame } from './files-frames.ts';
import { filesPath } from './programs.ts';

/** What the helper enters: the root of a running process, or mounts of its own. */
export type FilesRoot =
  | { readonly kind: 'process'; readonly pid: number }
  /** Another program that speaks the same frames: for the files of a machine, which its guest serves. */
  | { readonly kind: 'program'; readonly path: string; readonly args: (way: 'read' | 'write') => readonly string[]; readonly searchPath: string }
  | {
      readonly kind: 'mount';
      readonly type: string;
      readonly source: string;
      /** Options of the file system; relative paths in them are of `directory`. */
      readonly data: string;
      readonly directory: string;
      /** Where it is mounted in the helper's own namespace: any directory. */
      readonly target: string;
      readonly readonly: boolean;
      readonly binds: readonly FilesBind[];
    };

export interface FilesBind {
  /** Of the host. */
  readonly source: string;
  /** Of the container. */
  readonly target: string;
  readonly readonly: boolean;
  readonly recursive: boolean;
}

/** `code`: the errno's name, or HELPER_DIED. */
export class FilesError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'FilesError';
    this.code = code;
  }
}

/** Frames are taken one after the other by `next`, at the taker's pace; whoever made it calls `end`. */
export class FilesHelper {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #frames: AsyncGenerator<FilesFrame, void, undefined>;
  readonly #closed: Promise<void>;
  #startError: Error | null = null;
  /** The end of what it wrote to stderr: why it could not begin. */
  #complaint = '';

  constructor(root: FilesRoot, { writing, path = filesPath }: { readonly writing: boolean; readonly path?: string }) {
    const way = writing ? 'write' : 'read';
    const [program, args, env] = root.kind === 'program' ? [root.path, root.args(way), { PATH: root.searchPath }] : [path, [way, ...rootArguments(root)], {}];
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], cwd: '/', env });
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => { this.#complaint = (this.#complaint + text).slice(-maxComplaint); });
    this.#closed = new Promise((resolve) => {
      this.#child.once('close', () => resolve());
      this.#child.once('error', (error) => {
        this.#startError = error;
        if (this.#child.pid === undefined) resolve();
      });
    });
    // What it could not be told is told by its output's end.
    this.#child.stdin.on('error', () => undefined);
    this.#frames = this.#read();
  }

  /** The child's process id. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** The next frame; the helper's own error is thrown, and so is its end where more was to come. */
  async next(): Promise<FilesFrame> {
    const { value } = await this.#frames.next();
    if (value === undefined) {
      if (this.#startError !== null) throw new FilesError('HELPER_DIED', `pouch-files could not be started: ${this.#startError.message}`, { cause: this.#startError });
      await this.#closed; // with its last words
      throw new FilesError('HELPER_DIED', this.#complaint.trim().split('\n').at(-1) || 'pouch-files has ended');
    }
    if (value.op === FilesOp.error) throw errorOf(value.payload);
    return value;
  }

  /** The next frame, which must be this one. */
  async expect(op: FilesOp): Promise<Buffer> {
    const frame = await this.next();
    if (frame.op !== op) throw new FilesError('HELPER_DIED', `pouch-files answered with ${frame.op} instead of ${op}`);
    return frame.payload;
  }

  async expectEntry(op: FilesOp): Promise<FileEntry> {
    return entryOf(await this.expect(op));
  }

  /** Sends a frame and waits while the helper is slow. What it cannot take any more, `next` tells why. */
  async send(op: FilesOp, payload?: Uint8Array): Promise<void> {
    const { stdin } = this.#child;
    if (stdin.destroyed || stdin.write(encodeFilesFrame(op, payload))) return;
    await Promise.race([once(stdin, 'drain').catch(() => undefined), this.#closed]);
  }

  /** Ends the child, whatever it is at, and resolves when it is gone: then nothing of it is left. `abort`: at once; else it may clean up after itself, for at most `patienceMs`. */
  async end({ abort = false, patienceMs = cleanUpMs }: { readonly abort?: boolean; readonly patienceMs?: number } = {}): Promise<void> {
    this.#child.stdin.end();
    this.#child.stdout.destroy();
    const timer = abort ? undefined : setTimeout(() => this.#child.kill('SIGKILL'), patienceMs);
    if (abort) this.#child.kill('SIGKILL');
    await this.#closed;
    clearTimeout(timer);
  }

  async *#read(): AsyncGenerator<FilesFrame, void, undefined> {
    const frames = new FilesFrames();
    try {
      for await (const chunk of this.#child.stdout as AsyncIterable<Buffer>) yield* frames.push(chunk);
    } catch (cause) {
      throw new FilesError('HELPER_DIED', 'what pouch-files says cannot be read', { cause });
    }
  }
}

/** A helper whose input has ended takes a half file away and ends; one that hangs in the kernel is not waited for longer. */
const cleanUpMs = 5_000;
const maxComplaint = 2_000;

function rootArguments(root: Exclude<FilesRoot, { kind: 'program' }>): string[] {
  if (root.kind === 'process') return ['process', String(root.pid)];
  const access = (readonly: boolean): string => (readonly ? 'ro' : 'rw');
  return ['mount', root.type, root.source, root.data, root.directory, root.target, access(root.readonly),
    ...root.binds.flatMap((bind) => [bind.source, bind.target, access(bind.readonly), bind.recursive ? 'recursive' : 'single'])];
}

export function entryOf(payload: Buffer): FileEntry {
  const entry = decodeFileEntry(payload);
  if (entry === null) throw new FilesError('HELPER_DIED', 'pouch-files told of a file in a form that cannot be read');
  return entry;
}

function errorOf(payload: Buffer): FilesError {
  const errno = payload.length >= 4 ? payload.readUInt32LE(0) : 0;
  return new FilesError(errno === 0 ? 'EIO' : getSystemErrorName(-errno), payload.toString('utf8', 4));
}
