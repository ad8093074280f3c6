// A volume: a name in the cluster for a directory on one host. It gets its host with the first container that uses it, and never leaves it; what it
// holds is that host's. Who uses it stands in it, so that nobody can remove what somebody else is being given at that moment.
import type { ContainerSpec, Mount } from './container/spec.ts';
import { accept, assertNever, refuse, type Decision } from './decision.ts';
import type { ContainerId, HostId } from './ids.ts';

/** Containers that may have one volume; the list stands in each of its messages. */
export const maxVolumeUsers = 1_000;
/** Removed data that a volume's name remembers: a host that was away takes them away when it is back. */
export const maxFormer = 64;
/** Docker's label of volumes that nobody gave a name. */
export const anonymousLabel = 'com.docker.volume.anonymous';

/** A directory with a volume's data: which, and on which host. */
export interface VolumeData {
  /** 32 hex digits; the directory's name. A later volume of the same name has another one. */
  readonly dataId: string;
  readonly hostId: HostId;
}

/** What a container is given of a volume: its name, and where its data are. */
export interface VolumeUse {
  readonly name: string;
  readonly dataId: string;
}

export interface Volume {
  /** Its name, dots as `~`. */
  readonly id: string;
  readonly name: string;
  readonly state: 'present' | 'removed';
  readonly labels: Readonly<Record<string, string>>;
  readonly dataId: string;
  /** Null: no container has used it yet. */
  readonly hostId: HostId | null;
  /** Made for one container, which it may go with. */
  readonly anonymous: boolean;
  /** Containers that have it, running or not. */
  readonly users: readonly ContainerId[];
  /** Data of this name that are to go, the newest last. */
  readonly former: readonly VolumeData[];
  readonly createdAtMs: number;
  readonly sinceMs: number;
}

export type VolumeEvent =
  | { readonly type: 'VolumeCreated'; readonly name: string; readonly labels: Readonly<Record<string, string>>; readonly dataId: string; readonly anonymous: boolean; readonly atMs: number }
  /** It is on this host from now on; `dataId`: of data that are begun anew. */
  | { readonly type: 'VolumeBound'; readonly hostId: HostId; readonly dataId: string; readonly atMs: number }
  | { readonly type: 'VolumeTaken'; readonly containerId: ContainerId; readonly atMs: number }
  | { readonly type: 'VolumeReleased'; readonly containerId: ContainerId; readonly atMs: number }
  | { readonly type: 'VolumeRemoved'; readonly atMs: number };

export type VolumeCommand =
  | { readonly type: 'CreateVolume'; readonly name: string; readonly labels: Readonly<Record<string, string>>; readonly dataId: string }
  /** Scheduler: a container is to be placed on `hostId` with it. `dataId`: of new data, where there are to be some; `rejectedBy`: hosts that have said no to the container. */
  | { readonly type: 'TakeVolume'; readonly name: string; readonly labels: Readonly<Record<string, string>>; readonly anonymous: boolean; readonly dataId: string; readonly hostId: HostId; readonly containerId: ContainerId; readonly rejectedBy: readonly HostId[] }
  /** A container is gone. `withAnonymous`: a volume that was made for it alone goes as well. */
  | { readonly type: 'ReleaseVolume'; readonly containerId: ContainerId; readonly withAnonymous: boolean }
  /** `gone`: users that are no more, though the volume has not heard of it. */
  | { readonly type: 'RemoveVolume'; readonly gone: readonly ContainerId[] };

/** Docker's rule for names of volumes, with a bound: at least two of `a-zA-Z0-9_.-`, the first a letter or digit. */
export function isVolumeName(text: string): boolean {
  return /^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}$/.test(text);
}

/** The name as a token of NATS subjects: dots, which would part it, are written as `~`. */
export const volumeId = (name: string): string => name.replaceAll('.', '~');

export type VolumeMount = Extract<Mount, { type: 'volume' }>;

/** The volumes of a container, in the order of its mounts. One without a name has one that only this container can have. */
export function volumesOf(containerId: ContainerId, mounts: readonly Mount[]): readonly { readonly name: string; readonly mount: VolumeMount }[] {
  return mounts.flatMap((mount, index) => (mount.type === 'volume' ? [{ name: mount.name ?? `${containerId.slice(0, 60)}${index.toString(16).padStart(4, '0')}`, mount }] : []));
}

/** What another container gets of this one's mounts: binds and volumes, the volumes of its own by the names that they have. Nothing is copied into those from the other's image. */
export function mountsToShare({ id, spec: { mounts } }: { readonly id: ContainerId; readonly spec: Pick<ContainerSpec, 'mounts'> }, { readonly: isReadonly }: { readonly readonly: boolean }): readonly Mount[] {
  const names = new Map<Mount, string>(volumesOf(id, mounts).map(({ name, mount }) => [mount, name]));
  return mounts.flatMap((mount): Mount[] => {
    if (mount.type === 'tmpfs') return [];
    const shared = { declaredAs: 'volumes-from', readonly: mount.readonly || isReadonly } as const;
    return [mount.type === 'bind' ? { ...mount, ...shared } : { ...mount, ...shared, name: names.get(mount) ?? mount.name, noCopy: true, labels: {} }];
  });
}

