// A container that is on a host and that the log does not know, e.g. because it was restored from a backup that is older: taken into the log as what it has come to,
// by the events that would have told of it. Pure.
import { accept, refuse, type Decision } from '../decision.ts';
import type { ContainerId, HostId } from '../ids.ts';
import type { ContainerSpec } from './spec.ts';
import type { Container, ContainerEvent, Exit, Run } from './state.ts';

/** Agent, when a person wants it: what its host knows of the container. */
export interface AdoptContainer {
  readonly type: 'AdoptContainer';
  readonly id: ContainerId;
  readonly hostId: HostId;
  readonly name: string;
  readonly spec: ContainerSpec;
  readonly createdAtMs: number;
  /** Of the task that it has; null: it has none. */
  readonly run: Run | null;
  readonly paused: boolean;
  /** Where it has no task; null: it never ran. */
  readonly lastExit: Exit | null;
  readonly manuallyStopped: boolean;
}

/** Why a container, as its host knew it last, cannot be taken into the log; null: it can. */
export function explainUnadoptable(container: Container | null): string | null {
  if (container === null) return 'its host does not know what it was asked to be';
  if (container.spec.service !== undefined) return 'it is a replica of a service, which has others in its place by now';
  if (container.volumes !== undefined && container.volumes.length > 0) return 'it has volumes, which the log need not know';
  if (container.replaced !== undefined) return 'another container has taken its place';
  return container.status === 'removed' ? 'it was being removed' : null;
}

export function decideAdoption(state: Container | null, { id, hostId, name, spec, createdAtMs, run, paused, lastExit, manuallyStopped }: AdoptContainer, nowMs: number): Decision<ContainerEvent> {
  if (state !== null) return refuse('already-exists', `container ${id} is in the log already`);
  const events: ContainerEvent[] = [{ type: 'ContainerAssigned', id, hostId, name, spec, atMs: createdAtMs }, { type: 'ContainerCreated', atMs: createdAtMs }];
  if (run !== null) {
    events.push({ type: 'ContainerStarted', run, byPolicy: false });
    if (paused) events.push({ type: 'ContainerPaused', commandId: null, atMs: nowMs });
  } else if (lastExit !== null) {
    // Who was stopped by hand is not to come back with its host.
    const commandId = `adopt:${id}`;
    if (manuallyStopped) events.push({ type: 'ContainerRequested', commandId, action: { kind: 'stop', signal: spec.stopSignal, timeoutSeconds: 0 }, atMs: lastExit.finishedAtMs });
    events.push({ type: 'ContainerExited', exit: lastExit, restart: null });
    if (manuallyStopped) events.push({ type: 'ContainerStopped', commandIds: [commandId], atMs: lastExit.finishedAtMs });
  }
  return accept(...events);
}
