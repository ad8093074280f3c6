// What is to be done next for one container, from what is wanted of it and what is seen of it. Pure: no clock, no IO; it does nothing itself.
import { createHash } from 'node:crypto';
import type { Container, Request } from '@pouch/domain';
import type { Observed } from '../tasks/observed.ts';

/** One thing to do. Every step ends in a report that changes the container's state, or in an attempt noted, so that planning again goes on from there. */
export type Step =
  /** Prepare image, snapshot and record. */
  | { readonly type: 'create' }
  /** `startId` names this start for ever: a start is never done twice under one. */
  | { readonly type: 'start'; readonly startId: string; readonly byPolicy: boolean }
  /** A task of a start that was under way when the agent died: finish starting it and report. */
  | { readonly type: 'adopt'; readonly startId: string; readonly byPolicy: boolean }
  /** The run has ended: report, then take the task away. */
  | { readonly type: 'finish' }
  /** The task has vanished (host reboot): report an exit that nobody saw. */
  | { readonly type: 'lost'; readonly startId: string; readonly startedAtMs: number }
  /** A task that no state of the log stands for any more. */
  | { readonly type: 'discard' }
  /** Noted under `attemptId` before it is sent. `done` is the kill request that it fulfils. */
  | { readonly type: 'signal'; readonly signal: string; readonly attemptId: string; readonly done: string | null; readonly wakes: boolean }
  | { readonly type: 'pause'; readonly commandId: string }
  | { readonly type: 'unpause'; readonly commandId: string | null }
  | { readonly type: 'cancel-restart' }
  | { readonly type: 'refuse'; readonly commandId: string; readonly code: string; readonly message: string }
  | { readonly type: 'remove' };

export interface Plan {
  readonly step: Step | null;
  /** When to plan again though nothing has happened, in ms since 1970: the end of a grace period or of a restart's delay. */
  readonly wakeAtMs: number | null;
}

/** What planning looks at besides the container's state. */
export interface Circumstances {
  /** The container's task; null: there is none. */
  readonly observed: Observed | null;
  /** When something was first tried, by attempt id, in ms since 1970. */
  readonly attempts: ReadonlyMap<string, number>;
  readonly nowMs: number;
  /** The host is going down: nothing is started any more. */
  readonly shuttingDown: boolean;
  /** Tasks have been listed since containerd was last (re)connected, so that a task which is not there has vanished. */
  readonly tasksKnown: boolean;
  /** When the host was booted, in ms since 1970. */
  readonly bootedAtMs: number;
  /** Containers that were replaced while this host was lost are here still: nothing is made or started before they are gone. */
  readonly clearing: boolean;
  /** The log has been read since the agent began: until then a container that may be moved may have been. */
  readonly logRead: boolean;
  /** Files of it are on this host. */
  readonly hasFiles: boolean;
}

const nothing: Plan = { step: null, wakeAtMs: null };
const act = (step: Step): Plan => ({ step, wakeAtMs: null });

/** Attempt id of the SIGKILL that follows a stop's grace period. */
export const escalationOf = (commandId: string): string => `${commandId}:kill`;

/** The request that an attempt was made for. */
export const requestOf = (attemptId: string): string => attemptId.replace(/:kill$/, '');

/** The start that a restart policy makes after the run `endedStartId`: the same name however often it is asked, so it happens once. */
export function policyStartId(containerId: string, endedStartId: string): string {
  return `policy-${createHash('sha256').update(`${containerId}:${endedStartId}`).digest('hex').slice(0, 32)}`;
}

/** The next step for a container, and when to look again. */
export function plan(container: Container, around: Circumstances): Plan {
  if (!around.tasksKnown) return nothing;
  switch (container.status) {
    case 'removed':
      // Also what was made here while nobody knew that it had been given to another host, or given up.
      return around.observed === null && !around.hasFiles ? nothing : act({ type: 'discard' });
    case 'assigned':
      if (container.requests.some(({ action }) => action.kind === 'remove')) return act({ type: 'remove' });
      return around.shuttingDown || around.clearing ? nothing : act({ type: 'create' });
    case 'running':
    case 'paused':
      return planRunning(container, around);
    case 'created':
    case 'exited':
    case 'restarting':
      return around.observed === null ? planIdle(container, around) : planLeftover(container, around.observed, around);
  }
}

type Running = Extract<Container, { status: 'running' | 'paused' }>;
type Idle = Extract<Container, { status: 'created' | 'exited' | 'restarting' }>;

function planRunning(container: Running, around: Circumstances): Plan {
  const { observed } = around;
  const { startId, startedAtMs } = container.run;
  if (observed === null || observed.startId !== startId) return act({ type: 'lost', startId, startedAtMs });
  if (observed.status === 'stopped') return act({ type: 'finish' });
  let wakeAtMs: number | null = null;
  let ending = false;
  for (const request of container.requests) {
    const next = planRequest(container, request, ending, around);
    if (next.step !== null) return next;
    if (next.wakeAtMs !== null) wakeAtMs = Math.min(wakeAtMs ?? next.wakeAtMs, next.wakeAtMs);
    const { kind } = request.action;
    if (kind === 'stop' || kind === 'restart' || kind === 'start' || kind === 'kill' || kind === 'remove') ending = true;
  }
  return { step: null, wakeAtMs };
}

