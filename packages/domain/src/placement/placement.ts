// A request for a container, from asking to the host that got it or the reasons why none could. Kept apart from the container, which is bound to its host.
import { accept, assertNever, refuse, type Decision } from '../decision.ts';
import type { ContainerId, HostId } from '../ids.ts';
import type { ContainerSpec } from '../container/spec.ts';
import type { VolumeUse } from '../volume.ts';

/** Hosts that one request may be refused by before it is given up. */
export const maxPlacementAttempts = 8;

/** Code of a placement that was wanted no more. */
export const cancelledCode = 'cancelled';

/** What one host's filters said. `filter` is null for the host that could take it. */
export interface Verdict {
  readonly hostId: HostId;
  readonly filter: string | null;
  /** One sentence that a person can act on; of a host that could take it, what its rank rests on. */
  readonly reason: string;
  readonly score: number | null;
}

interface Common {
  readonly id: ContainerId;
  readonly name: string;
  readonly spec: ContainerSpec;
  readonly requestedAtMs: number;
  /** Whose place it takes: it waits for a host rather than be refused. */
  readonly predecessor?: ContainerId;
  /** It is started as soon as it is made, without being asked. */
  readonly start?: boolean;
  /** Hosts that were chosen and said no, with their reasons. */
  readonly rejections: readonly Verdict[];
}

export type Placement = Common &
  (
    | { readonly status: 'requested' }
    | { readonly status: 'placed'; readonly hostId: HostId; readonly epoch: number; readonly verdicts: readonly Verdict[]; readonly volumes?: readonly VolumeUse[]; readonly atMs: number }
    | { readonly status: 'refused'; readonly code: string; readonly message: string; readonly verdicts: readonly Verdict[]; readonly atMs: number }
  );

export type PlacementEvent =
  | { readonly type: 'PlacementRequested'; readonly id: ContainerId; readonly name: string; readonly spec: ContainerSpec; readonly predecessor?: ContainerId; readonly start?: boolean; readonly atMs: number }
  | { readonly type: 'ContainerPlaced'; readonly hostId: HostId; readonly epoch: number; readonly verdicts: readonly Verdict[]; readonly volumes?: readonly VolumeUse[]; readonly atMs: number }
  /** The chosen host said no; it is to be placed again. */
  | { readonly type: 'PlacementRejected'; readonly hostId: HostId; readonly code: string; readonly message: string; readonly atMs: number }
  | { readonly type: 'PlacementRefused'; readonly code: string; readonly message: string; readonly verdicts: readonly Verdict[]; readonly atMs: number };

export type PlacementCommand =
  | { readonly type: 'RequestPlacement'; readonly id: ContainerId; readonly name: string; readonly spec: ContainerSpec; readonly predecessor?: ContainerId; readonly start?: boolean }
  /** `epoch`: revision of the scheduler's lease. `volumes`: they have been taken for it on that host. */
  | { readonly type: 'PlaceContainer'; readonly hostId: HostId; readonly epoch: number; readonly verdicts: readonly Verdict[]; readonly volumes?: readonly VolumeUse[] }
  | { readonly type: 'ReportRejection'; readonly hostId: HostId; readonly code: string; readonly message: string }
  | { readonly type: 'RefusePlacement'; readonly code: string; readonly message: string; readonly verdicts: readonly Verdict[] }
  /** Scheduler: it is wanted no more, or never was; after this nobody can place it. What is placed already stays so. */
  | { readonly type: 'CancelPlacement'; readonly id: ContainerId; readonly name: string; readonly spec: ContainerSpec; readonly message: string };

export function decidePlacement(state: Placement | null, command: PlacementCommand, nowMs: number): Decision<PlacementEvent> {
  if (command.type === 'RequestPlacement') {
    if (state !== null) return refuse('already-exists', `container ${command.id} has been asked for already`);
    const { id, name, spec, predecessor, start } = command;
    return accept({ type: 'PlacementRequested', id, name, spec, ...origin({ predecessor, start }), atMs: nowMs });
  }
  if (command.type === 'CancelPlacement') {
    if (state !== null && state.status !== 'requested') return accept();
    const { id, name, spec, message } = command;
    const refused: PlacementEvent = { type: 'PlacementRefused', code: cancelledCode, message, verdicts: [], atMs: nowMs };
    return state === null ? accept<PlacementEvent>({ type: 'PlacementRequested', id, name, spec, atMs: nowMs }, refused) : accept(refused);
  }
  if (state === null) return refuse('not-found', 'no such placement');
  switch (command.type) {
    case 'PlaceContainer':
      if (state.status !== 'requested') return refuse('stale', `container ${state.name} is ${state.status} already`);
      // Chosen before the host said no: there it cannot come to be any more.
      if (state.rejections.some(({ hostId }) => hostId === command.hostId)) return refuse('stale', `host ${command.hostId} has refused container ${state.name}`);
      return accept({ type: 'ContainerPlaced', hostId: command.hostId, epoch: command.epoch, verdicts: command.verdicts, ...placedVolumes(command), atMs: nowMs });
    case 'ReportRejection':
      if (state.status !== 'placed' || state.hostId !== command.hostId) return accept();
      return accept({ type: 'PlacementRejected', hostId: command.hostId, code: command.code, message: command.message, atMs: nowMs });
    case 'RefusePlacement':
      if (state.status !== 'requested') return refuse('stale', `container ${state.name} is ${state.status} already`);
      return accept({ type: 'PlacementRefused', code: command.code, message: command.message, verdicts: command.verdicts, atMs: nowMs });
    default:
      return assertNever(command);
  }
}

export function evolvePlacement(state: Placement | null, event: PlacementEvent): Placement | null {
  if (event.type === 'PlacementRequested') {
    return { status: 'requested', id: event.id, name: event.name, spec: event.spec, requestedAtMs: event.atMs, rejections: [], ...origin(event) };
  }
  if (state === null) return null;
  const { id, name, spec, requestedAtMs, rejections } = state;
  const common = { id, name, spec, requestedAtMs, rejections, ...origin(state) };
  switch (event.type) {
    case 'ContainerPlaced':
      return { ...common, status: 'placed', hostId: event.hostId, epoch: event.epoch, verdicts: event.verdicts, ...placedVolumes(event), atMs: event.atMs };
    case 'PlacementRejected': {
      const verdict: Verdict = { hostId: event.hostId, filter: 'host', reason: event.message, score: null };
      return { ...common, status: 'requested', rejections: [...rejections, verdict].slice(-maxPlacementAttempts) };
    }
    case 'PlacementRefused':
      return { ...common, status: 'refused', code: event.code, message: event.message, verdicts: event.verdicts, atMs: event.atMs };
    default:
      return state;
  }
}

const placedVolumes = ({ volumes }: { readonly volumes?: readonly VolumeUse[] | undefined }): { volumes?: readonly VolumeUse[] } => (volumes === undefined || volumes.length === 0 ? {} : { volumes });

function origin({ predecessor, start }: { readonly predecessor?: ContainerId | undefined; readonly start?: boolean | undefined }): Pick<Common, 'predecessor' | 'start'> {
  return { ...(predecessor === undefined ? {} : { predecessor }), ...(start === undefined ? {} : { start }) };
}
