// Errors of containerd calls. Turns gRPC statuses into ContainerdError and nothing else: no retries, no logging.
import { OperatingError } from '@pouch/process';
import { status as grpcStatus, type ServiceError } from '@grpc/grpc-js';

/** What went wrong, in words that do not depend on gRPC. */
export type ContainerdErrorCode =
  | 'cancelled' | 'unknown' | 'invalid-argument' | 'deadline' | 'not-found' | 'already-exists' | 'permission-denied'
  | 'resource-exhausted' | 'failed-precondition' | 'aborted' | 'out-of-range' | 'unimplemented' | 'internal' | 'unavailable'
  | 'data-loss' | 'unauthenticated';

const CODES: Readonly<Record<number, ContainerdErrorCode>> = {
  [grpcStatus.CANCELLED]: 'cancelled',
  [grpcStatus.UNKNOWN]: 'unknown',
  [grpcStatus.INVALID_ARGUMENT]: 'invalid-argument',
  [grpcStatus.DEADLINE_EXCEEDED]: 'deadline',
  [grpcStatus.NOT_FOUND]: 'not-found',
  [grpcStatus.ALREADY_EXISTS]: 'already-exists',
  [grpcStatus.PERMISSION_DENIED]: 'permission-denied',
  [grpcStatus.RESOURCE_EXHAUSTED]: 'resource-exhausted',
  [grpcStatus.FAILED_PRECONDITION]: 'failed-precondition',
  [grpcStatus.ABORTED]: 'aborted',
  [grpcStatus.OUT_OF_RANGE]: 'out-of-range',
  [grpcStatus.UNIMPLEMENTED]: 'unimplemented',
  [grpcStatus.INTERNAL]: 'internal',
  [grpcStatus.UNAVAILABLE]: 'unavailable',
  [grpcStatus.DATA_LOSS]: 'data-loss',
  [grpcStatus.UNAUTHENTICATED]: 'unauthenticated',
};

// What containerd 1.6 and its shims say without a code. The server may notice a call's end before grpc-js does.
const UNCODED: readonly (readonly [RegExp, ContainerdErrorCode])[] = [
  [/cannot delete a running process/, 'failed-precondition'],
  [/context deadline exceeded/, 'deadline'],
  [/context canceled/, 'cancelled'],
  [/process already finished|container not running/, 'not-found'],
];

const RETRYABLE: ReadonlySet<ContainerdErrorCode> = new Set(['unavailable', 'deadline', 'aborted', 'resource-exhausted']);

/** A containerd call that failed. `message` carries containerd's own text and the call's name; `retryable` says whether the same call may succeed later. */
export class ContainerdError extends OperatingError {
  declare readonly code: ContainerdErrorCode;
  /** containerd's own text, without the name of the call. */
  readonly detail: string;

  constructor(code: ContainerdErrorCode, method: string, detail: string, cause?: unknown) {
    super(code, `containerd ${method}: ${detail}`, { retryable: RETRYABLE.has(code), cause });
    this.name = 'ContainerdError';
    this.detail = detail;
  }
}

/** True for a ContainerdError with one of the given codes. */
export function isContainerdError(error: unknown, ...codes: ContainerdErrorCode[]): error is ContainerdError {
  return error instanceof ContainerdError && (codes.length === 0 || codes.includes(error.code));
}

/** Maps what grpc-js reports. `path` is the gRPC path, of which the service's and the method's short names are kept. */
export function fromGrpc(error: unknown, path: string): ContainerdError {
  const method = path.slice(path.lastIndexOf('.') + 1).replace('/', '.');
  const service = error as Partial<ServiceError>;
  const detail = service.details || (error instanceof Error ? error.message : String(error));
  let code = CODES[service.code ?? grpcStatus.UNKNOWN] ?? 'unknown';
  if (code === 'unknown') code = UNCODED.find(([text]) => text.test(detail))?.[1] ?? code;
  return new ContainerdError(code, method, detail, error);
}
