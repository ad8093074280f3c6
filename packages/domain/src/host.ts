// A host of the cluster: what it is, what it can run, and whether it is to be used. Heartbeats and usage are not in the log; loss and return are.
import { accept, assertNever, refuse, type Decision } from './decision.ts';
import type { HostId } from './ids.ts';
import type { MachineFacts } from './machine.ts';

/** What an agent says of its host when it joins, and again when any of it has changed. */
export interface HostFacts {
  readonly hostname: string;
  /** Address where published ports are reached. */
  readonly address: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly capacity: Capacity;
  readonly platform: { readonly os: string; readonly architecture: string; readonly osName: string; readonly kernelVersion: string; readonly cgroupVersion: 1 | 2 };
  /** Runtimes that `HostConfig.Runtime` may name here. */
  readonly runtimes: readonly RuntimeFacts[];
  readonly versions: { readonly agent: string; readonly containerd: string; readonly runc: string };
  /** Where volumes' data are, a directory each; absent: it has an agent that knows none. */
  readonly volumesDir?: string;
  /** Absent: it runs no virtual machines. */
  readonly machines?: MachineFacts;
  /** Containers that are on it and that the log does not know, as after a restored backup; they are left alone. At most `maxUnknownTold`. Absent: none. */
  readonly unknown?: readonly UnknownContainer[];
  /** Things an operator should know, e.g. limits of this host that settings are clamped to. */
  readonly warnings: readonly string[];
}

/** Name and image as they were last known; null: not known. */
export interface UnknownContainer {
  readonly id: string;
  readonly name: string | null;
  readonly image: string | null;
}

export const maxUnknownTold = 100;

export interface RuntimeFacts {
  readonly name: string;
  /** Path of the OCI runtime or name of the containerd shim. */
  readonly path: string;
}

export interface Capacity {
  readonly cpuNanos: number;
  readonly memoryBytes: number;
  /** Processes that its kernel can have; absent: not said. */
  readonly pids?: number;
}

export interface Host {
  readonly id: HostId;
  readonly facts: HostFacts;
  readonly joinedAtMs: number;
  readonly state: 'up' | 'lost' | 'removed';
  readonly stateSinceMs: number;
  /** It takes no new containers. */
  readonly cordoned: boolean;
  /** Labels given while it runs; null takes away one that its configuration gives. */
  readonly labels?: Readonly<Record<string, string | null>>;
  /** Since when its containers are moved away, and whether all that can be moved have been. */
  readonly drain?: { readonly sinceMs: number; readonly done: boolean };
}

/** Labels that one host may be given while it runs. */
export const maxLiveLabels = 64;

/** The labels that a host has: those of its configuration, with those given while it runs over them. */
export function labelsOfHost({ facts, labels }: Pick<Host, 'facts' | 'labels'>): Readonly<Record<string, string>> {
  if (labels === undefined) return facts.labels;
  return Object.fromEntries(Object.entries({ ...facts.labels, ...labels }).filter((entry): entry is [string, string] => entry[1] !== null));
}

export type HostEvent =
  | { readonly type: 'HostJoined'; readonly id: HostId; readonly facts: HostFacts; readonly atMs: number }
  | { readonly type: 'HostChanged'; readonly facts: HostFacts; readonly atMs: number }
  | { readonly type: 'HostLost'; readonly lastBeatAtMs: number; readonly atMs: number }
  | { readonly type: 'HostReturned'; readonly atMs: number }
  /** Only what has changed; null: taken away. */
  | { readonly type: 'HostLabelled'; readonly labels: Readonly<Record<string, string | null>>; readonly atMs: number }
  | { readonly type: 'HostCordoned'; readonly atMs: number }
  /** Also ends a drain; what was moved stays where it is. */
  | { readonly type: 'HostUncordoned'; readonly atMs: number }
  | { readonly type: 'HostDrainBegun'; readonly atMs: number }
  /** `left`: containers that stay because they cannot be moved. */
  | { readonly type: 'HostDrained'; readonly left: number; readonly atMs: number }
  | { readonly type: 'HostRemoved'; readonly atMs: number };

export type HostCommand =
  /** Agent: at each of its starts. */
  | { readonly type: 'AnnounceHost'; readonly id: HostId; readonly facts: HostFacts }
  /** Scheduler: no heartbeat for longer than it waits. */
  | { readonly type: 'ReportHostLost'; readonly lastBeatAtMs: number }
  | { readonly type: 'ReportHostReturned' }
  /** Operators, from here on. `labels`: null takes one away. */
  | { readonly type: 'LabelHost'; readonly labels: Readonly<Record<string, string | null>> }
  | { readonly type: 'CordonHost' }
  | { readonly type: 'UncordonHost' }
  | { readonly type: 'DrainHost' }
  /** Scheduler: all that can be moved has been. */
  | { readonly type: 'ReportHostDrained'; readonly left: number }
  /** `containers`: how many are on it; `force`: they are given up with it. */
  | { readonly type: 'RemoveHost'; readonly containers: number; readonly force: boolean };

