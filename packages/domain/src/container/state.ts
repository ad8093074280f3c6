// A container on the host that it never leaves: its states, and the events that lead from one to the next. Types only.
import type { ContainerId, HostId } from '../ids.ts';
import type { VolumeUse } from '../volume.ts';
import type { Health } from './health-check.ts';
import type { ContainerSpec } from './spec.ts';

/** Requests not yet carried out that one container may have; more are refused. */
export const maxPendingRequests = 32;
/** Failed requests that a container remembers, so that whoever asked finds the reason. */
export const maxRememberedFailures = 8;

/** Something asked of a container, in order of asking, until the agent has done or failed it. */
export interface Request {
  readonly commandId: string;
  readonly atMs: number;
  readonly action: Action;
}

export type Action =
  | { readonly kind: 'start' }
  /** `timeoutSeconds`: between the stop signal and SIGKILL; -1 waits for ever. */
  | { readonly kind: 'stop'; readonly signal: string; readonly timeoutSeconds: number }
  | { readonly kind: 'restart'; readonly signal: string; readonly timeoutSeconds: number }
  | { readonly kind: 'kill'; readonly signal: string }
  | { readonly kind: 'pause' }
  | { readonly kind: 'unpause' }
  /** `volumes`: those too that were made for it alone. */
  | { readonly kind: 'remove'; readonly force: boolean; readonly volumes?: boolean };

/** Why a request came to nothing: `code` for programs, `message` for the person who asked. */
export interface Failure {
  readonly commandId: string;
  readonly code: string;
  readonly message: string;
}

/** Address of a container on its host's network; null members where the mode has none. */
export interface NetworkAttachment {
  readonly ipAddress: string | null;
  readonly prefixLength: number | null;
  readonly gateway: string | null;
  readonly macAddress: string | null;
  /** Published ports as they came to be, host ports chosen. */
  readonly ports: readonly { readonly containerPort: number; readonly protocol: string; readonly hostIp: string; readonly hostPort: number }[];
}

export interface Run {
  /** The command that started it: the start or restart request, or one that the agent made for the restart policy. */
  readonly startId: string;
  readonly startedAtMs: number;
  readonly pid: number;
  readonly network: NetworkAttachment;
}

export interface Exit {
  readonly startId: string;
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  /** 0 to 255; 128 + N when signal N ended it. */
  readonly exitCode: number;
  readonly oomKilled: boolean;
  /** Why it could not start or how it was lost; null for an ordinary end. */
  readonly error: string | null;
}

/** A container whose place another one has taken: its host was lost or drained. It is to go from its host, and nothing more is done with it. */
export interface Replacement {
  readonly successorId: ContainerId;
  /** The name that it had, and that its successor has. */
  readonly name: string;
  readonly why: 'host-lost' | 'host-drained';
  readonly atMs: number;
  /** The successor stands in the log: it need not be asked for again. */
  readonly requested: boolean;
}

interface Common {
  readonly id: ContainerId;
  readonly hostId: HostId;
  /** Without Docker's leading slash. */
  readonly name: string;
  readonly spec: ContainerSpec;
  readonly createdAtMs: number;
  readonly requests: readonly Request[];
  readonly failures: readonly Failure[];
  /** Restarts by policy since a person last started it. */
  readonly restartCount: number;
  readonly backoffStep: number;
  readonly manuallyStopped: boolean;
  /** Whose place it has taken. */
  readonly predecessor?: ContainerId;
  readonly replaced?: Replacement;
  /** Where the data of its volumes are. Absent: it has none. */
  readonly volumes?: readonly VolumeUse[];
}

export type Container = Common &
  (
    /** `imageHolders`: hosts that have its image, where its own does not. */
    | { readonly status: 'assigned'; readonly imageHolders?: readonly HostId[] }
    | { readonly status: 'created'; readonly lastExit: Exit | null }
    /** `health`: of this run, where it has a health check; absent: no probe has decided yet. */
    | { readonly status: 'running'; readonly run: Run; readonly health?: Health }
    | { readonly status: 'paused'; readonly run: Run; readonly health?: Health }
    | { readonly status: 'restarting'; readonly lastExit: Exit; readonly restartAtMs: number }
    | { readonly status: 'exited'; readonly lastExit: Exit }
    /** `withVolumes`: those that were made for it alone are to go, too. */
    | { readonly status: 'removed'; readonly lastExit: Exit | null; readonly removedAtMs: number; readonly reason: RemovalReason; readonly withVolumes?: boolean }
  );

/** `removed`: asked for; `create-failed`, `rejected`: it never came to be on this host. */
export type RemovalReason =
  | { readonly kind: 'removed' }
  | { readonly kind: 'create-failed'; readonly code: string; readonly message: string }
  | { readonly kind: 'rejected'; readonly code: string; readonly message: string };

export type ContainerEvent =
  /** `startId`: it is to be started under this id once it is made. */
  | { readonly type: 'ContainerAssigned'; readonly id: ContainerId; readonly hostId: HostId; readonly name: string; readonly spec: ContainerSpec; readonly predecessor?: ContainerId; readonly startId?: string; readonly imageHolders?: readonly HostId[]; readonly volumes?: readonly VolumeUse[]; readonly atMs: number }
  | { readonly type: 'ContainerCreated'; readonly atMs: number }
  | { readonly type: 'ContainerCreateFailed'; readonly code: string; readonly message: string; readonly atMs: number }
  | { readonly type: 'ContainerRejected'; readonly code: string; readonly message: string; readonly atMs: number }
  | { readonly type: 'ContainerRequested'; readonly commandId: string; readonly action: Action; readonly atMs: number }
  | { readonly type: 'ContainerRequestFailed'; readonly commandId: string; readonly code: string; readonly message: string; readonly atMs: number }
  | { readonly type: 'ContainerStarted'; readonly run: Run; readonly byPolicy: boolean }
  | { readonly type: 'ContainerStartFailed'; readonly startId: string; readonly exitCode: number; readonly code: string; readonly message: string; readonly atMs: number }
  | { readonly type: 'ContainerSignalled'; readonly commandId: string; readonly signal: string; readonly atMs: number }
  | { readonly type: 'ContainerOomKilled'; readonly atMs: number }
  | { readonly type: 'ContainerExited'; readonly exit: Exit; readonly restart: { readonly atMs: number; readonly backoffStep: number } | null }
  | { readonly type: 'ContainerRestartCancelled'; readonly atMs: number }
  | { readonly type: 'ContainerStopped'; readonly commandIds: readonly string[]; readonly atMs: number }
  | { readonly type: 'ContainerPaused'; readonly commandId: string | null; readonly atMs: number }
  | { readonly type: 'ContainerUnpaused'; readonly commandId: string | null; readonly atMs: number }
  /** Of the run that `startId` began: what its probes have come to is another than before. */
  | { readonly type: 'ContainerHealthChanged'; readonly startId: string; readonly health: Health; readonly atMs: number }
  | { readonly type: 'ContainerRenamed'; readonly oldName: string; readonly newName: string; readonly atMs: number }
  /** Another one takes its place and its name. `requests`: what is asked of it now, instead of all that was. */
  | { readonly type: 'ContainerReplaced'; readonly successorId: ContainerId; readonly newName: string; readonly why: Replacement['why']; readonly requests: readonly Request[]; readonly atMs: number }
  | { readonly type: 'ContainerSuccessorRequested'; readonly atMs: number }
  | { readonly type: 'ContainerRemoved'; readonly atMs: number };

export type ContainerStatus = Container['status'];
