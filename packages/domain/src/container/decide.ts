// What may happen to a container: requests of people are weighed, reports of the agent are facts and only checked for being news.
// Pure: the instant comes in as `nowMs`, ids come in with the command.
import { accept, assertNever, refuse, type Decision } from '../decision.ts';
import type { ContainerId, HostId } from '../ids.ts';
import { decideAdoption, type AdoptContainer } from './adopt.ts';
import { restartsUpTo, stopsByHand } from './evolve.ts';
import type { Health } from './health-check.ts';
import { nextRestart } from './restart-policy.ts';
import { decideReplace } from './replace.ts';
import { maxPendingRequests, type Action, type Container, type ContainerEvent, type Exit, type Replacement, type Request, type Run } from './state.ts';
import type { ContainerSpec } from './spec.ts';
import type { VolumeUse } from '../volume.ts';

export type ContainerCommand =
  /** Scheduler: the first message on the host's subject. */
  | { readonly type: 'AssignContainer'; readonly id: ContainerId; readonly hostId: HostId; readonly name: string; readonly spec: ContainerSpec; readonly predecessor?: ContainerId; readonly start?: boolean; readonly imageHolders?: readonly HostId[]; readonly volumes?: readonly VolumeUse[] }
  | AdoptContainer
  /** Scheduler: its host is lost or drained, and `successorId` is to take its place. */
  | { readonly type: 'ReplaceContainer'; readonly successorId: ContainerId; readonly why: Replacement['why'] }
  /** Scheduler: the successor stands in the log. */
  | { readonly type: 'ReportSuccessorRequested' }
  /** Api: something that a person wants. */
  | { readonly type: 'RequestAction'; readonly commandId: string; readonly action: Action }
  | { readonly type: 'RenameContainer'; readonly name: string }
  /** Agent, from here on: what it observed. */
  | { readonly type: 'ReportCreated' }
  | { readonly type: 'ReportCreateFailed'; readonly code: string; readonly message: string }
  | { readonly type: 'ReportRejected'; readonly code: string; readonly message: string }
  | { readonly type: 'ReportStarted'; readonly run: Run; readonly byPolicy: boolean }
  | { readonly type: 'ReportStartFailed'; readonly startId: string; readonly exitCode: number; readonly code: string; readonly message: string }
  | { readonly type: 'ReportSignalled'; readonly commandId: string; readonly signal: string }
  | { readonly type: 'ReportOomKilled' }
  /** `knew`: what the host knew of what people want; it went on by that, perhaps with a restart, while the log was away. Absent in reports of older agents. */
  | { readonly type: 'ReportExit'; readonly exit: Exit; readonly hostShutdown: boolean; readonly knew?: { readonly manuallyStopped: boolean; readonly requests: readonly string[] } }
  | { readonly type: 'ReportRestartCancelled' }
  | { readonly type: 'ReportPaused'; readonly commandId: string | null }
  | { readonly type: 'ReportUnpaused'; readonly commandId: string | null }
  | { readonly type: 'ReportHealth'; readonly startId: string; readonly health: Health }
  | { readonly type: 'ReportRequestFailed'; readonly commandId: string; readonly code: string; readonly message: string }
  | { readonly type: 'ReportRemoved' };

type ContainerDecision = Decision<ContainerEvent>;

