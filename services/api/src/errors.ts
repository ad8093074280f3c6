// Every error of the API in one place: which status each kind has, and how anything thrown becomes an answer. No other file picks a
// status for a refusal or for an error of a host; messages are for people, and nothing of the inside (stack, paths) leaves through here.
import type { Refusal, RefusalCode } from '@pouch/domain';
import type { HostErrorCode } from '@pouch/contracts';

/** An answer other than success: thrown by handlers, turned into `{"message": ...}` by the server. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, message: string, options: { cause?: unknown; headers?: Record<string, string> } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.status = status;
    this.headers = options.headers ?? {};
  }
}

/** What the log's rules refuse. 304: Docker's "it is so already". */
const refusalStatus: Readonly<Record<RefusalCode, number>> = {
  'not-found': 404,
  removed: 404,
  'already-exists': 409,
  'already-running': 304,
  'already-stopped': 304,
  'not-running': 409,
  paused: 409,
  'not-paused': 409,
  running: 409,
  'in-progress': 409,
  'in-use': 409,
  'too-many-requests': 429,
  removing: 409,
  stale: 409,
  'no-change': 409,
};

/** What a host's agent answers calls and pipes with. */
const hostStatus: Readonly<Record<HostErrorCode, number>> = {
  'not-found': 404,
  'not-running': 409,
  conflict: 409,
  'in-use': 409,
  'bad-parameter': 400,
  denied: 403,
  unavailable: 503,
  unsupported: 501,
  internal: 500,
};

/** Codes of operating errors, and those that an agent gives a request or a creation that failed, beside those above. */
const operatingStatus: Readonly<Record<string, number>> = {
  'log-unavailable': 503,
  'host-unreachable': 503,
  'host-unavailable': 503,
  unreachable: 503,
  'no-responders': 503,
  'projection-behind': 503,
  'no-hosts': 503,
  'no-suitable-host': 409,
  timeout: 504,
  'message-too-large': 413,
  'command-not-found': 400,
  'not-executable': 400,
  'bad-command': 400,
  'invalid-spec': 400,
  'start-failed': 500,
  'pipe-broken': 503,
  'unknown-runtime': 400,
  'no-fit': 409,
  refused: 409,
};

const retryAfterSeconds = '2';

/** The answer to a refusal, with `message` instead of the rule's own sentence where Docker has well-known words. */
export function refused(refusal: Refusal, message: string = refusal.message): HttpError {
  return new HttpError(refusalStatus[refusal.code], message);
}

/** The answer to a code that a host or the scheduler gave; a code that this version does not know is an error of the host. */
export function failed(code: string, message: string, cause?: unknown): HttpError {
  const status = operatingStatus[code] ?? hostStatus[code as HostErrorCode] ?? refusalStatus[code as RefusalCode] ?? 500;
  return new HttpError(status, message, { cause, ...(status === 503 ? { headers: { 'retry-after': retryAfterSeconds } } : {}) });
}

/** A value that cannot be: 400, and the message begins with the field's name. */
export function badField(field: string, problem: string): HttpError {
  return new HttpError(400, `${field}: ${problem}`);
}

/** What one container or exec may say in all; it stands in every message of its subject, twice, and NATS takes 1 MiB. */
export const maxSpecBytes = 256 * 1024;

/** Refuses settings that the log could not carry. */
export function requireSpecSize(what: string, spec: object): void {
  const bytes = Buffer.byteLength(JSON.stringify(spec));
  if (bytes > maxSpecBytes) throw new HttpError(413, `${what}: the settings have ${bytes} bytes in all, at most ${maxSpecBytes} are taken`);
}

export const noSuchContainer = (name: string) => new HttpError(404, `No such container: ${name}`);
/** `docker inspect NAME` asks one endpoint after the other and goes on where it reads "not supported". */
export const notThereYet = (what: string) => new HttpError(501, `${what} is not supported yet`);

/** Turns anything thrown into an answer. What is not foreseen is a 500 without its inside; the server logs it. */
export function toHttpError(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  if (!(error instanceof Error)) return new HttpError(500, 'internal error');
  const { code, retryable, statusCode } = error as Error & { code?: unknown; retryable?: unknown; statusCode?: unknown };
  if (typeof statusCode === 'number' && typeof code === 'string' && code.startsWith('FST_')) return fromFastify(error, statusCode, code);
  if (typeof code === 'string' && (code in operatingStatus || code in hostStatus)) return failed(code, error.message, error);
  if (retryable === true) return new HttpError(503, error.message, { cause: error, headers: { 'retry-after': retryAfterSeconds } });
  return new HttpError(500, 'internal error', { cause: error });
}

function fromFastify(error: Error, status: number, code: string): HttpError {
  if (code === 'FST_ERR_BAD_URL') return new HttpError(400, 'the path is not valid: a percent sign must be followed by two hex digits, and the bytes must be UTF-8', { cause: error });
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new HttpError(413, `the body is too large: ${error.message}`, { cause: error });
  if (code === 'FST_ERR_MAX_PARAM_LENGTH') return new HttpError(414, 'the path is too long: a part of it has more than 512 characters', { cause: error });
  return status < 500 ? new HttpError(status, error.message, { cause: error }) : new HttpError(500, 'internal error', { cause: error });
}
