// A guest kernel of the cluster's catalogue: what it is, and what hosts have found of it by booting it. Its bytes are in the object store.
import { accept, assertNever, refuse, type Decision } from './decision.ts';
import type { HostId, KernelId } from './ids.ts';
import type { KernelProbe } from './machine.ts';

/** What a kernel is, as far as its bytes tell. */
export interface KernelRecord {
  /** `sha256:` and 64 hex digits, of the image. */
  readonly digest: string;
  /** Of the image. */
  readonly sizeBytes: number;
  readonly format: 'bzImage' | 'vmlinux';
  /** As the image says, e.g. `6.1.0-13-cloud-amd64`; null where it does not. */
  readonly release: string | null;
  /** Files under `modules/`; more than a catalogue shows are only counted. */
  readonly moduleCount: number;
  /** The tar that it came as, by digest in the object store. */
  readonly archive: { readonly digest: string; readonly sizeBytes: number };
}

/** A host's verdict on a kernel, with the digest that it booted. */
export interface HostProbe {
  readonly hostId: HostId;
  readonly digest: string;
  readonly profiles: readonly KernelProbe[];
  readonly atMs: number;
}

export interface Kernel {
  readonly id: KernelId;
  readonly name: string;
  readonly state: 'present' | 'removed';
  readonly record: KernelRecord;
  /** The last of each host. */
  readonly probes: readonly HostProbe[];
  readonly sinceMs: number;
}

/** Hosts whose verdicts are kept; the oldest go first. */
export const maxHostProbes = 64;

export type KernelEvent =
  | { readonly type: 'KernelAdded'; readonly id: KernelId; readonly name: string; readonly record: KernelRecord; readonly atMs: number }
  | { readonly type: 'KernelProbed'; readonly hostId: HostId; readonly digest: string; readonly profiles: readonly KernelProbe[]; readonly atMs: number }
  | { readonly type: 'KernelRemoved'; readonly atMs: number };

export type KernelCommand =
  | { readonly type: 'AddKernel'; readonly id: KernelId; readonly name: string; readonly record: KernelRecord }
  /** Agent: it has booted the kernel, or tried to. */
  | { readonly type: 'ReportKernelProbed'; readonly hostId: HostId; readonly digest: string; readonly profiles: readonly KernelProbe[] }
  /** `usedBy`: names of containers that want it. */
  | { readonly type: 'RemoveKernel'; readonly usedBy: readonly string[] };

export function decideKernel(state: Kernel | null, command: KernelCommand, nowMs: number): Decision<KernelEvent> {
  if (command.type === 'AddKernel') {
    const { id, name, record } = command;
    if (state?.state === 'present') {
      return state.record.archive.digest === record.archive.digest ? accept() : refuse('already-exists', `there is a kernel ${name} already, with other bytes (${state.record.digest}); remove it first or give this one another name`);
    }
    return accept({ type: 'KernelAdded', id, name, record, atMs: nowMs });
  }
  if (state === null || state.state === 'removed') return refuse('not-found', 'no such kernel');
  switch (command.type) {
    case 'ReportKernelProbed': {
      const { hostId, digest, profiles } = command;
      if (digest !== state.record.digest) return refuse('stale', `kernel ${state.name} has other bytes by now`);
      const known = state.probes.find((probe) => probe.hostId === hostId);
      if (known?.digest === digest && JSON.stringify(known.profiles) === JSON.stringify(profiles)) return accept();
      return accept({ type: 'KernelProbed', hostId, digest, profiles, atMs: nowMs });
    }
    case 'RemoveKernel': {
      const { usedBy } = command;
      if (usedBy.length === 0) return accept({ type: 'KernelRemoved', atMs: nowMs });
      const shown = usedBy.slice(0, 10).join(', ');
      return refuse('in-use', `kernel ${state.name} is used by ${shown}${usedBy.length > 10 ? ` and ${usedBy.length - 10} more` : ''}; remove them first`);
    }
    default:
      return assertNever(command);
  }
}

export function evolveKernel(state: Kernel | null, event: KernelEvent): Kernel | null {
  if (event.type === 'KernelAdded') return { id: event.id, name: event.name, state: 'present', record: event.record, probes: [], sinceMs: event.atMs };
  if (state === null) return null;
  switch (event.type) {
    case 'KernelProbed': {
      const { hostId, digest, profiles, atMs } = event;
      return { ...state, probes: [...state.probes.filter((probe) => probe.hostId !== hostId), { hostId, digest, profiles, atMs }].slice(-maxHostProbes) };
    }
    case 'KernelRemoved':
      return { ...state, state: 'removed', sinceMs: event.atMs };
    default:
      return state;
  }
}
