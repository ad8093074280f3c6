// Giving a container a successor where its host is lost or drained: when that may be, and what becomes of the one that is replaced.
import { accept, refuse, type Decision } from '../decision.ts';
import type { ContainerId } from '../ids.ts';
import type { Action, Container, ContainerEvent, Replacement, Request } from './state.ts';

/** Docker's grace time where a container says nothing. */
const defaultStopSeconds = 10;

/** The name that a replaced container has until it is gone: its own is its successor's. */
export function replacedName({ id, name }: Pick<Container, 'id' | 'name'>): string {
  return `${name.slice(0, 200)}.replaced.${id.slice(0, 12)}`;
}

/** Whether a container has the name of one that is replaced. */
export function isReplacedName({ id, name }: { readonly id: string; readonly name: string }): boolean {
  return name.endsWith(`.replaced.${id.slice(0, 12)}`);
}

/** Why a container gets no successor when its host is lost or drained, as a sentence; null: it gets one. */
export function explainStay(state: Container): string | null {
  if (state.replaced !== undefined) return `container ${state.name} has a successor already`;
  if (state.spec.placement?.rescheduleOnHostLoss !== true) return `container ${state.name} is not to be moved: what it has written would be lost; the label io.pouch.reschedule=on-host-loss allows it`;
  if (state.requests.some(({ action }) => action.kind === 'remove')) return `container ${state.name} is being removed`;
  if (state.requests.some(({ action }) => action.kind === 'stop')) return `container ${state.name} is being stopped`;
  return runs(state) ? null : `container ${state.name} is not running`;
}

/** It runs, comes back by itself, or has been asked to start. */
function runs({ status, requests }: Container): boolean {
  return status === 'running' || status === 'paused' || status === 'restarting' || requests.some(({ action }) => action.kind === 'start' || action.kind === 'restart');
}

export function decideReplace(state: Container, { successorId, why }: { readonly successorId: ContainerId; readonly why: Replacement['why'] }, nowMs: number): Decision<ContainerEvent> {
  if (state.replaced?.successorId === successorId) return accept();
  const stays = explainStay(state);
  if (stays !== null) return refuse('stale', stays);
  const request = (what: string, action: Action): Request => ({ commandId: `${what}:${successorId}`, atMs: nowMs, action });
  const { stopSignal, stopTimeoutSeconds } = state.spec;
  // On a host that is lost it may run on unseen: when the host is back it has no time left. On one that is drained it ends as it always does.
  const requests = why === 'host-lost'
    ? [request('remove', { kind: 'remove', force: true })]
    : [request('stop', { kind: 'stop', signal: stopSignal, timeoutSeconds: stopTimeoutSeconds ?? defaultStopSeconds }), request('remove', { kind: 'remove', force: false })];
  return accept({ type: 'ContainerReplaced', successorId, newName: replacedName(state), why, requests, atMs: nowMs });
}

/** Whether the successor may come to be: the one on a lost host is out of reach, the one on a drained host is to have ended first. */
export function successorIsDue(state: Container): boolean {
  const { replaced, status } = state;
  if (replaced === undefined || replaced.requested) return false;
  return replaced.why === 'host-lost' || status === 'exited' || status === 'removed';
}

export function evolveReplaced(state: Container, { successorId, newName, why, requests, atMs }: Extract<ContainerEvent, { type: 'ContainerReplaced' }>): Container {
  const message = `container ${state.name} has been replaced by ${successorId.slice(0, 12)}: its host was ${why === 'host-lost' ? 'lost' : 'drained'}`;
  const failures = [...state.failures, ...state.requests.map(({ commandId }) => ({ commandId, code: 'replaced', message }))];
  return { ...state, name: newName, requests, failures, manuallyStopped: true, replaced: { successorId, name: state.name, why, atMs, requested: false } };
}
