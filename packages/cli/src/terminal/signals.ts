// Passes the signals that the CLI gets on to the container, so that `kill` and ctrl-c on the client mean the container. Sends through a callback.
import { ApiError } from '../errors.ts';

/** Not forwarded: CHLD, PIPE, URG, WINCH are the client's own; TSTP, TTIN, TTOU stop the client in the shell; KILL and STOP cannot be caught. */
export const forwardedSignals = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGUSR1', 'SIGUSR2', 'SIGCONT', 'SIGALRM'] as const;

const enders: Readonly<Partial<Record<string, number>>> = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGTERM: 15 };

/** A process that takes no notice (PID 1 without a handler ignores INT and TERM) must not hold the person fast: so many end the client itself. */
export const impatience = 3;

/**
 * Forwards until the returned function is called. Where a signal that means "end" cannot be delivered because the API is away, the client
 * itself ends with 128 + its number: a person must always be able to leave.
 */
export function forwardSignals(send: (signal: string) => Promise<unknown>): () => void {
  const told = new Map<string, number>();
  const handlers = forwardedSignals.map((signal) => [signal, () => {
    told.set(signal, (told.get(signal) ?? 0) + 1);
    if (enders[signal] !== undefined && told.get(signal) === impatience) {
      process.stderr.write(`pouch: ${signal} ${impatience} times: leaving; the container goes on\n`);
      process.exit(128 + enders[signal]);
    }
    send(signal.slice(3)).catch((error: unknown) => {
      // The container has ended meanwhile (404, 409): its exit is on the way to us.
      if (error instanceof ApiError) return;
      const number = enders[signal];
      if (number !== undefined) process.exit(128 + number);
    });
  }] as const);
  for (const [signal, handler] of handlers) process.on(signal, handler);
  return () => {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  };
}
