// What the tables take of one message, as plain and small data: the message itself is done with at once, so a batch of a thousand holds no parsed states.
import { assertNever, type Container, type Exec, type Host, type Image, type Kernel, type Placement, type StateOf } from '@pouch/domain';
import { bufferOf, decodeEntry, typesOf, type Decoded, type LogEntry, type Origin } from './entry.ts';
import type { RecordKind, RowChange } from './present.ts';

/** One message of the log for the tables. Of the log's memory it holds only `payload`. */
export interface Distilled {
  readonly seq: number;
  readonly subject: string;
  readonly origin: Origin;
  readonly storedAtMs: number;
  /** Clock of who decided, ms; the log's where the message is malformed. */
  readonly atMs: number;
  /** '' where it is malformed. */
  readonly messageId: string;
  readonly actor: string;
  /** Types of its events between commas. */
  readonly types: string;
  /** As it stands in the log. */
  readonly payload: Uint8Array;
  /** Null: of an unknown kind, or malformed. */
  readonly change: RowChange | null;
  /** Why it is malformed; null: it is not. */
  readonly fault: string | null;
}

export function distill(entry: LogEntry): Distilled {
  const decoded = decodeEntry(entry);
  const { seq, subject, payload } = entry;
  const storedAtMs = Math.trunc(entry.storedAtMs);
  const of = { seq, subject, origin: decoded.origin, storedAtMs, payload: bufferOf(payload) };
  if (decoded.form === 'malformed') return { ...of, atMs: storedAtMs, messageId: '', actor: '', types: ',', change: null, fault: decoded.reason };
  const { message } = decoded;
  return { ...of, atMs: Math.trunc(message.meta.atMs), messageId: message.id, actor: message.meta.actor, types: typesOf(message), change: decoded.form === 'known' ? rowChange(decoded) : null, fault: null };
}

/** What a message changes in the present. */
export function rowChange({ message, columns }: Extract<Decoded, { form: 'known' }>): RowChange {
  const { kind } = message;
  switch (kind) {
    case 'container': {
      const container = message.snapshot as Container;
      if (columns === null) throw new TypeError('a container was decoded without its columns');
      const { id, hostId, name, status, createdAtMs } = container;
      const gone = container.status !== 'removed' ? null : container.reason.kind === 'rejected' ? 'rejected' : 'removed';
      return { table: 'containers', id, hostId, name, status, gone, imageId: container.spec.image.id, createdAtMs, ...columns };
    }
    case 'placement': {
      const { id, name, status } = message.snapshot as Placement;
      return { table: 'placements', id, name, status };
    }
    case 'host': {
      const { id, state } = message.snapshot as Host;
      return { table: 'hosts', id, status: state, gone: state === 'removed' };
    }
    case 'image': {
      const { hostId, key, name, record, state } = message.snapshot as Image;
      return { table: 'images', hostId, key, name, imageId: record.id, gone: state === 'removed' };
    }
    case 'exec': {
      const { id, containerId, hostId, status } = message.snapshot as Exec;
      return { table: 'execs', id, containerId, hostId, status };
    }
    case 'kernel': {
      const { id, name, state } = message.snapshot as Kernel;
      return { table: 'kernels', id, name, gone: state === 'removed' };
    }
    case 'token':
    case 'policy':
    case 'refusal':
    case 'secret':
    case 'service':
    case 'volume':
    case 'join':
    case 'member': {
      const { id, state } = message.snapshot as StateOf<RecordKind>;
      return { table: 'records', kind, id, gone: state === 'removed' };
    }
    default:
      return assertNever(kind);
  }
}