/** Names of the volumes that bind a container to the host that has them. */
export function boundVolumes(mounts: readonly Mount[]): readonly string[] {
  return mounts.flatMap((mount) => (mount.type === 'volume' && mount.name !== null ? [mount.name] : []));
}

export function decideVolume(state: Volume | null, command: VolumeCommand, nowMs: number): Decision<VolumeEvent> {
  const present = state?.state === 'present' ? state : null;
  switch (command.type) {
    case 'CreateVolume': {
      // As Docker: asking for one that is there is no error.
      const { name, labels, dataId } = command;
      return present === null ? accept({ type: 'VolumeCreated', name, labels, dataId, anonymous: false, atMs: nowMs }) : accept();
    }
    case 'TakeVolume':
      return take(present, command, nowMs);
    case 'ReleaseVolume': {
      const { containerId, withAnonymous } = command;
      if (present === null || !present.users.includes(containerId)) return accept();
      const released: VolumeEvent = { type: 'VolumeReleased', containerId, atMs: nowMs };
      return withAnonymous && present.anonymous && present.users.length === 1 ? accept<VolumeEvent>(released, { type: 'VolumeRemoved', atMs: nowMs }) : accept(released);
    }
    case 'RemoveVolume': {
      if (present === null) return refuse('not-found', 'no such volume');
      const using = present.users.filter((user) => !command.gone.includes(user));
      if (using.length > 0) return refuse('in-use', `volume is in use - [${using.slice(0, 10).join(', ')}]`);
      return accept({ type: 'VolumeRemoved', atMs: nowMs });
    }
    default:
      return assertNever(command);
  }
}

function take(present: Volume | null, { name, labels, anonymous, dataId, hostId, containerId, rejectedBy }: Extract<VolumeCommand, { type: 'TakeVolume' }>, nowMs: number): Decision<VolumeEvent> {
  const events: VolumeEvent[] = present === null ? [{ type: 'VolumeCreated', name, labels, dataId, anonymous, atMs: nowMs }] : [];
  const boundTo = present?.hostId ?? null;
  const users = present?.users ?? [];
  const own = users.includes(containerId);
  if (boundTo === null) events.push({ type: 'VolumeBound', hostId, dataId: present?.dataId ?? dataId, atMs: nowMs });
  else if (boundTo !== hostId) {
    // A host that said no to the container has not used what was made for it. Without that no, another scheduler is placing it there.
    if (present?.anonymous !== true || !own || users.length > 1 || !rejectedBy.includes(boundTo)) return refuse('stale', `volume ${name} is on host ${boundTo}`);
    events.push({ type: 'VolumeBound', hostId, dataId, atMs: nowMs });
  }
  if (own) return accept(...events);
  if (users.length >= maxVolumeUsers) return refuse('too-many-requests', `volume ${name} is used by ${maxVolumeUsers} containers already, which is as many as there may be`);
  return accept(...events, { type: 'VolumeTaken', containerId, atMs: nowMs });
}

export function evolveVolume(state: Volume | null, event: VolumeEvent): Volume | null {
  if (event.type === 'VolumeCreated') {
    const { name, labels, dataId, anonymous, atMs } = event;
    return { id: volumeId(name), name, state: 'present', labels, dataId, hostId: null, anonymous, users: [], former: formerOf(state), createdAtMs: atMs, sinceMs: atMs };
  }
  if (state === null) return null;
  switch (event.type) {
    case 'VolumeBound':
      return { ...state, hostId: event.hostId, dataId: event.dataId, former: formerOf(state) };
    case 'VolumeTaken':
      return { ...state, users: [...state.users, event.containerId] };
    case 'VolumeReleased':
      return { ...state, users: state.users.filter((user) => user !== event.containerId) };
    case 'VolumeRemoved':
      return { ...state, state: 'removed', users: [], sinceMs: event.atMs };
    default:
      return state;
  }
}

function formerOf(state: Volume | null): readonly VolumeData[] {
  if (state === null) return [];
  return state.hostId === null ? state.former : [...state.former, { dataId: state.dataId, hostId: state.hostId }].slice(-maxFormer);
}

/** The data of a volume that are on this host and are wanted no more. */
export function dataToRemove({ state, dataId, hostId, former }: Volume, here: HostId): readonly string[] {
  return [...former, ...(state === 'removed' && hostId !== null ? [{ dataId, hostId }] : [])].filter((data) => data.hostId === here).map((data) => data.dataId);
}
