// The rows of the present that one batch changes, kept in memory until its end: each message is taken in order, each row is written once.
// So a batch of any size leaves the same rows as its messages one by one. No IO: what stood before is asked of `standing`.
import { assertNever, type AggregateKind, type Container, type Exec, type Host, type Image, type Kernel, type Placement, type StateOf } from '@pouch/domain';
import type { ContainerColumns, Decoded } from './entry.ts';

/** A snapshot and the sequence of its message. */
export interface Row<S> {
  readonly state: S;
  readonly seq: number;
}

export interface ContainerRow extends Row<Container> {
  /** Since when it has its name. */
  readonly nameSeq: number;
  readonly columns: ContainerColumns;
}

/** What of a container's row the next message must know. */
export interface StandingContainer {
  readonly hostId: string;
  readonly name: string;
  readonly nameSeq: number;
}

/** Kinds whose rows stand in one table, by kind and id. */
export type RecordKind = 'token' | 'policy' | 'refusal' | 'secret' | 'service' | 'volume' | 'join' | 'member';

/** Null: the row goes. */
export class PresentChanges {
  readonly containers = new Map<string, ContainerRow | null>();
  readonly placements = new Map<string, Row<Placement> | null>();
  readonly hosts = new Map<string, Row<Host> | null>();
  /** By `hostId key`. */
  readonly images = new Map<string, Row<Image> | null>();
  readonly execs = new Map<string, Row<Exec> | null>();
  readonly kernels = new Map<string, Row<Kernel> | null>();
  /** By `kind id`. */
  readonly records = new Map<string, Row<StateOf<RecordKind>> | null>();
  /** Containers that went in this batch: what the database holds of their execs goes before `execs` is written. */
  readonly execsGoneOf = new Set<string>();

  readonly #standing: (containerId: string) => StandingContainer | null;

  constructor(standing: (containerId: string) => StandingContainer | null) {
    this.#standing = standing;
  }

  /** Takes one message of a known kind. Answers whether its aggregate has ended with it. */
  take({ message, columns }: Extract<Decoded, { form: 'known' }>, seq: number): boolean {
    const kind: AggregateKind = message.kind;
    const row = <K extends AggregateKind>(): Row<StateOf<K>> => ({ state: message.snapshot as StateOf<K>, seq });
    switch (kind) {
      case 'container':
        return this.#takeContainer(row<'container'>(), columns);
      case 'placement': {
        const placement = row<'placement'>();
        this.placements.set(placement.state.id, placement);
        return placement.state.status !== 'requested';
      }
      case 'host': {
        const host = row<'host'>();
        const gone = host.state.state === 'removed';
        this.hosts.set(host.state.id, gone ? null : host);
        return gone;
      }
      case 'image': {
        const image = row<'image'>();
        const gone = image.state.state === 'removed';
        this.images.set(imageRowKey(image.state.hostId, image.state.key), gone ? null : image);
        return gone;
      }
      case 'exec': {
        const exec = row<'exec'>();
        this.execs.set(exec.state.id, exec);
        return exec.state.status === 'exited';
      }
      case 'kernel': {
        const kernel = row<'kernel'>();
        const gone = kernel.state.state === 'removed';
        this.kernels.set(kernel.state.id, gone ? null : kernel);
        return gone;
      }
      case 'token':
      case 'policy':
      case 'refusal':
      case 'secret':
      case 'service':
      case 'volume':
      case 'join':
      case 'member': {
        const record = row<RecordKind>();
        const gone = record.state.state === 'removed';
        this.records.set(`${kind} ${record.state.id}`, gone ? null : record);
        return gone;
      }
      default:
        return assertNever(kind);
    }
  }

  #takeContainer(row: Row<Container>, columns: ContainerColumns | null): boolean {
    const { id, hostId, name } = row.state;
    const before = this.#before(id);
    if (row.state.status !== 'removed') {
      if (columns === null) throw new TypeError('a container was decoded without its columns');
      this.containers.set(id, { ...row, columns, nameSeq: before !== null && before.name === name ? before.nameSeq : row.seq });
      return false;
    }
    // A host that rejected a container says so when another host may have it already: only its own row goes.
    if (before !== null && before.hostId === hostId) this.containers.set(id, null);
    if (row.state.reason.kind === 'rejected') return true;
    this.placements.set(id, null);
    this.execsGoneOf.add(id);
    for (const [execId, exec] of this.execs) if (exec?.state.containerId === id) this.execs.set(execId, null);
    return true;
  }

  #before(id: string): StandingContainer | null {
    const changed = this.containers.get(id);
    if (changed === undefined) return this.#standing(id);
    return changed === null ? null : { hostId: changed.state.hostId, name: changed.state.name, nameSeq: changed.nameSeq };
  }
}

export function imageRowKey(hostId: string, key: string): string {
  return `${hostId} ${key}`;
}
