// The end of a process: orderly on SIGTERM and SIGINT, at once on a second one, and with a log line on a programmer's error.
import type { Logger } from './logger.ts';

export interface ShutdownOptions {
  readonly logger: Logger;
  /** For all hooks together, in ms; what has not ended by then is left. */
  readonly timeoutMs?: number;
}

type Hook = readonly [name: string, close: () => Promise<void> | void];

/** Runs `hooks` one after the other on the first SIGTERM or SIGINT, then exits with 0. A second signal exits at once with 1. */
export function onShutdown(hooks: readonly Hook[], { logger, timeoutMs = 10_000 }: ShutdownOptions): void {
  let closing = false;
  const close = async (signal: NodeJS.Signals) => {
    if (closing) {
      logger.warn({ signal }, 'second signal: leaving at once');
      process.exit(1);
    }
    closing = true;
    logger.info({ signal }, 'shutting down');
    setTimeout(() => {
      logger.error({ timeoutMs }, 'shutdown took too long: leaving');
      process.exit(1);
    }, timeoutMs).unref();
    for (const [name, hook] of hooks) {
      try {
        await hook();
      } catch (error) {
        logger.error({ err: error, hook: name }, 'shutdown step failed');
      }
    }
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, (received) => void close(received));
}

/** A programmer's error ends the process with a line in the log; the supervisor starts it again from the log's truth. */
export function installCrashHandler(logger: Logger): void {
  const crash = (error: unknown, origin: string) => {
    logger.fatal({ err: error, origin }, 'crash');
    process.exit(1);
  };
  process.on('uncaughtException', (error) => crash(error, 'uncaughtException'));
  process.on('unhandledRejection', (reason) => crash(reason, 'unhandledRejection'));
}
