// Turns what went wrong between the CLI and the API into one sentence and a hint that a person can act on. Decides nothing else.
import { statSync } from 'node:fs';
import { ApiError, UnreachableError } from '../errors.ts';
import type { Target } from './target.ts';

export const addressOf = (target: Target): string => (target.kind === 'unix' ? target.socketPath : `${target.host}:${target.port}`);

/** For an error of the connection itself (`code` as in Node's system errors). */
export function unreachable(target: Target, cause: NodeJS.ErrnoException): UnreachableError {
  const where = addressOf(target);
  if (target.kind === 'tcp' && target.tls !== null && /^ERR_(SSL|TLS)|CERT|LEAF_SIGNATURE|EPROTO/.test(cause.code ?? '')) {
    return new UnreachableError(`no trusted connection to ${where}: ${(cause as { reason?: string }).reason ?? cause.message}`, { hint: '--tlscacert names the CA of the API, --tlscert and --tlskey who you are', cause });
  }
  switch (cause.code) {
    case 'ENOENT':
      return new UnreachableError(`cannot reach the API: there is no socket ${where}`, { hint: 'is the cluster up? npm run up', cause });
    case 'EACCES':
    case 'EPERM':
      return new UnreachableError(`permission denied on ${where}`, { hint: whoMay(target), cause });
    case 'ECONNREFUSED':
      return new UnreachableError(`nobody answers on ${where}`, { hint: 'is the cluster up? npm run up', cause });
    case 'ECONNRESET':
    case 'EPIPE':
      return new UnreachableError(`the API at ${where} closed the connection`, { hint: target.kind === 'tcp' && target.tls === null ? 'it may want TLS: --tlscacert, --tlscert, --tlskey' : 'it may be restarting; try again', cause });
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new UnreachableError(`${where}: no such host is known here`, { cause });
    default:
      return new UnreachableError(`cannot reach the API at ${where}: ${cause.message}`, { cause });
  }
}

function whoMay(target: Target): string {
  if (target.kind !== 'unix') return 'a firewall may stand between';
  try {
    const { uid, gid } = statSync(target.socketPath);
    return `it belongs to user ${uid} and group ${gid}: run as root, or become a member of the group`;
  } catch {
    // The socket cannot even be looked at; the general hint is all there is.
    return 'run as root, or as a member of the group of the socket';
  }
}

/** For an answer with an error status. `body` is what the API sent, `{"message": "…"}` as a rule. */
export function refused(status: number, body: string, headers: { readonly 'retry-after'?: string | undefined }): ApiError {
  const hint = status === 503 ? `try again${headers['retry-after'] === undefined ? '' : ` in ${headers['retry-after']} s`}` : undefined;
  return new ApiError(status, messageOf(body) ?? `the API answered ${status}`, hint);
}

function messageOf(body: string): string | null {
  try {
    const value: unknown = JSON.parse(body);
    const message = typeof value === 'object' && value !== null ? (value as { message?: unknown }).message : undefined;
    return typeof message === 'string' && message !== '' ? message : null;
  } catch {
    // Not JSON: a proxy or another program may answer there. Its words are the best there are.
    const text = body.trim().slice(0, 500);
    return text === '' ? null : text;
  }
}
