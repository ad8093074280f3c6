// What every process of Pouch needs: configuration, logs, time, errors, an orderly end.
export * from './clock.ts';
export * from './config.ts';
export * from './errors.ts';
export * from './logger.ts';
export * from './retry.ts';
export * from './shutdown.ts';
