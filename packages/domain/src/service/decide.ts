// What may happen to a service: what people want of it, and what follows from what its tasks have come to.
import { accept, assertNever, refuse, type Decision } from '../decision.ts';
import { advanceService, type Surroundings } from './advance.ts';
import type { Service, ServiceEvent, ServiceSpec } from './state.ts';

export type ServiceCommand =
  | { readonly type: 'CreateService'; readonly name: string; readonly uid: string; readonly spec: ServiceSpec }
  /** `version`: the one that was seen, null for whichever there is; `force`: exchange the replicas also where nothing differs. */
  | { readonly type: 'UpdateService'; readonly uid: string; readonly version: number | null; readonly spec: ServiceSpec; readonly force: boolean }
  /** Back to what the last update replaced. */
  | { readonly type: 'RollBackService'; readonly uid: string; readonly version: number | null }
  | { readonly type: 'RemoveService'; readonly uid: string }
  /** Scheduler, again and again. */
  | { readonly type: 'AdvanceService'; readonly uid: string; readonly surroundings: Surroundings };

export function decideService(state: Service | null, command: ServiceCommand, nowMs: number): Decision<ServiceEvent> {
  if (command.type === 'CreateService') {
    const { name, uid, spec } = command;
    if (state?.state === 'present') return refuse('already-exists', `there is a service ${name} already`);
    if (state?.state === 'removing') return refuse('removing', `the service ${name} that was there is being removed: its replicas are still ending`);
    return accept({ type: 'ServiceCreated', name, uid, spec, atMs: nowMs });
  }
  if (state === null || state.state === 'removed' || state.uid !== command.uid) return refuse('not-found', 'no such service');
  switch (command.type) {
    case 'RemoveService':
      return state.state === 'removing' ? accept() : accept({ type: 'ServiceRemovalRequested', atMs: nowMs });
    case 'AdvanceService':
      return accept(...advanceService(state, command.surroundings, nowMs));
    case 'UpdateService':
    case 'RollBackService':
      if (state.state === 'removing') return refuse('removing', `service ${state.name} is being removed`);
      if (command.version !== null && command.version !== state.version) return refuse('stale', `update out of sequence: service ${state.name} is at version ${state.version} by now, not at ${command.version}`);
      return command.type === 'UpdateService' ? decideUpdate(state, command, nowMs) : decideRollBack(state, nowMs);
    default:
      return assertNever(command);
  }
}

function decideUpdate(state: Service, { spec, force }: Extract<ServiceCommand, { type: 'UpdateService' }>, nowMs: number): Decision<ServiceEvent> {
  const isSame = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other);
  if (!force && isSame(spec, state.spec)) return accept();
  const exchanges = force || !isSame(spec.templates, state.spec.templates);
  return accept({ type: 'ServiceUpdated', spec, generation: exchanges ? state.generations + 1 : state.generation, atMs: nowMs });
}

function decideRollBack(state: Service, nowMs: number): Decision<ServiceEvent> {
  if (state.previous === null) return refuse('no-change', `service ${state.name} has not been updated: there is nothing to roll back to`);
  return accept({ type: 'ServiceRolledBack', why: 'rolled back by request', atMs: nowMs });
}