/** Decides one command against the container's state; `null` is a container that nobody has heard of. */
export function decideContainer(state: Container | null, command: ContainerCommand, nowMs: number): ContainerDecision {
  if (command.type === 'AssignContainer') {
    if (state !== null) return refuse('already-exists', `container ${command.id} is on host ${state.hostId} already`);
    const { id, hostId, name, spec, predecessor, start, imageHolders, volumes } = command;
    return accept({
      type: 'ContainerAssigned', id, hostId, name, spec, ...(predecessor === undefined ? {} : { predecessor }), ...(start === true ? { startId: `start:${id}` } : {}),
      ...(imageHolders === undefined || imageHolders.length === 0 ? {} : { imageHolders }), ...(volumes === undefined ? {} : { volumes }), atMs: nowMs,
    });
  }
  if (command.type === 'AdoptContainer') return decideAdoption(state, command, nowMs);
  if (state === null) return refuse('not-found', 'no such container');
  // Also of one that has gone from its host meanwhile.
  if (command.type === 'ReportSuccessorRequested') return state.replaced === undefined || state.replaced.requested ? accept() : accept({ type: 'ContainerSuccessorRequested', atMs: nowMs });
  if (state.status === 'removed') return refuse('removed', `container ${state.name} has been removed`);
  switch (command.type) {
    case 'ReplaceContainer':
      return decideReplace(state, command, nowMs);
    case 'RequestAction':
      return decideRequest(state, command.commandId, command.action, nowMs);
    case 'RenameContainer':
      if (command.name === state.name) return refuse('no-change', `the container is named ${command.name} already`);
      if (isBeingRemoved(state)) return refuse('removing', `container ${state.name} is being removed`);
      return accept({ type: 'ContainerRenamed', oldName: state.name, newName: command.name, atMs: nowMs });
    case 'ReportCreated':
      return state.status === 'assigned' ? accept({ type: 'ContainerCreated', atMs: nowMs }) : accept();
    case 'ReportCreateFailed':
      if (state.status !== 'assigned') return refuse('stale', 'the container exists on its host already');
      return accept({ type: 'ContainerCreateFailed', code: command.code, message: command.message, atMs: nowMs });
    case 'ReportRejected':
      if (state.status !== 'assigned') return refuse('stale', 'the container exists on its host already');
      return accept({ type: 'ContainerRejected', code: command.code, message: command.message, atMs: nowMs });
    case 'ReportStarted':
      if (startIdOf(state) === command.run.startId) return accept(); // told already, and perhaps ended since
      return accept({ type: 'ContainerStarted', run: command.run, byPolicy: command.byPolicy });
    case 'ReportStartFailed':
      return decideStartFailed(state, command, nowMs);
    case 'ReportSignalled':
      return accept({ type: 'ContainerSignalled', commandId: command.commandId, signal: command.signal, atMs: nowMs });
    case 'ReportOomKilled':
      return accept({ type: 'ContainerOomKilled', atMs: nowMs });
    case 'ReportExit':
      return decideExit(state, command);
    case 'ReportRestartCancelled':
      if (state.status !== 'restarting') return accept();
      return accept({ type: 'ContainerRestartCancelled', atMs: nowMs }, ...stopped(state, nowMs), ...killed(state, nowMs));
    case 'ReportPaused':
      return state.status === 'running' ? accept({ type: 'ContainerPaused', commandId: command.commandId, atMs: nowMs }) : accept();
    case 'ReportUnpaused':
      return state.status === 'paused' ? accept({ type: 'ContainerUnpaused', commandId: command.commandId, atMs: nowMs }) : accept();
    case 'ReportHealth':
      if ((state.status !== 'running' && state.status !== 'paused') || state.run.startId !== command.startId || state.health === command.health) return accept();
      return accept({ type: 'ContainerHealthChanged', startId: command.startId, health: command.health, atMs: nowMs });
    case 'ReportRequestFailed': {
      const { commandId, code, message } = command;
      if (!state.requests.some((request) => request.commandId === commandId)) return accept();
      return accept({ type: 'ContainerRequestFailed', commandId, code, message, atMs: nowMs });
    }
    case 'ReportRemoved':
      return accept({ type: 'ContainerRemoved', atMs: nowMs });
    default:
      return assertNever(command);
  }
}

function decideRequest(state: Container, commandId: string, action: Action, nowMs: number): ContainerDecision {
  // Asked for already, or even done: a start is known by its command as long as nothing else was started.
  if (state.requests.some((request) => request.commandId === commandId) || startIdOf(state) === commandId) return accept();
  const removal = state.requests.find((request) => request.action.kind === 'remove');
  if (removal !== undefined) {
    if (action.kind === 'remove') return refuse('in-progress', `removal of container ${state.name} is already in progress`, removal.commandId);
    return refuse('removing', `container ${state.name} is being removed`);
  }
  if (state.requests.length >= maxPendingRequests) {
    return refuse('too-many-requests', `container ${state.name} has ${maxPendingRequests} requests that its host has not carried out yet`);
  }
  const same = state.requests.find((request) => request.action.kind === action.kind);
  const requested = accept<ContainerEvent>({ type: 'ContainerRequested', commandId, action, atMs: nowMs });
  switch (action.kind) {
    case 'start':
      if (state.status === 'paused') return refuse('paused', `container ${state.name} is paused: unpause it instead`);
      if (state.status === 'running' && !endsSoon(state)) return refuse('already-running', `container ${state.name} is already running`);
      return same === undefined ? requested : refuse('in-progress', `container ${state.name} is being started`, same.commandId);
    case 'stop':
      if (state.status !== 'running' && state.status !== 'paused' && state.status !== 'restarting' && !startsSoon(state)) {
        return refuse('already-stopped', `container ${state.name} is not running`);
      }
      return same === undefined ? requested : refuse('in-progress', `container ${state.name} is being stopped`, same.commandId);
    case 'restart':
      return requested;
    case 'kill':
      // Between two runs nobody is there to be signalled; what would end a run for good ends the restarting, as in Docker.
      if (state.status === 'restarting' && stopsByHand(state, action)) return requested;
      if (state.status !== 'running' && state.status !== 'paused') return refuse('not-running', `container ${state.name} is not running`);
      return requested;
    case 'pause':
      if (state.status === 'paused') return refuse('paused', `container ${state.name} is already paused`);
      if (state.status !== 'running') return refuse('not-running', `container ${state.name} is not running`);
      return requested;
    case 'unpause':
      if (state.status !== 'paused') return refuse('not-paused', `container ${state.name} is not paused`);
      return requested;
    case 'remove':
      if (!action.force && (state.status === 'running' || state.status === 'restarting')) {
        return refuse('running', `container ${state.name} is running: stop it before removing it, or force the removal`);
      }
      if (!action.force && state.status === 'paused') {
        return refuse('running', `container ${state.name} is paused: unpause and stop it before removing it, or force the removal`);
      }
      return requested;
    default:
      return assertNever(action);
  }
}

