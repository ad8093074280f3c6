// From docker's flags of a health check to the member of a create body. Pure.
import { UsageError } from '../errors.ts';
import { said, type Json } from './said.ts';
import { toDuration, toInteger } from './values.ts';

export interface HealthFlags {
  readonly healthCmd?: string;
  readonly healthInterval?: string;
  readonly healthTimeout?: string;
  readonly healthRetries?: string;
  readonly healthStartPeriod?: string;
  /** False with --no-healthcheck. */
  readonly healthcheck?: boolean;
}

/** What of a health check was asked for, nothing where nothing was. Nanoseconds, as Docker has them. */
export function healthcheck(flags: HealthFlags): Json {
  const nanos = (flag: string, text: string | undefined): number | undefined => (text === undefined ? undefined : toDuration(flag, text) * 1_000_000);
  const asked = said({
    Test: flags.healthCmd === undefined ? undefined : ['CMD-SHELL', flags.healthCmd],
    Interval: nanos('--health-interval', flags.healthInterval),
    Timeout: nanos('--health-timeout', flags.healthTimeout),
    StartPeriod: nanos('--health-start-period', flags.healthStartPeriod),
    Retries: flags.healthRetries === undefined ? undefined : toInteger('--health-retries', flags.healthRetries, { min: 0 }),
  });
  if (flags.healthcheck !== false) return asked;
  if (Object.keys(asked).length > 0) throw new UsageError('--no-healthcheck and --health-* exclude each other');
  return { Test: ['NONE'] };
}
