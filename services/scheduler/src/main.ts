// Entry point of the scheduler.
import { configurationOr78, createLogger, installCrashHandler, onShutdown } from '@pouch/process';
import { readConfig } from './config.ts';
import { startScheduler } from './scheduler.ts';

const config = configurationOr78('scheduler', readConfig);
const logger = createLogger({ service: 'scheduler', level: config.logLevel });
installCrashHandler(logger);
const scheduler = startScheduler({
  config,
  logger,
  onFailed: (error) => {
    logger.fatal({ err: error }, 'the log cannot be followed any more: starting anew');
    process.exit(1);
  },
});
onShutdown([['scheduler', () => scheduler.stop()]], { logger });
