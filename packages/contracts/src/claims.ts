// What stands in the key-value buckets and in heartbeats: the small facts beside the log.

/** Value of a name in the bucket `names`. */
export interface NameClaim {
  readonly containerId: string;
  readonly claimedAtMs: number;
}

/** A claim whose container was never placed is stale after this: its api died between claiming and asking. */
export const claimStaleAfterMs = 60_000;

export const schedulerLease = 'scheduler';

export const beatSubject = (hostId: string) => `host.${hostId}.beat`;
export const everyBeat = 'host.*.beat';
export const beatIntervalMs = 2_000;
/** A host that has not been heard of for this long is lost. */
export const hostLostAfterMs = 15_000;

/** Heartbeat of an agent, over core NATS: never in the log. */
export interface Beat {
  readonly hostId: string;
  readonly atMs: number;
  /** Stream sequence that the agent has followed to. */
  readonly seq: number;
  /** Observations that wait for the log to come back. */
  readonly outbox: number;
  readonly containersRunning: number;
  readonly memoryUsedBytes: number;
  readonly cpuLoad1: number;
}

/** What containers on a host are promised. */
export interface Reservations {
  readonly cpuNanos: number;
  readonly memoryBytes: number;
  readonly pids: number;
}

/** Scheduler's answer on `scheduler.status`, over core NATS. */
export interface SchedulerStatus {
  readonly leader: string;
  readonly epoch: number;
  readonly sinceMs: number;
  readonly hosts: readonly { readonly hostId: string; readonly lastBeatAtMs: number | null; readonly beat: Beat | null; readonly reserved?: Reservations }[];
  /** Containers that no host can take now and that are tried again, with the reason; some of them where they are many. */
  readonly waiting?: readonly { readonly containerId: string; readonly name: string; readonly reason: string }[];
}
export const schedulerStatusSubject = 'scheduler.status';
