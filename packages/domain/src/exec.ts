// A further process in a running container: asked for, running, ended. Its subject is its own, so that execs at once never contend.
import { accept, assertNever, refuse, type Decision } from './decision.ts';
import type { ContainerId, ExecId, HostId } from './ids.ts';

export interface ExecSpec {
  readonly args: readonly string[];
  /** Added to the container's environment. */
  readonly env: readonly string[];
  /** Empty: the container's. */
  readonly workingDir: string;
  /** Empty: the container's. */
  readonly user: string;
  readonly tty: boolean;
  readonly attach: { readonly stdin: boolean; readonly stdout: boolean; readonly stderr: boolean };
  readonly privileged: boolean;
  /** Key sequence that detaches, kept only for inspect: the client acts on it. */
  readonly detachKeys: string;
}

interface Common {
  readonly id: ExecId;
  readonly hostId: HostId;
  readonly containerId: ContainerId;
  readonly spec: ExecSpec;
  readonly createdAtMs: number;
}

export type Exec = Common &
  (
    | { readonly status: 'created' }
    | { readonly status: 'running'; readonly pid: number; readonly startedAtMs: number }
    | { readonly status: 'exited'; readonly pid: number; readonly exitCode: number; readonly finishedAtMs: number; readonly error: string | null }
  );

export type ExecEvent =
  | { readonly type: 'ExecCreated'; readonly id: ExecId; readonly hostId: HostId; readonly containerId: ContainerId; readonly spec: ExecSpec; readonly atMs: number }
  | { readonly type: 'ExecStarted'; readonly pid: number; readonly atMs: number }
  | { readonly type: 'ExecExited'; readonly exitCode: number; readonly error: string | null; readonly atMs: number };

export type ExecCommand =
  | { readonly type: 'CreateExec'; readonly id: ExecId; readonly hostId: HostId; readonly containerId: ContainerId; readonly spec: ExecSpec }
  | { readonly type: 'ReportExecStarted'; readonly pid: number }
  | { readonly type: 'ReportExecExited'; readonly exitCode: number; readonly error: string | null };

export function decideExec(state: Exec | null, command: ExecCommand, nowMs: number): Decision<ExecEvent> {
  if (command.type === 'CreateExec') {
    if (state !== null) return refuse('already-exists', `exec ${command.id} exists already`);
    const { id, hostId, containerId, spec } = command;
    return accept({ type: 'ExecCreated', id, hostId, containerId, spec, atMs: nowMs });
  }
  if (state === null) return refuse('not-found', 'no such exec');
  switch (command.type) {
    case 'ReportExecStarted':
      return state.status === 'created' ? accept({ type: 'ExecStarted', pid: command.pid, atMs: nowMs }) : refuse('already-running', `exec ${state.id} has been started already`);
    case 'ReportExecExited':
      return state.status === 'exited' ? accept() : accept({ type: 'ExecExited', exitCode: command.exitCode, error: command.error, atMs: nowMs });
    default:
      return assertNever(command);
  }
}

export function evolveExec(state: Exec | null, event: ExecEvent): Exec | null {
  if (event.type === 'ExecCreated') {
    return { status: 'created', id: event.id, hostId: event.hostId, containerId: event.containerId, spec: event.spec, createdAtMs: event.atMs };
  }
  if (state === null) return null;
  const { id, hostId, containerId, spec, createdAtMs } = state;
  const common = { id, hostId, containerId, spec, createdAtMs };
  switch (event.type) {
    case 'ExecStarted':
      return { ...common, status: 'running', pid: event.pid, startedAtMs: event.atMs };
    case 'ExecExited':
      return { ...common, status: 'exited', pid: state.status === 'running' ? state.pid : 0, exitCode: event.exitCode, finishedAtMs: event.atMs, error: event.error };
    default:
      return state;
  }
}
