// What can go wrong between an api and a host's agent.
import { OperatingError } from '@pouch/process';

/** The agent answered with an error; `code` is one of `HostErrorCode` where the agent knows what it means. */
export class RemoteError extends OperatingError {}

/** No agent answers for the host: it is down, cut off, or not a host of this cluster. */
export class HostUnreachable extends OperatingError {
  constructor(hostId: string, cause?: unknown) {
    super('unavailable', `host ${hostId} does not answer: its agent is down or cut off from NATS`, { retryable: true, cause });
  }
}

/** A pipe broke before its end: the other side died, fell silent, or frames were lost with a connection. */
export class PipeBroken extends OperatingError {
  constructor(message: string) {
    super('pipe-broken', message, { retryable: true });
  }
}

/** An error as it travels. */
export interface WireError {
  readonly code: string;
  readonly message: string;
}

export function toWire(error: unknown): WireError {
  if (error instanceof Error) {
    const code = (error as { code?: unknown }).code;
    return { code: typeof code === 'string' ? code : 'internal', message: error.message };
  }
  return { code: 'internal', message: String(error) };
}

export function fromWire({ code, message }: WireError): RemoteError {
  return new RemoteError(code, message);
}
