// What can go wrong with a machine outside this process. It must not import anything: create and exec load it on every call.

export type MachineErrorCode =
  | 'bad-kernel' | 'unknown-kernel' | 'kernel-exists' | 'bad-name' | 'missing-program' | 'program-failed'
  | 'qmp-failed' | 'qmp-timeout' | 'no-acceleration' | 'bad-rootfs' | 'too-many-disks';

/** An operating error: `code` is for programs, `message` a sentence for a person; `retryable`: the same call may go through later. */
export class MachineError extends Error {
  readonly code: MachineErrorCode;
  readonly retryable: boolean;

  constructor(code: MachineErrorCode, message: string, options: { readonly retryable?: boolean; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'MachineError';
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}

/** Never reached while the switch before it names every case. */
export function assertNever(value: never): never {
  throw new TypeError(`unexpected value ${JSON.stringify(value)}`);
}
