// What the projector takes: a message as it stands in the log, still undecoded, and what can be made of it. Never throws on what it reads.
import { parseSubject, toMessage, type Message } from '@pouch/contracts';
import { evolvers, healthOf, type AggregateKind, type Container, type HealthStatus, type Host, type Image } from '@pouch/domain';
import { dockerItem } from './docker-item.ts';

/** One message of the log. */
export interface LogEntry {
  /** Stream sequence, from 1, ascending; gaps are ordinary. */
  readonly seq: number;
  readonly subject: string;
  /** The log's clock at the append, ms since 1970. */
  readonly storedAtMs: number;
  /** UTF-8 JSON, as it was published. */
  readonly payload: Uint8Array;
}

export interface Origin {
  readonly kind: string;
  readonly hostId: string | null;
  /** Of the aggregate; the whole subject where that is of no known form. */
  readonly id: string;
}

/** What lists need of a container without reading its whole state. */
export interface ContainerColumns {
  readonly item: string;
  readonly startedAtMs: number | null;
  readonly finishedAtMs: number | null;
  readonly exitCode: number | null;
  readonly health: HealthStatus | null;
}

/** `known`: of a kind that has tables; `columns` where it is a container. `unknown`: well formed, of a kind of a newer version. `malformed`: `reason` says why. */
export type Decoded =
  | { readonly form: 'known'; readonly origin: Origin; readonly message: Message; readonly columns: ContainerColumns | null }
  | { readonly form: 'unknown'; readonly origin: Origin; readonly message: Message }
  | { readonly form: 'malformed'; readonly origin: Origin; readonly reason: string };

export function decodeEntry(entry: Pick<LogEntry, 'subject' | 'payload'>): Decoded {
  const parts = parseSubject(entry.subject);
  const origin: Origin = parts ?? { kind: 'unknown', hostId: null, id: entry.subject };
  const malformed = (reason: string): Decoded => ({ form: 'malformed', origin, reason });
  let message: Message;
  try {
    message = toMessage(JSON.parse(bufferOf(entry.payload).toString('utf8')));
  } catch (error) {
    // Anything that anyone publishes ends here: it is kept and counted, not fatal.
    return malformed(error instanceof Error ? error.message : String(error));
  }
  if (typeof message.meta.atMs !== 'number' || !Number.isFinite(message.meta.atMs)) return malformed('a log message has no time');
  if (typeof message.meta.actor !== 'string') return malformed('a log message has no actor');
  if (!isKnownKind(message.kind)) return { form: 'unknown', origin, message };
  const fault = snapshotFault(origin, message);
  if (fault !== null) return malformed(fault);
  if (message.kind !== 'container') return { form: 'known', origin, message, columns: null };
  try {
    return { form: 'known', origin, message, columns: containerColumns(message.snapshot as Container) };
  } catch (error) {
    // A state that lacks what a list shows is no container of ours; which member it was is in the error's words.
    return malformed(`its snapshot is no container: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** When the latest run began and ended, and how; with the list item. Throws on what is no container. */
export function containerColumns(container: Container): ContainerColumns {
  const item = dockerItem(container);
  const health = healthOf(container);
  if (typeof container.createdAtMs !== 'number' || typeof container.spec.image.id !== 'string') throw new TypeError('it has no age or no image');
  if (container.status === 'running' || container.status === 'paused') return { item, startedAtMs: container.run.startedAtMs, finishedAtMs: null, exitCode: null, health };
  const exit = container.status === 'assigned' ? null : container.lastExit;
  return exit === null
    ? { item, startedAtMs: null, finishedAtMs: null, exitCode: null, health }
    : { item, startedAtMs: exit.startedAtMs, finishedAtMs: exit.finishedAtMs, exitCode: exit.exitCode, health };
}

export function isKnownKind(kind: string): kind is AggregateKind {
  return Object.hasOwn(evolvers, kind);
}

/** Events' types between commas, as the history keeps them to be searched. */
export function typesOf(message: Pick<Message, 'events'>): string {
  return `,${message.events.map((event) => event.type).join(',')},`;
}

export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Only what the tables stand on is looked at: whose snapshot it is, and the members that become columns. */
function snapshotFault(origin: Origin, message: Message): string | null {
  if (message.kind !== origin.kind) return `a message of kind ${message.kind} stands on a subject of kind ${origin.kind}`;
  const snapshot = message.snapshot as unknown as Record<string, unknown>;
  const text = (...names: readonly string[]) => names.find((name) => typeof snapshot[name] !== 'string');
  const missing = text(...textMembers[message.kind]);
  if (missing !== undefined) return `its snapshot has no ${missing}`;
  const id = message.kind === 'image' ? snapshot['key'] : snapshot['id'];
  if (id !== origin.id) return 'its snapshot is of another aggregate than its subject';
  const shapeless = (objectMembers[message.kind] ?? []).find((path) => {
    const member = path.split('.').reduce<unknown>((value, name) => (value as Record<string, unknown> | null | undefined)?.[name], snapshot);
    return typeof member !== 'object' || member === null;
  });
  if (shapeless !== undefined) return `its snapshot has no ${shapeless}`;
  if (message.kind === 'host' && !Array.isArray((snapshot as unknown as Host).facts.runtimes)) return 'its snapshot has no list of runtimes';
  if (message.kind === 'image' && typeof (snapshot as unknown as Image).record?.id !== 'string') return 'its snapshot has no image id';
  if (message.kind !== 'host' && origin.hostId !== null && snapshot['hostId'] !== origin.hostId) return 'its snapshot is of another host than its subject';
  return null;
}

/** What every reader of the present takes for granted: a message without it would fail each list that it stands in. */
const objectMembers: { readonly [K in AggregateKind]?: readonly string[] } = {
  host: ['facts', 'facts.platform', 'facts.capacity', 'facts.labels', 'facts.versions', 'facts.warnings'],
  image: ['record', 'record.config'],
  kernel: ['record', 'record.archive', 'probes'],
  policy: ['rules', 'rules.who', 'rules.bindPrefixes', 'rules.allowedCapabilities'],
  secret: ['labels', 'sealed'],
  join: ['admitted'],
  member: ['revoked'],
  service: ['spec', 'spec.templates', 'spec.templates.0', 'spec.update', 'spec.rollback', 'spec.restart', 'spec.labels', 'tasks', 'past', 'rests'],
  volume: ['labels', 'users', 'former'],
};

const textMembers: { readonly [K in AggregateKind]: readonly string[] } = {
  container: ['id', 'hostId', 'name', 'status'],
  placement: ['id', 'name', 'status'],
  host: ['id', 'state'],
  image: ['key', 'hostId', 'name', 'state'],
  exec: ['id', 'hostId', 'containerId', 'status'],
  kernel: ['id', 'name', 'state'],
  token: ['id', 'name', 'state', 'role', 'hash'],
  policy: ['id', 'name', 'state'],
  refusal: ['id', 'name', 'state'],
  secret: ['id', 'name', 'state'],
  join: ['id', 'name', 'state', 'hash'],
  member: ['id', 'name', 'state', 'publicKey', 'token'],
  service: ['id', 'name', 'state', 'uid'],
  volume: ['id', 'name', 'state', 'dataId'],
};
