// Logs: pino JSON lines on stderr. A constant message, and fields for what differs.
import { destination, pino, type Logger } from 'pino';

export type { Logger } from 'pino';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

/** Bytes of lines that could not be written yet; later ones are dropped. */
const waitingMax = 1024 * 1024;

/** A logger of one service; its name stands in every line. Writes synchronously, so that a crash loses nothing. */
export function createLogger({ service, level }: { readonly service: string; readonly level: LogLevel }): Logger {
  const options = { level, base: { service, pid: process.pid }, timestamp: () => `,"time":"${new Date().toISOString()}"` };
  const out = destination({ fd: 2, sync: true, maxLength: waitingMax });
  // E.g. a full disk: what cannot be written waits for the next line that can, and no service ends because nobody can read what it says.
  out.on('error', () => undefined);
  return pino(options, out);
}

/** Says nothing; for tests and for parts that are used without a process around them. */
export const nullLogger: Logger = pino({ level: 'silent', enabled: false });