export function decideHost(state: Host | null, command: HostCommand, nowMs: number): Decision<HostEvent> {
  switch (command.type) {
    case 'AnnounceHost': {
      // One that was taken out and is admitted again begins anew: neither cordoned nor labelled as the one before.
      if (state === null || state.state === 'removed') return accept({ type: 'HostJoined', id: command.id, facts: command.facts, atMs: nowMs });
      const events: HostEvent[] = [];
      if (JSON.stringify(state.facts) !== JSON.stringify(command.facts)) events.push({ type: 'HostChanged', facts: command.facts, atMs: nowMs });
      if (state.state !== 'up') events.push({ type: 'HostReturned', atMs: nowMs });
      return accept(...events);
    }
    case 'ReportHostLost':
      if (state === null) return refuse('not-found', 'no such host');
      return state.state === 'up' ? accept({ type: 'HostLost', lastBeatAtMs: command.lastBeatAtMs, atMs: nowMs }) : accept();
    case 'ReportHostReturned':
      if (state === null) return refuse('not-found', 'no such host');
      return state.state === 'lost' ? accept({ type: 'HostReturned', atMs: nowMs }) : accept();
    case 'ReportHostDrained':
      if (state?.drain === undefined) return refuse('stale', 'the host is not being drained any more');
      return state.drain.done ? accept() : accept({ type: 'HostDrained', left: command.left, atMs: nowMs });
    default:
      return decideOperation(state, command, nowMs);
  }
}

type Operation = Extract<HostCommand, { readonly type: 'LabelHost' | 'CordonHost' | 'UncordonHost' | 'DrainHost' | 'RemoveHost' }>;

/** What an operator wants of a host. */
function decideOperation(state: Host | null, command: Operation, nowMs: number): Decision<HostEvent> {
  if (state === null || state.state === 'removed') return refuse('not-found', 'no such host');
  switch (command.type) {
    case 'LabelHost': {
      const has = labelsOfHost(state);
      const changed = Object.entries(command.labels).filter(([name, value]) => (Object.hasOwn(has, name) ? has[name] : null) !== value);
      if (changed.length === 0) return accept();
      const labels = Object.fromEntries(changed);
      const count = Object.keys({ ...state.labels, ...labels }).length;
      return count > maxLiveLabels ? refuse('in-use', `host ${state.id} would have ${count} labels given while it runs, at most ${maxLiveLabels} are kept: give the others by its configuration`) : accept({ type: 'HostLabelled', labels, atMs: nowMs });
    }
    case 'CordonHost':
      return state.cordoned ? accept() : accept({ type: 'HostCordoned', atMs: nowMs });
    case 'UncordonHost':
      return state.cordoned || state.drain !== undefined ? accept({ type: 'HostUncordoned', atMs: nowMs }) : accept();
    case 'DrainHost':
      // Begun again where it was done: containers may have come to be movable since.
      return state.drain !== undefined && !state.drain.done ? accept() : accept({ type: 'HostDrainBegun', atMs: nowMs });
    case 'RemoveHost':
      if (state.state === 'up') return refuse('running', `host ${state.id} is up: drain it, stop its agent, and remove it once it is told lost`);
      if (command.containers > 0 && !command.force) return refuse('in-use', `host ${state.id} has ${command.containers} containers, which would be given up with it: start its agent again, or force the removal`);
      return accept({ type: 'HostRemoved', atMs: nowMs });
    default:
      return assertNever(command);
  }
}

export function evolveHost(state: Host | null, event: HostEvent): Host | null {
  if (event.type === 'HostJoined') {
    return { id: event.id, facts: event.facts, joinedAtMs: event.atMs, state: 'up', stateSinceMs: event.atMs, cordoned: false };
  }
  if (state === null) return null;
  switch (event.type) {
    case 'HostChanged':
      return { ...state, facts: event.facts };
    case 'HostLost':
      return { ...state, state: 'lost', stateSinceMs: event.atMs };
    case 'HostReturned':
      return { ...state, state: 'up', stateSinceMs: event.atMs };
    case 'HostLabelled':
      return { ...state, labels: { ...state.labels, ...event.labels } };
    case 'HostCordoned':
      return { ...state, cordoned: true };
    case 'HostUncordoned':
      return { ...withoutDrain(state), cordoned: false };
    case 'HostDrainBegun':
      return { ...state, cordoned: true, drain: { sinceMs: event.atMs, done: false } };
    case 'HostDrained':
      return state.drain === undefined ? state : { ...state, drain: { ...state.drain, done: true } };
    case 'HostRemoved':
      return { ...withoutDrain(state), state: 'removed', stateSinceMs: event.atMs };
    default:
      return state;
  }
}

function withoutDrain(state: Host): Host {
  const { drain: _ended, ...rest } = state;
  return rest;
}