/** One request to a container that runs. `ending`: an earlier one is about to end the run, so that what needs a running container waits for that. */
function planRequest(container: Running, request: Request, ending: boolean, { attempts, nowMs }: Circumstances): Plan {
  const { commandId, action } = request;
  const { stopSignal } = container.spec;
  switch (action.kind) {
    case 'stop':
    case 'restart':
      return planStop(commandId, action, { attempts, nowMs });
    case 'kill':
      // SIGKILL may be sent again after a crash; any other signal might then be handled twice, so it counts as sent.
      return act({ type: 'signal', signal: action.signal, attemptId: commandId, done: commandId, wakes: action.signal === 'SIGKILL' || action.signal === stopSignal });
    case 'remove':
      if (!action.force) return ending ? nothing : act({ type: 'refuse', commandId, code: 'running', message: `container ${container.name} is running: stop it before removing it, or force the removal` });
      return attempts.has(commandId) ? nothing : act({ type: 'signal', signal: 'SIGKILL', attemptId: commandId, done: null, wakes: true });
    case 'start':
      return ending || container.manuallyStopped ? nothing : act({ type: 'refuse', commandId, code: 'already-running', message: `container ${container.name} is already running` });
    case 'pause':
      if (ending) return nothing;
      return container.status === 'paused' ? act({ type: 'refuse', commandId, code: 'paused', message: `container ${container.name} is already paused` }) : act({ type: 'pause', commandId });
    case 'unpause':
      if (ending) return nothing;
      return container.status === 'running' ? act({ type: 'refuse', commandId, code: 'not-paused', message: `container ${container.name} is not paused` }) : act({ type: 'unpause', commandId });
  }
}

/** The stop signal first, SIGKILL when the grace period is over. Nothing here waits: a kill that comes meanwhile is planned beside it. */
function planStop(commandId: string, { signal, timeoutSeconds }: { signal: string; timeoutSeconds: number }, { attempts, nowMs }: Pick<Circumstances, 'attempts' | 'nowMs'>): Plan {
  const sentAtMs = attempts.get(commandId);
  if (sentAtMs === undefined) return act({ type: 'signal', signal, attemptId: commandId, done: null, wakes: true });
  if (timeoutSeconds < 0 || attempts.has(escalationOf(commandId))) return nothing;
  const deadlineMs = sentAtMs + timeoutSeconds * 1_000;
  if (nowMs < deadlineMs) return { step: null, wakeAtMs: deadlineMs };
  return act({ type: 'signal', signal: 'SIGKILL', attemptId: escalationOf(commandId), done: null, wakes: true });
}

/** A task beside a container that the log says is not running: a start that nobody told of yet, or what is left of one that was told. */
function planLeftover(container: Idle, { startId }: Observed, around: Circumstances): Plan {
  if (container.lastExit?.startId === startId) return act({ type: 'discard' }); // its end has been told
  if (container.requests.some((request) => request.commandId === startId)) return act({ type: 'adopt', startId, byPolicy: false });
  if ((container.status === 'restarting' || comesBackWithHost(container, around)) && startId === policyStartId(container.id, container.lastExit.startId)) return act({ type: 'adopt', startId, byPolicy: true });
  return act({ type: 'discard' });
}

/** Docker's difference between `always` and `unless-stopped`: who was stopped by hand stays so only with the latter once the host has been booted again. */
function comesBackWithHost(container: Idle, { bootedAtMs }: Circumstances): container is Extract<Idle, { status: 'exited' }> {
  if (container.status !== 'exited' || container.lastExit.finishedAtMs >= bootedAtMs) return false;
  const { name } = container.spec.restartPolicy;
  return name === 'always' || (name === 'unless-stopped' && !container.manuallyStopped);
}

function planIdle(container: Idle, around: Circumstances): Plan {
  const { nowMs, shuttingDown, clearing, logRead } = around;
  const forced = container.requests.some(({ action }) => action.kind === 'remove' && action.force);
  if (forced) return act({ type: 'remove' });
  const first = container.requests[0];
  if (first !== undefined) return planIdleRequest(container, first, around);
  // The log's word wakes it again.
  if (shuttingDown || clearing || (!logRead && container.spec.placement?.rescheduleOnHostLoss === true)) return nothing;
  if (comesBackWithHost(container, around)) return act({ type: 'start', startId: policyStartId(container.id, container.lastExit.startId), byPolicy: true });
  if (container.status !== 'restarting') return nothing;
  if (nowMs < container.restartAtMs) return { step: null, wakeAtMs: container.restartAtMs };
  return act({ type: 'start', startId: policyStartId(container.id, container.lastExit.startId), byPolicy: true });
}

function planIdleRequest(container: Idle, { commandId, action }: Request, { shuttingDown, clearing }: Circumstances): Plan {
  switch (action.kind) {
    case 'start':
    case 'restart':
      // It stands there a second time: whoever asked did not know that it was in the log already.
      if (container.lastExit?.startId === commandId) return act({ type: 'refuse', commandId, code: 'already-running', message: `this ${action.kind} of container ${container.name} has been carried out already` });
      if (shuttingDown) return act({ type: 'refuse', commandId, code: 'unavailable', message: 'the host is being shut down' });
      return clearing ? nothing : act({ type: 'start', startId: commandId, byPolicy: false });
    case 'stop':
      if (container.status === 'restarting') return act({ type: 'cancel-restart' });
      return act({ type: 'refuse', commandId, code: 'already-stopped', message: `container ${container.name} is not running` });
    case 'kill':
    case 'pause':
    case 'unpause':
      if (container.status === 'restarting' && container.manuallyStopped) return act({ type: 'cancel-restart' });
      return act({ type: 'refuse', commandId, code: 'not-running', message: `container ${container.name} is not running` });
    case 'remove':
      return act({ type: 'remove' });
  }
}
