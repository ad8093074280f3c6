// The health check that an image's configuration names. Whoever made the image wrote it, so anything may stand there; what is no check is none.
import { minHealthMs, probeArgs, type HealthCheck, type ImageDefaults } from '@pouch/domain';

const nanosPerMs = 1_000_000;
/** As long as a timer can run. */
const maxMs = 2 ** 31 - 1;

/** Source: Docker image specification 1.2, Healthcheck: durations in nanoseconds. */
export function imageHealthCheck(value: unknown): Pick<ImageDefaults, 'healthCheck'> {
  if (typeof value !== 'object' || value === null) return {};
  const { Test: test, Interval: interval, Timeout: timeout, StartPeriod: startPeriod, Retries: retries } = value as Record<string, unknown>;
  if (!Array.isArray(test) || !test.every((word) => typeof word === 'string')) return {};
  const check: HealthCheck = {
    test, intervalMs: msOf(interval), timeoutMs: msOf(timeout), startPeriodMs: msOf(startPeriod),
    retries: typeof retries === 'number' && Number.isInteger(retries) && retries > 0 ? Math.min(retries, maxMs) : 0,
  };
  return test[0] === 'NONE' || probeArgs(check) !== null ? { healthCheck: check } : {};
}

function msOf(nanos: unknown): number {
  const ms = typeof nanos === 'number' ? nanos / nanosPerMs : 0;
  return ms >= minHealthMs ? Math.min(ms, maxMs) : 0;
}
