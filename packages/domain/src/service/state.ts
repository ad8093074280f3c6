// A service: a number of replicas of one container, kept running. Its tasks are all the containers that may exist for it: one that is not among them
// is not to run. Types and bounds only.
import type { ContainerId } from '../ids.ts';
import type { ContainerSpec } from '../container/spec.ts';

export const maxReplicas = 1_000;
/** Tasks that one decision starts at most; the next one goes on. */
export const maxStartsAtOnce = 100;
/** Ended tasks that a service remembers: of each slot, and of all. */
export const maxPastOfSlot = 5;
export const maxPast = 200;

/** Docker's names of services, which are tokens of NATS subjects as they are. */
export function isServiceName(text: string): boolean {
  return /^[a-zA-Z0-9](?:[a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?$/.test(text);
}

/** How replicas are exchanged for those of another generation. */
export interface Rollout {
  /** Slots exchanged at a time; 0: all. */
  readonly parallelism: number;
  /** Between the proof of one and the beginning of the next. */
  readonly delayMs: number;
  /** `start-first`: the new one proves itself beside the old one. */
  readonly order: 'stop-first' | 'start-first';
  /** A new one that has run so long without an end, and is healthy where it has a health check, is proven. */
  readonly monitorMs: number;
  /** What becomes of the rollout when more than `maxFailureRatio` of the replicas failed before they were proven. */
  readonly onFailure: 'pause' | 'continue' | 'rollback';
  readonly maxFailureRatio: number;
}

/** When a replica that ended by itself gets another one in its place. */
export interface ServiceRestart {
  readonly condition: 'any' | 'on-failure' | 'none';
  /** Doubled at each end in a row that came soon. */
  readonly delayMs: number;
  /** In a row; 0: without a limit. */
  readonly maxAttempts: number;
}

export interface ServiceSpec {
  /** Slot n is made from the one at (n - 1) modulo their number: replicas may differ in their runtime. Never empty. */
  readonly templates: readonly ContainerSpec[];
  readonly replicas: number;
  readonly update: Rollout;
  /** `rollback` on failure counts as `pause` here. */
  readonly rollback: Rollout;
  readonly restart: ServiceRestart;
  readonly labels: Readonly<Record<string, string>>;
  /** What was asked for, in the API's own words: an update changes it and reads it anew. Nothing below the API looks into it. */
  readonly asked: string;
}

export interface Task {
  readonly containerId: ContainerId;
  readonly slot: number;
  readonly generation: number;
  readonly startedAtMs: number;
  /** Set: it is to end, and to be removed. */
  readonly retired?: { readonly why: RetireReason; readonly atMs: number };
}

/** `unhealthy`: it ends as one that failed. */
export type RetireReason = 'updated' | 'scaled-down' | 'host-drained' | 'removed' | 'unhealthy';

/** `shut-down`: it was to end; `failed`, `complete`: by itself, with another exit code than 0 or with 0; `lost`: with its host. */
export type TaskOutcome = 'shut-down' | 'failed' | 'complete' | 'lost';

export interface PastTask {
  readonly containerId: ContainerId;
  readonly slot: number;
  readonly generation: number;
  readonly hostId: string | null;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly outcome: TaskOutcome;
  readonly exitCode: number | null;
  /** Why, as a sentence; empty where the outcome says it all. */
  readonly message: string;
}

/** A slot whose replica ended by itself. `dueAtMs` null: it gets no other one. */
export interface Rest {
  readonly slot: number;
  readonly endedAtMs: number;
  readonly dueAtMs: number | null;
  /** Ends in a row that came soon. */
  readonly inARow: number;
}

/** Docker's words. */
export type RolloutState = 'updating' | 'paused' | 'completed' | 'rollback_started' | 'rollback_paused' | 'rollback_completed';

export interface RolloutProgress {
  readonly state: RolloutState;
  readonly startedAtMs: number;
  readonly endedAtMs: number | null;
  /** New replicas that ended before they were proven, or became unhealthy. */
  readonly failures: number;
  readonly message: string;
}

export interface Service {
  /** Its name: the aggregate is the holder of the name. */
  readonly id: string;
  readonly name: string;
  /** Tells this service from a later one of the same name: 25 of a-z and 0-9, as Docker's ids. */
  readonly uid: string;
  readonly state: 'present' | 'removing' | 'removed';
  readonly createdAtMs: number;
  readonly sinceMs: number;
  /** Of what people want: an update names the one that it has seen. */
  readonly version: number;
  readonly spec: ServiceSpec;
  /** Of `spec.templates`. */
  readonly generation: number;
  /** The highest that there was. */
  readonly generations: number;
  readonly previous: { readonly spec: ServiceSpec; readonly generation: number } | null;
  readonly rollout: RolloutProgress | null;
  readonly tasks: readonly Task[];
  /** Tasks that there ever were: makes their ids differ. */
  readonly tasksMade: number;
  readonly past: readonly PastTask[];
  readonly rests: readonly Rest[];
}

export type ServiceEvent =
  | { readonly type: 'ServiceCreated'; readonly name: string; readonly uid: string; readonly spec: ServiceSpec; readonly atMs: number }
  /** `generation` is a new one where the templates differ: a rollout begins. */
  | { readonly type: 'ServiceUpdated'; readonly spec: ServiceSpec; readonly generation: number; readonly atMs: number }
  | { readonly type: 'ServiceRolledBack'; readonly why: string; readonly atMs: number }
  | { readonly type: 'ServiceRolloutEnded'; readonly state: Exclude<RolloutState, 'updating' | 'rollback_started'>; readonly message: string; readonly atMs: number }
  | { readonly type: 'ServiceTasksStarted'; readonly tasks: readonly Pick<Task, 'containerId' | 'slot' | 'generation'>[]; readonly atMs: number }
  | { readonly type: 'ServiceTasksRetired'; readonly containerIds: readonly ContainerId[]; readonly why: RetireReason; readonly atMs: number }
  | { readonly type: 'ServiceTasksEnded'; readonly ends: readonly TaskEnd[]; readonly atMs: number }
  | { readonly type: 'ServiceRemovalRequested'; readonly atMs: number }
  | { readonly type: 'ServiceRemoved'; readonly atMs: number };

export interface TaskEnd {
  readonly containerId: ContainerId;
  readonly hostId: string | null;
  readonly outcome: TaskOutcome;
  readonly exitCode: number | null;
  readonly message: string;
  /** Null: its slot may have another one at once. */
  readonly rest: Pick<Rest, 'dueAtMs' | 'inARow'> | null;
  /** It counts against the rollout. */
  readonly failedRollout: boolean;
}