function decideStartFailed(state: Container, failed: { startId: string; exitCode: number; code: string; message: string }, nowMs: number): ContainerDecision {
  if (startIdOf(state) === failed.startId) return accept();
  const { startId, exitCode, code, message } = failed;
  // A person who starts a container takes it over from its restart policy, which begins anew with the next start that succeeds.
  const byPolicy = state.status === 'restarting' && !state.requests.some(({ commandId }) => commandId === startId);
  if (!byPolicy) {
    const events: ContainerEvent[] = [{ type: 'ContainerStartFailed', startId, exitCode, code, message, atMs: nowMs }];
    const comesBack = state.requests.some(({ commandId, action }) => commandId !== startId && (action.kind === 'restart' || action.kind === 'start' || action.kind === 'remove'));
    if (state.spec.autoRemove && !comesBack) events.push(autoRemoval(startId, nowMs));
    return accept(...events);
  }
  // A start by policy that failed counts as a run that ended at once: the policy goes on with its back-off.
  return decideExit(state, { exit: { startId, startedAtMs: nowMs, finishedAtMs: nowMs, exitCode, oomKilled: false, error: message }, hostShutdown: false });
}

function decideExit(state: Container, { exit, hostShutdown, knew: told }: Omit<Extract<ContainerCommand, { type: 'ReportExit' }>, 'type'>): ContainerDecision {
  if (state.status === 'assigned') return accept();
  const before = state.status === 'running' || state.status === 'paused' ? state.run.startId !== exit.startId : state.lastExit?.startId === exit.startId;
  if (before) return accept(); // an exit of an earlier start
  const { backoffStep, manuallyStopped } = state;
  // One that has been replaced goes, whatever its host has made of it meanwhile.
  const knew = state.replaced === undefined ? told : undefined;
  const restart = nextRestart(state.spec.restartPolicy, {
    exitCode: exit.exitCode,
    ranMs: exit.finishedAtMs - exit.startedAtMs,
    restartCount: restartsUpTo(state),
    backoffStep,
    manuallyStopped: knew?.manuallyStopped ?? manuallyStopped,
    hostShutdown,
  });
  const events: ContainerEvent[] = [
    { type: 'ContainerExited', exit, restart: restart === null ? null : { atMs: exit.finishedAtMs + restart.delayMs, backoffStep: restart.backoffStep } },
  ];
  // Where it comes back, or is back already, only a stop that the host knew of has been carried out by this end; another one is still to be.
  events.push(...stopped(state, exit.finishedAtMs, restart === null ? undefined : knew?.requests));
  const comesBack = restart !== null || state.requests.some(({ action }) => action.kind === 'restart' || action.kind === 'start' || action.kind === 'remove');
  if (state.spec.autoRemove && !comesBack) events.push(autoRemoval(exit.startId, exit.finishedAtMs));
  return accept(...events);
}

/** The removal that `autoRemove` asks for after the run that `startId` began. */
export function autoRemoveCommandId(startId: string): string {
  return `auto-remove:${startId}`;
}

const autoRemoval = (startId: string, atMs: number): ContainerEvent => ({ type: 'ContainerRequested', commandId: autoRemoveCommandId(startId), action: { kind: 'remove', force: true, volumes: true }, atMs });

/** `known`: no others than these; undefined: all. */
function stopped(state: Container, atMs: number, known?: readonly string[]): ContainerEvent[] {
  const commandIds = state.requests.filter(({ action, commandId }) => action.kind === 'stop' && (known === undefined || known.includes(commandId))).map((request) => request.commandId);
  return commandIds.length === 0 ? [] : [{ type: 'ContainerStopped', commandIds, atMs }];
}

function killed(state: Container, atMs: number): ContainerEvent[] {
  return state.requests.flatMap(({ commandId, action }) => (action.kind === 'kill' ? [{ type: 'ContainerSignalled' as const, commandId, signal: action.signal, atMs }] : []));
}

const asks = (kinds: readonly Action['kind'][]) => (request: Request) => kinds.includes(request.action.kind);
/** Other signals than SIGKILL may be handled: a start must not wait for an end that need not come. */
const endsSoon = (state: Container) => state.requests.some(({ action }) => action.kind === 'stop' || (action.kind === 'kill' && action.signal === 'SIGKILL'));
const startsSoon = (state: Container) => state.requests.some(asks(['start', 'restart']));
const isBeingRemoved = (state: Container) => state.requests.some(asks(['remove']));

/** The start that the state knows of last: of the present run, or of the run that ended. */
export function startIdOf(state: Container): string | null {
  switch (state.status) {
    case 'assigned':
      return null;
    case 'running':
    case 'paused':
      return state.run.startId;
    case 'created':
    case 'restarting':
    case 'exited':
    case 'removed':
      return state.lastExit?.startId ?? null;
    default:
      return assertNever(state);
  }
}
