// Operating errors: what can go wrong outside this process. Refusals are values of the domain; programmers' errors are left to crash.

/** Something outside failed. `code` is stable and for programs; `retryable`: the same call may go through later. */
export class OperatingError extends Error {
  readonly code: string;
  readonly retryable: boolean;

  constructor(code: string, message: string, options: { readonly retryable?: boolean; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}

/** The text of whatever was thrown, for a message to a person. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
