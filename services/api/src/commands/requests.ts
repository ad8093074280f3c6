// Asking something of a container and waiting for what comes of it: one way for start, stop, restart, kill, pause, unpause and remove.
// The log decides; the wait looks at the projection. Knows no HTTP but the errors' table.
import { randomUUID } from 'node:crypto';
import { containerSubject } from '@pouch/contracts';
import { decideContainer, type Action, type Container, type Failure, type Refusal } from '@pouch/domain';
import { execute } from '@pouch/eventlog';
import type { Stored } from '@pouch/projections';
import type { Deps } from '../deps.ts';
import { failed, HttpError, noSuchContainer, refused } from '../errors.ts';

type CommandDeps = Pick<Deps, 'log' | 'projection' | 'clock'>;

export interface Asking {
  readonly actor: string;
  /** Ends the wait, not the command: it has been asked for. */
  readonly signal: AbortSignal;
}

/** A host that carries out nothing for this long is told of; the request stays in the log. */
const patienceMs = 600_000;
const showMs = 5_000;

/** How often those who wait look whether the host is lost meanwhile. */
const lookAtHostMs = 1_000;

/** A container whose host is lost cannot be acted on: told at once, with when that would be. */
function lostHost({ projection }: Pick<CommandDeps, 'projection'>, { hostId, name }: Container, action: Action): HttpError | null {
  const host = projection.present.host(hostId)?.state;
  if (host?.state !== 'lost') return null;
  return failed('host-unavailable', `host ${hostId} of container ${name} is lost since ${new Date(host.stateSinceMs).toISOString()}: ${action.kind} is possible when it is back`);
}

/** Asks for `action` and resolves when it is done. Rejects with an HttpError: refused (304 where it is so already), failed on the host, or too slow. */
export async function requestAction(deps: CommandDeps, stored: Stored<Container>, action: Action, { actor, signal }: Asking): Promise<void> {
  const { log, projection, clock } = deps;
  const { id, hostId, name } = stored.state;
  const lost = lostHost(deps, stored.state, action);
  if (lost !== null && action.kind !== 'remove') throw lost;
  const commandId = randomUUID();
  const nowMs = clock.now();
  const outcome = await execute({
    log, kind: 'container', subject: containerSubject(hostId, id), commandId,
    meta: { atMs: nowMs, service: 'api', actor, cause: null },
    cached: { seq: stored.seq, snapshot: stored.state },
    decide: (state) => decideContainer(state, { type: 'RequestAction', commandId, action }, nowMs),
  });
  if (!outcome.ok) {
    const { refusal } = outcome;
    // The same is under way already: its outcome answers this one too. A removal is answered as Docker answers it.
    if (refusal.code === 'in-progress' && refusal.commandId !== undefined && action.kind !== 'remove') return await outcomeOf(deps, stored.state, refusal.commandId, outcome.seq, action, signal);
    // Whoever is refused looks why: what the log said no on is to be seen. Where it cannot be shown in time, the refusal stands all the same.
    await projection.waitForSeq(outcome.seq, { timeoutMs: showMs, signal }).catch(() => undefined);
    throw refused(refusal, wording(refusal, action, { id, name }));
  }
  // A removal is wanted for good: it is done when the host is back, and nobody need wait for that.
  if (lost !== null) return void (await projection.waitForSeq(outcome.seq, { timeoutMs: showMs, signal }).catch(() => undefined));
  await outcomeOf(deps, stored.state, commandId, outcome.seq, action, signal);
}

/** Until the request has left the container's list, or the host is lost. */
async function outcomeOf(deps: CommandDeps, container: Container, commandId: string, seq: number, action: Action, signal: AbortSignal): Promise<void> {
  const gone = new AbortController();
  const timer = setInterval(() => {
    const lost = lostHost(deps, container, action);
    if (lost !== null) gone.abort(action.kind === 'remove' ? removalStands : lost);
  }, lookAtHostMs);
  try {
    await carriedOut(deps, container, commandId, seq, action, AbortSignal.any([signal, gone.signal]));
  } catch (error) {
    if (error !== removalStands) throw error;
  } finally {
    clearInterval(timer);
  }
}

const removalStands = new Error('the host is lost; the removal is done when it is back');

async function carriedOut({ projection }: CommandDeps, { id, name }: Container, commandId: string, seq: number, action: Action, signal: AbortSignal): Promise<void> {
  await projection.waitForContainer(id, (container) => {
    if (container === null || container.status === 'removed') {
      if (container === null && action.kind === 'remove') return true;
      if (container === null || !hadHappened(container, action, commandId)) throw noSuchContainer(name);
      return true;
    }
    const failure = container.failures.find((one) => one.commandId === commandId);
    if (failure !== undefined) throw failedRequest(container, failure);
    return container.requests.some((request) => request.commandId === commandId) ? undefined : true;
  }, { timeoutMs: timeoutOf(action), signal, afterSeq: seq }).catch((error: unknown) => {
    if ((error as { code?: unknown }).code !== 'timeout') throw error;
    throw new HttpError(504, `the host of container ${name} has not carried out ${action.kind} within ${patienceMs / 60_000} minutes; it stays asked for`, { cause: error });
  });
}

/** A command that is not in the container or cannot be executed is a mistake of whoever asked, as in Docker; other failed starts are the host's. */
function failedRequest(container: Container, { commandId, code, message }: Failure): HttpError {
  const exit = 'lastExit' in container && container.lastExit?.startId === commandId ? container.lastExit : null;
  return failed(code === 'start-failed' && (exit?.exitCode === 126 || exit?.exitCode === 127) ? 'command-not-found' : code, message);
}

/** Whether a container that is gone by now did what was asked before: one with AutoRemove may end before anybody has looked. */
function hadHappened(container: Extract<Container, { status: 'removed' }>, action: Action, commandId: string): boolean {
  const failure = container.failures.find((one) => one.commandId === commandId);
  if (failure !== undefined) throw failedRequest(container, failure);
  switch (action.kind) {
    case 'start':
    case 'restart':
      return container.lastExit?.startId === commandId;
    case 'stop':
    case 'kill':
    case 'remove':
      return true;
    case 'pause':
    case 'unpause':
      return false;
  }
}

function timeoutOf(action: Action): number | null {
  if (action.kind !== 'stop' && action.kind !== 'restart') return patienceMs;
  return action.timeoutSeconds < 0 ? null : patienceMs + action.timeoutSeconds * 1_000;
}

/** Docker's words where clients and people know them. */
function wording({ code, message }: Refusal, action: Action, { id, name }: Pick<Container, 'id' | 'name'>): string {
  switch (action.kind) {
    case 'kill':
      return code === 'not-running' ? `Cannot kill container: ${name}: Container ${id} is not running` : message;
    case 'pause':
      return code === 'not-running' ? `Container ${id} is not running` : code === 'paused' ? `Container ${id} is already paused` : message;
    case 'unpause':
      return code === 'not-paused' ? `Container ${id} is not paused` : message;
    case 'start':
      return code === 'paused' ? 'cannot start a paused container, try unpause instead' : message;
    case 'remove':
      if (code === 'running') {
        return message.includes('paused')
          ? `You cannot remove a paused container ${id}. Unpause and then stop the container before attempting removal or force remove`
          : `You cannot remove a running container ${id}. Stop the container before attempting removal or force remove`;
      }
      return code === 'in-progress' || code === 'removing' ? `removal of container ${name} is already in progress` : message;
    case 'stop':
    case 'restart':
      return message;
  }
}
