// The caller's terminal while a container's terminal is shown in it: raw input, given back whatever happens. Owns the mode, nothing else.
import type { ReadStream } from 'node:tty';

const fatalSignals = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGTERM: 15 } as const;

/**
 * Makes `stdin` raw and answers with the way back, which may be called more than once. Restored too when the process exits, throws, or
 * gets a signal that would end it; the exit code is then 128 + the signal's number.
 */
export function enterRawMode(stdin: ReadStream): () => void {
  let raw = true;
  const restore = () => {
    if (!raw) return;
    raw = false;
    stdin.setRawMode(false);
    process.off('exit', restore);
    for (const [signal, handler] of handlers) process.off(signal, handler);
  };
  const handlers = Object.entries(fatalSignals).map(([signal, number]) => [signal, () => {
    restore();
    process.exit(128 + number);
  }] as const);
  stdin.setRawMode(true);
  process.on('exit', restore);
  for (const [signal, handler] of handlers) process.on(signal, handler);
  return restore;
}
