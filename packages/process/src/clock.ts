// Time as a parameter: the one place that reads the system's clock for those who take a `Clock`.

export interface Clock {
  /** Wall clock, ms since 1970. */
  now(): number;
  /** Ms since some fixed point; never goes back. */
  monotonicMs(): number;
}

export const systemClock: Clock = { now: () => Date.now(), monotonicMs: () => performance.now() };
