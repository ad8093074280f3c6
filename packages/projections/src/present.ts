// The rows of the present that one batch changes, kept in memory until its end: each change is taken in order, each row is written once.
// So a batch of any size leaves the same rows as its messages one by one. No IO: what stood before is asked of `standing`.
import { assertNever } from '@pouch/domain';
import type { ContainerColumns } from './entry.ts';

/** Kinds whose rows stand in one table, by kind and id. */
export type RecordKind = 'token' | 'policy' | 'refusal' | 'secret' | 'service' | 'volume' | 'join' | 'member';

/** What one message makes of the row of its aggregate. Plain data. */
export type RowChange =
  /** `gone`: how it went; a host that rejects a container says nothing about those of the same id on others. */
  | ({ readonly table: 'containers'; readonly id: string; readonly hostId: string; readonly name: string; readonly status: string; readonly gone: 'removed' | 'rejected' | null; readonly imageId: string; readonly createdAtMs: number } & ContainerColumns)
  | { readonly table: 'placements'; readonly id: string; readonly name: string; readonly status: string }
  | { readonly table: 'hosts'; readonly id: string; readonly status: string; readonly gone: boolean }
  | { readonly table: 'images'; readonly hostId: string; readonly key: string; readonly name: string; readonly imageId: string; readonly gone: boolean }
  | { readonly table: 'execs'; readonly id: string; readonly containerId: string; readonly hostId: string; readonly status: string }
  | { readonly table: 'kernels'; readonly id: string; readonly name: string; readonly gone: boolean }
  | { readonly table: 'records'; readonly kind: RecordKind; readonly id: string; readonly gone: boolean };

export type ChangeOf<T extends RowChange['table']> = Extract<RowChange, { table: T }>;
/** A row and the sequence of the message that holds its state. */
export type Row<T extends RowChange['table']> = ChangeOf<T> & { readonly seq: number };
/** `nameSeq`: since when it has its name. */
export type ContainerRow = Row<'containers'> & { readonly nameSeq: number };

/** What of a container's row the next message must know. */
export interface StandingContainer {
  readonly hostId: string;
  readonly name: string;
  readonly nameSeq: number;
}

/** Null: the row goes. */
export class PresentChanges {
  readonly containers = new Map<string, ContainerRow | null>();
  readonly placements = new Map<string, Row<'placements'> | null>();
  readonly hosts = new Map<string, Row<'hosts'> | null>();
  /** By `hostId key`. */
  readonly images = new Map<string, Row<'images'> | null>();
  readonly execs = new Map<string, Row<'execs'> | null>();
  readonly kernels = new Map<string, Row<'kernels'> | null>();
  /** By `kind id`. */
  readonly records = new Map<string, Row<'records'> | null>();
  /** Containers that went in this batch: what the database holds of their execs goes before `execs` is written. */
  readonly execsGoneOf = new Set<string>();

  readonly #standing: (containerId: string) => StandingContainer | null;

  constructor(standing: (containerId: string) => StandingContainer | null) {
    this.#standing = standing;
  }

  /** Takes what one message changes. Answers whether its aggregate has ended with it. */
  take(change: RowChange, seq: number): boolean {
    switch (change.table) {
      case 'containers':
        return this.#takeContainer(change, seq);
      case 'placements':
        this.placements.set(change.id, { ...change, seq });
        return change.status !== 'requested';
      case 'hosts':
        this.hosts.set(change.id, change.gone ? null : { ...change, seq });
        return change.gone;
      case 'images':
        this.images.set(imageRowKey(change.hostId, change.key), change.gone ? null : { ...change, seq });
        return change.gone;
      case 'execs':
        this.execs.set(change.id, { ...change, seq });
        return change.status === 'exited';
      case 'kernels':
        this.kernels.set(change.id, change.gone ? null : { ...change, seq });
        return change.gone;
      case 'records':
        this.records.set(`${change.kind} ${change.id}`, change.gone ? null : { ...change, seq });
        return change.gone;
      default:
        return assertNever(change);
    }
  }

  #takeContainer(change: ChangeOf<'containers'>, seq: number): boolean {
    const { id, hostId, name, gone } = change;
    const before = this.#before(id);
    if (gone === null) {
      this.containers.set(id, { ...change, seq, nameSeq: before !== null && before.name === name ? before.nameSeq : seq });
      return false;
    }
    // A host that rejected a container says so when another host may have it already: only its own row goes.
    if (before !== null && before.hostId === hostId) this.containers.set(id, null);
    if (gone === 'rejected') return true;
    this.placements.set(id, null);
    this.execsGoneOf.add(id);
    for (const [execId, exec] of this.execs) if (exec?.containerId === id) this.execs.set(execId, null);
    return true;
  }

  #before(id: string): StandingContainer | null {
    const changed = this.containers.get(id);
    return changed === undefined ? this.#standing(id) : changed;
  }
}

export function imageRowKey(hostId: string, key: string): string {
  return `${hostId} ${key}`;
}
