// How events change a container. Never refuses: an event has happened. An event of a type that is not known yet changes nothing.
import type { Action, Container, ContainerEvent, Exit, Failure, Request } from './state.ts';
import { evolveReplaced } from './replace.ts';
import { maxRememberedFailures } from './state.ts';

/** The state after `event`. Unknown event types, written by a newer version, leave the state as it is. */
export function evolveContainer(state: Container | null, event: ContainerEvent): Container | null {
  if (event.type === 'ContainerAssigned') {
    const { id, hostId, name, spec, predecessor, startId, imageHolders, volumes, atMs } = event;
    const requests: Request[] = startId === undefined ? [] : [{ commandId: startId, atMs, action: { kind: 'start' } }];
    return {
      status: 'assigned', id, hostId, name, spec, createdAtMs: atMs, requests, failures: [], restartCount: 0, backoffStep: 0, manuallyStopped: false,
      ...(predecessor === undefined ? {} : { predecessor }), ...(imageHolders === undefined ? {} : { imageHolders }),
      ...(volumes === undefined ? {} : { volumes }),
    };
  }
  return state === null ? null : evolveKnown(state, event);
}

function evolveKnown(state: Container, event: Exclude<ContainerEvent, { type: 'ContainerAssigned' }>): Container {
  switch (event.type) {
    case 'ContainerCreated':
      return { ...common(state), status: 'created', lastExit: null };
    case 'ContainerCreateFailed':
      return removed(state, event.atMs, { kind: 'create-failed', code: event.code, message: event.message });
    case 'ContainerRejected':
      return removed(state, event.atMs, { kind: 'rejected', code: event.code, message: event.message });
    case 'ContainerRequested': {
      const { commandId, action, atMs } = event;
      return { ...state, requests: [...state.requests, { commandId, action, atMs }], manuallyStopped: state.manuallyStopped || stopsByHand(state, action) };
    }
    case 'ContainerRequestFailed':
      return failed(state, event);
    case 'ContainerStarted': {
      const { run, byPolicy } = event;
      const base = without(state, (request) => request.commandId === run.startId);
      // A stop that was asked while the start was under way still holds.
      const manuallyStopped = base.requests.some(({ action }) => stopsByHand(state, action));
      return byPolicy
        ? { ...common(base), status: 'running', run, restartCount: state.restartCount + 1, manuallyStopped }
        : { ...common(base), status: 'running', run, restartCount: 0, backoffStep: 0, manuallyStopped };
    }
    case 'ContainerStartFailed': {
      const { startId, exitCode, message, atMs, code } = event;
      const base = common(failed(state, { commandId: startId, code, message }));
      const lastExit: Exit = { startId, startedAtMs: atMs, finishedAtMs: atMs, exitCode, oomKilled: false, error: message };
      return state.status === 'created' ? { ...base, status: 'created', lastExit } : { ...base, status: 'exited', lastExit };
    }
    case 'ContainerSignalled':
      return without(state, (request) => request.commandId === event.commandId && request.action.kind === 'kill');
    case 'ContainerOomKilled':
      return state;
    case 'ContainerExited':
      return event.restart === null
        ? { ...common(state), status: 'exited', lastExit: event.exit, restartCount: restartsUpTo(state), backoffStep: 0 }
        : { ...common(state), status: 'restarting', restartCount: restartsUpTo(state), lastExit: event.exit, restartAtMs: event.restart.atMs, backoffStep: event.restart.backoffStep };
    case 'ContainerRestartCancelled':
      return state.status === 'restarting' ? { ...common(state), status: 'exited', lastExit: state.lastExit } : state;
    case 'ContainerStopped':
      return without(state, (request) => event.commandIds.includes(request.commandId));
    case 'ContainerPaused': {
      const base = without(state, (request) => request.commandId === event.commandId);
      return base.status === 'running' ? { ...base, status: 'paused' } : base;
    }
    case 'ContainerUnpaused': {
      const base = without(state, (request) => request.commandId === event.commandId);
      return base.status === 'paused' ? { ...base, status: 'running' } : base;
    }
    case 'ContainerHealthChanged':
      return (state.status === 'running' || state.status === 'paused') && state.run.startId === event.startId ? { ...state, health: event.health } : state;
    case 'ContainerRenamed':
      return { ...state, name: event.newName };
    case 'ContainerReplaced':
      return evolveReplaced(state, event);
    case 'ContainerSuccessorRequested':
      return state.replaced === undefined ? state : { ...state, replaced: { ...state.replaced, requested: true } };
    case 'ContainerRemoved':
      return removed(state, event.atMs, { kind: 'removed' });
    default:
      return state;
  }
}

/** Restarts by policy when an exit is told. Between two runs, that exit is of a restart which came to nothing, and counts too: else `on-failure` would try for ever. */
export function restartsUpTo(state: Container): number {
  return state.status === 'restarting' ? state.restartCount + 1 : state.restartCount;
}

type CommonOf = Pick<Container, 'id' | 'hostId' | 'name' | 'spec' | 'createdAtMs' | 'requests' | 'failures' | 'restartCount' | 'backoffStep' | 'manuallyStopped' | 'predecessor' | 'replaced' | 'volumes'>;

function common(state: Container): CommonOf {
  const { id, hostId, name, spec, createdAtMs, requests, failures, restartCount, backoffStep, manuallyStopped, predecessor, replaced, volumes } = state;
  return {
    id, hostId, name, spec, createdAtMs, requests, failures, restartCount, backoffStep, manuallyStopped,
    ...(predecessor === undefined ? {} : { predecessor }), ...(replaced === undefined ? {} : { replaced }),
    ...(volumes === undefined ? {} : { volumes }),
  };
}

function without(state: Container, done: (request: Request) => boolean): Container {
  return { ...state, requests: state.requests.filter((request) => !done(request)) };
}

function failed(state: Container, { commandId, code, message }: Failure): Container {
  const failures = [...state.failures, { commandId, code, message }].slice(-maxRememberedFailures);
  return { ...without(state, (request) => request.commandId === commandId), failures };
}

function removed(state: Container, removedAtMs: number, reason: Extract<Container, { status: 'removed' }>['reason']): Container {
  const lastExit = 'lastExit' in state ? state.lastExit : null;
  // What was never made has put nothing into its volumes.
  const withVolumes = reason.kind === 'create-failed' || state.requests.some(({ action }) => action.kind === 'remove' && action.volumes === true);
  return { ...common(state), status: 'removed', lastExit, removedAtMs, reason, requests: [], ...(withVolumes ? { withVolumes } : {}) };
}

/** Docker's rule: stop, restart and removal by hand end the restart policy, and so does a kill with SIGKILL or the stop signal. */
export function stopsByHand(state: Container, action: Action): boolean {
  switch (action.kind) {
    case 'stop':
    case 'restart':
    case 'remove':
      return true;
    case 'kill':
      return action.signal === 'SIGKILL' || action.signal === state.spec.stopSignal;
    case 'start':
    case 'pause':
    case 'unpause':
      return false;
  }
}
