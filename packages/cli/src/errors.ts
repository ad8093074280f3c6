// What the CLI says when it cannot go on: one sentence, a hint where there is one, and the exit code. Knows neither HTTP nor the terminal.

/** Ends the command with `pouch: <message>` on stderr and `exitCode`. `hint` is what the person may do about it. */
export class CliError extends Error {
  readonly exitCode: number;
  readonly hint: string | null;
  constructor(message: string, options: { exitCode?: number; hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = 'CliError';
    this.exitCode = options.exitCode ?? 1;
    this.hint = options.hint ?? null;
  }
}

/** A flag or argument that cannot be understood; docker's exit code for such is 125. */
export class UsageError extends CliError {
  constructor(message: string, hint?: string) {
    super(message, hint === undefined ? { exitCode: 125 } : { exitCode: 125, hint });
    this.name = 'UsageError';
  }
}

/** The API answered with an error status; `message` is its own. */
export class ApiError extends CliError {
  readonly status: number;
  constructor(status: number, message: string, hint?: string) {
    super(message, hint === undefined ? {} : { hint });
    this.name = 'ApiError';
    this.status = status;
  }
}

/** The API could not be reached, or the connection broke. */
export class UnreachableError extends CliError {
  constructor(message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options);
    this.name = 'UnreachableError';
  }
}

/** One line for stderr, whatever was thrown. */
export function errorLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const hint = error instanceof CliError && error.hint !== null ? ` (${error.hint})` : '';
  return `pouch: ${`${message}${hint}`.replaceAll(/\s*\n\s*/g, '; ').trim()}`;
}

export const exitCodeOf = (error: unknown): number => (error instanceof CliError ? error.exitCode : 1);
