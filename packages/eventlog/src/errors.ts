// What can go wrong with the log, as operating errors. What a caller can do about each stands with it.
import { OperatingError } from '@pouch/process';

/** Whether a message may have got into the log although the caller was told an error. */
export type Outcome = 'not-sent' | 'unknown';

/** The log cannot be reached now. Try again later: `retryAfterMs`. */
export class LogUnavailable extends OperatingError {
  readonly retryAfterMs: number;
  readonly outcome: Outcome;

  constructor(message: string, { cause, outcome = 'not-sent', retryAfterMs = 1_000 }: { readonly cause?: unknown; readonly outcome?: Outcome; readonly retryAfterMs?: number } = {}) {
    super('log-unavailable', message, { retryable: true, cause });
    this.outcome = outcome;
    this.retryAfterMs = retryAfterMs;
  }
}

/** Somebody else appended to the subject first: load it and decide again. */
export class ConflictError extends OperatingError {
  readonly subject: string;
  readonly expectedSeq: number;
  /** Last sequence of the subject, 0 for none; null where the server did not tell. */
  readonly headSeq: number | null;

  constructor({ subject, expectedSeq, headSeq, cause }: { readonly subject: string; readonly expectedSeq: number; readonly headSeq: number | null; readonly cause?: unknown }) {
    super('conflict', `${subject}: expected last sequence ${expectedSeq}, it is ${headSeq ?? 'another'}`, { retryable: true, cause });
    this.subject = subject;
    this.expectedSeq = expectedSeq;
    this.headSeq = headSeq;
  }
}

/** The message is larger than the server takes. */
export class MessageTooLargeError extends OperatingError {
  constructor(subject: string, sizeBytes: number, maxBytes: number) {
    super('message-too-large', `${subject}: a message of ${sizeBytes} bytes; the log takes at most ${maxBytes} (max_payload of nats-server)`);
  }
}

/** The server or the stream that is there cannot be used; says what is wrong and what is right. */
export class LogSetupError extends OperatingError {
  constructor(message: string, cause?: unknown) {
    super('log-setup', message, { cause });
  }
}

/** The log is not the one that was followed: it was made anew (`recreated`) or lost its end (`rewound`). What was read from it must be read again. */
export class LogChangedError extends OperatingError {
  readonly change: 'recreated' | 'rewound';

  constructor(change: 'recreated' | 'rewound', message: string) {
    super('identity-changed', message);
    this.change = change;
  }
}

/** A message in the log cannot be decoded. */
export class MalformedEntryError extends OperatingError {
  readonly seq: number;

  constructor(subject: string, seq: number, cause: unknown) {
    super('malformed-message', `${subject}: message ${seq} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.seq = seq;
  }
}
