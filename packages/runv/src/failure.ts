// The one kind of error that runv's verbs end with: a sentence for whoever called, told to stderr or to --log. It must not import anything.

export type FailureCode = 'usage' | 'bad-spec' | 'unsupported' | 'exists' | 'does-not-exist' | 'wrong-state' | 'machine' | 'hook' | 'network' | 'cgroup';

/** `message` reaches the user through containerd, conmon or Docker; some callers look for runc's very words in it. */
export class Failure extends Error {
  readonly code: FailureCode;
  readonly retryable: boolean;

  constructor(code: FailureCode, message: string, options: { readonly cause?: unknown; readonly retryable?: boolean } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'Failure';
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Whether it is an error of the system with this code, e.g. `ENOENT`. */
export const hasCode = (error: unknown, ...codes: readonly string[]): boolean => error instanceof Error && 'code' in error && codes.includes(String(error.code));
