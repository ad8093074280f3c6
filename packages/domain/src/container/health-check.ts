// Health checks: what a container may be asked, and what follows from the answers. Pure; running probes is the agent's, and a single probe never
// reaches the log, only a change of health does. Source: Docker Engine API 1.43, HealthConfig and Health.

/** How to tell whether a container is well. 0 everywhere: the default. */
export interface HealthCheck {
  /** `NONE`; `CMD` and a program with its arguments; `CMD-SHELL` and a line for the container's /bin/sh. */
  readonly test: readonly string[];
  /** From the end of one probe to the beginning of the next. May have a fraction: Docker counts nanoseconds. */
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** After the start: failures of one that was never healthy do not count yet. */
  readonly startPeriodMs: number;
  /** Failures in a row that make it unhealthy. */
  readonly retries: number;
}

/** Docker's. */
export const healthDefaults = { intervalMs: 30_000, timeoutMs: 30_000, startPeriodMs: 0, retries: 3 } as const;
/** Docker's: a length of time that is given is at least so long. */
export const minHealthMs = 1;
/** Probes that are remembered, and how much of what each wrote; Docker's. */
export const maxProbesKept = 5;
export const maxProbeOutputBytes = 4_096;
/** Exit code that is told of a probe that could not be started or took too long; Docker's. */
export const probeFailedExit = -1;

/** What a run's probes have come to; while there is nothing to say, it is starting. */
export type Health = 'healthy' | 'unhealthy';
export type HealthStatus = 'starting' | Health;

export interface Probe {
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly exitCode: number;
  /** UTF-8, what it wrote to both streams, or why there is nothing. */
  readonly output: string;
}

/** What is known of a run's health beside the log. */
export interface HealthRecord {
  readonly status: HealthStatus;
  readonly failingStreak: number;
  /** The last ones, oldest first. */
  readonly probes: readonly Probe[];
}

/** What a test runs in the container; null: nothing, the container has no health. */
export function probeArgs({ test: [kind, ...words] }: HealthCheck): readonly string[] | null {
  if (words.length === 0) return null;
  if (kind === 'CMD') return words;
  return kind === 'CMD-SHELL' ? ['/bin/sh', '-c', ...words] : null;
}

/** With Docker's defaults for what is 0. */
export function withHealthDefaults({ test, intervalMs, timeoutMs, startPeriodMs, retries }: HealthCheck): HealthCheck {
  return {
    test, intervalMs: intervalMs || healthDefaults.intervalMs, timeoutMs: timeoutMs || healthDefaults.timeoutMs, startPeriodMs: startPeriodMs || healthDefaults.startPeriodMs,
    retries: retries || healthDefaults.retries,
  };
}

/** The record after one more probe. `startedAtMs`: of the run. */
export function afterProbe({ status, failingStreak, probes: before }: HealthRecord, probe: Probe, { check, startedAtMs }: { readonly check: HealthCheck; readonly startedAtMs: number }): HealthRecord {
  const { startPeriodMs, retries } = withHealthDefaults(check);
  const probes = [...before, probe].slice(-maxProbesKept);
  if (probe.exitCode === 0) return { status: 'healthy', failingStreak: 0, probes };
  if (status === 'starting' && probe.startedAtMs - startedAtMs < startPeriodMs) return { status, failingStreak, probes };
  return { status: failingStreak + 1 >= retries ? 'unhealthy' : status, failingStreak: failingStreak + 1, probes };
}
