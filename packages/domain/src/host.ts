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
  /** Absent: it runs no virtual machines. */
  readonly machines?: MachineFacts;
  /** Things an operator should know, e.g. limits of this host that settings are clamped to. */
  readonly warnings: readonly string[];
}

export interface RuntimeFacts {
  readonly name: string;
  /** Path of the OCI runtime or name of the containerd shim. */
  readonly path: string;
}

export interface Capacity {
  readonly cpuNanos: number;
  readonly memoryBytes: number;
}

export interface Host {
  readonly id: HostId;
  readonly facts: HostFacts;
  readonly joinedAtMs: number;
  readonly state: 'up' | 'lost' | 'removed';
  readonly stateSinceMs: number;
  readonly cordoned: boolean;
}

export type HostEvent =
  | { readonly type: 'HostJoined'; readonly id: HostId; readonly facts: HostFacts; readonly atMs: number }
  | { readonly type: 'HostChanged'; readonly facts: HostFacts; readonly atMs: number }
  | { readonly type: 'HostLost'; readonly lastBeatAtMs: number; readonly atMs: number }
  | { readonly type: 'HostReturned'; readonly atMs: number };

export type HostCommand =
  /** Agent: at each of its starts. */
  | { readonly type: 'AnnounceHost'; readonly id: HostId; readonly facts: HostFacts }
  /** Scheduler: no heartbeat for longer than it waits. */
  | { readonly type: 'ReportHostLost'; readonly lastBeatAtMs: number }
  | { readonly type: 'ReportHostReturned' };

export function decideHost(state: Host | null, command: HostCommand, nowMs: number): Decision<HostEvent> {
  switch (command.type) {
    case 'AnnounceHost': {
      if (state === null) return accept({ type: 'HostJoined', id: command.id, facts: command.facts, atMs: nowMs });
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
    default:
      return state;
  }
}
