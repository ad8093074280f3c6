// Logs: pino JSON lines on stderr. A constant message, and fields for what differs.
import { destination, pino, type Logger } from 'pino';

export type { Logger } from 'pino';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

/** A logger of one service; its name stands in every line. Writes synchronously, so that a crash loses nothing. */
export function createLogger({ service, level }: { readonly service: string; readonly level: LogLevel }): Logger {
  const options = { level, base: { service, pid: process.pid }, timestamp: () => `,"time":"${new Date().toISOString()}"` };
  return pino(options, destination({ fd: 2, sync: true }));
}

/** Says nothing; for tests and for parts that are used without a process around them. */
export const nullLogger: Logger = pino({ level: 'silent', enabled: false });
