// HTTP shapes of everything under /cluster/: what Docker's API has no word for. Schemas and their types; the api serves them, the CLI and page read them.
// Times are ms since 1970 unless the name says otherwise. Where a time is asked for (`at`, `since`, `until`) it is RFC 3339, unix
// seconds (with a fraction if wanted), or a duration that is subtracted from now: `10m`, `1h30m`, `2d`.
import { Type, type Static } from 'typebox';
import type { AnyEvent, Container, HostFacts } from '@pouch/domain';
import type { Beat, Reservations } from '../claims.ts';

const Nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);
const TimeText = Type.String({ minLength: 1, maxLength: 64, description: 'RFC 3339, unix seconds, or a duration ago such as 10m' });

/** Headers that every answer under /cluster/ carries where it is read from the projection: the log's sequence it stands at. */
export const projectionSeqHeader = 'pouch-projection-seq';

// ---- GET /cluster/hosts ----

export const ClusterHost = Type.Object({
  id: Type.String(),
  state: Type.Union([Type.Literal('up'), Type.Literal('lost'), Type.Literal('removed')]),
  stateSinceMs: Type.Number(),
  joinedAtMs: Type.Number(),
  cordoned: Type.Boolean(),
  /** Those of its configuration, with those given while it runs over them. */
  labels: Type.Record(Type.String(), Type.String()),
  /** Null: it is not being drained. */
  drain: Nullable(Type.Object({ sinceMs: Type.Number(), done: Type.Boolean() })),
  /** Null where the scheduler cannot be asked. */
  reserved: Type.Unsafe<Reservations | null>(Nullable(Type.Object({ cpuNanos: Type.Number(), memoryBytes: Type.Number(), pids: Type.Number() }))),
  facts: Type.Unsafe<HostFacts>(Type.Object({}, { additionalProperties: true, description: 'What the host said of itself when it joined' })),
  containers: Type.Object({ total: Type.Integer(), running: Type.Integer() }),
  /** Last heartbeat as the scheduler knows it; null when it knows none or cannot be asked. */
  beat: Type.Unsafe<Beat | null>(Nullable(Type.Object({}, { additionalProperties: true }))),
  lastBeatAtMs: Nullable(Type.Number()),
});
export type ClusterHost = Static<typeof ClusterHost>;

export const ClusterHosts = Type.Object({ hosts: Type.Array(ClusterHost) });
export type ClusterHosts = Static<typeof ClusterHosts>;

// ---- GET /cluster/health ----

export const ProjectionHealth = Type.Object({
  /** `following`: live. `catching-up`: reads are behind the log. `log-unavailable`: reads are as of `seq`. `failed`: the projector is being restarted. */
  state: Type.Union([Type.Literal('starting'), Type.Literal('catching-up'), Type.Literal('following'), Type.Literal('log-unavailable'), Type.Literal('failed')]),
  seq: Type.Integer(),
  /** Head of the log when it was last seen; null while it has never been. */
  logSeq: Nullable(Type.Integer()),
  /** Messages between them. */
  behind: Type.Integer(),
  /** Malformed messages met; they stand in the history as such. */
  malformed: Type.Integer(),
  /** Messages of kinds that this version does not know. */
  unknown: Type.Integer(),
  /** Times the projector's thread was started again. */
  restarts: Type.Integer(),
  rebuild: Nullable(Type.Object({ seq: Type.Integer(), targetSeq: Type.Integer(), startedAtMs: Type.Number() })),
  error: Nullable(Type.String()),
});
export type ProjectionHealth = Static<typeof ProjectionHealth>;

export const ClusterHealth = Type.Object({
  /** `ok`; `degraded`: answers reads, something is missing; the reasons are in `problems`. */
  status: Type.Union([Type.Literal('ok'), Type.Literal('degraded')]),
  /** One sentence each, that an operator can act on. */
  problems: Type.Array(Type.String()),
  log: Type.Object({ available: Type.Boolean(), seq: Nullable(Type.Integer()), error: Nullable(Type.String()) }),
  projection: ProjectionHealth,
  scheduler: Nullable(Type.Object({ leader: Type.String(), epoch: Type.Integer(), sinceMs: Type.Number() })),
  hosts: Type.Object({ up: Type.Integer(), lost: Type.Integer() }),
  containers: Type.Object({ total: Type.Integer(), running: Type.Integer() }),
});
export type ClusterHealth = Static<typeof ClusterHealth>;

// ---- GET /cluster/events: server-sent events, `id:` is the sequence, `data:` a ClusterEvent ----

export const ClusterEventsQuery = Type.Object({
  /** Each may be given several times or as a list with commas; values of one are alternatives, different ones must all hold. */
  kind: Type.Optional(Type.Union([Type.String({ maxLength: 4096 }), Type.Array(Type.String({ maxLength: 256 }), { maxItems: 64 })])),
  host: Type.Optional(Type.Union([Type.String({ maxLength: 4096 }), Type.Array(Type.String({ maxLength: 256 }), { maxItems: 64 })])),
  /** Container by id, prefix or name. */
  container: Type.Optional(Type.Union([Type.String({ maxLength: 4096 }), Type.Array(Type.String({ maxLength: 256 }), { maxItems: 64 })])),
  /** Event types, e.g. `ContainerStarted`. */
  type: Type.Optional(Type.Union([Type.String({ maxLength: 4096 }), Type.Array(Type.String({ maxLength: 256 }), { maxItems: 64 })])),
  actor: Type.Optional(Type.Union([Type.String({ maxLength: 4096 }), Type.Array(Type.String({ maxLength: 256 }), { maxItems: 64 })])),
  since: Type.Optional(TimeText),
  until: Type.Optional(TimeText),
  /** Begin after this sequence; the header Last-Event-ID does the same and goes before it. */
  afterSeq: Type.Optional(Type.Integer({ minimum: 0 })),
  /** 0: end after what has happened already. Default 1. */
  follow: Type.Optional(Type.Union([Type.Literal('0'), Type.Literal('1'), Type.Literal('true'), Type.Literal('false')])),
});
export type ClusterEventsQuery = Static<typeof ClusterEventsQuery>;

export const ClusterEvent = Type.Object({
  seq: Type.Integer(),
  subject: Type.String(),
  /** `malformed` for a message that could not be read. */
  kind: Type.String(),
  hostId: Nullable(Type.String()),
  /** Of the aggregate. */
  id: Type.String(),
  /** For containers, placements and images: the name; null for others. */
  name: Nullable(Type.String()),
  events: Type.Unsafe<readonly (AnyEvent | { readonly type: string })[]>(Type.Array(Type.Object({ type: Type.String() }, { additionalProperties: true }))),
  service: Type.String(),
  actor: Type.String(),
  cause: Nullable(Type.String()),
  commandId: Type.String(),
  /** Clock of the process that decided. */
  atMs: Type.Number(),
  /** The log's clock at the append. */
  storedAtMs: Type.Number(),
});
export type ClusterEvent = Static<typeof ClusterEvent>;

/** `data:` of the last message before the server ends a stream, under `event: error`. Resume with Last-Event-ID. */
export const ClusterStreamError = Type.Object({ code: Type.Union([Type.Literal('slow-reader'), Type.Literal('rebuilt'), Type.Literal('closing')]), message: Type.String(), seq: Type.Integer() });
export type ClusterStreamError = Static<typeof ClusterStreamError>;

// ---- GET /cluster/containers?at=, /cluster/containers/{id}?at= ----

export const AtQuery = Type.Object({ at: Type.Optional(TimeText) });
export type AtQuery = Static<typeof AtQuery>;

export const ContainerStatusText = Type.Union([
  Type.Literal('assigned'), Type.Literal('created'), Type.Literal('running'), Type.Literal('paused'), Type.Literal('restarting'), Type.Literal('exited'), Type.Literal('removed'),
]);

export const ClusterContainer = Type.Object({
  id: Type.String(),
  name: Type.String(),
  hostId: Type.String(),
  status: ContainerStatusText,
  /** As the person wrote it. */
  image: Type.String(),
  imageId: Type.String(),
  runtime: Type.String(),
  command: Type.Array(Type.String()),
  labels: Type.Record(Type.String(), Type.String()),
  createdAtMs: Type.Number(),
  startedAtMs: Nullable(Type.Number()),
  finishedAtMs: Nullable(Type.Number()),
  exitCode: Nullable(Type.Integer()),
  /** Null: it has no health check, or has not run. */
  health: Nullable(Type.Union([Type.Literal('starting'), Type.Literal('healthy'), Type.Literal('unhealthy')])),
  restartCount: Type.Integer(),
  /** Of the message that this state is from. */
  seq: Type.Integer(),
});
export type ClusterContainer = Static<typeof ClusterContainer>;

/** The containers that existed at `atMs`; without `at`, now. */
export const ClusterContainers = Type.Object({
  atMs: Type.Number(),
  /** Last sequence at that time. */
  seq: Type.Integer(),
  containers: Type.Array(ClusterContainer),
});
export type ClusterContainers = Static<typeof ClusterContainers>;

export const ClusterContainerState = Type.Object({
  atMs: Type.Number(),
  seq: Type.Integer(),
  storedAtMs: Type.Number(),
  summary: ClusterContainer,
  state: Type.Unsafe<Container>(Type.Object({ id: Type.String(), status: ContainerStatusText }, { additionalProperties: true, description: "The aggregate's whole state" })),
});
export type ClusterContainerState = Static<typeof ClusterContainerState>;

// ---- GET /cluster/containers/{id}/history ----

export const HistoryQuery = Type.Object({
  since: Type.Optional(TimeText),
  until: Type.Optional(TimeText),
  /** Page: entries after this sequence. */
  afterSeq: Type.Optional(Type.Integer({ minimum: 0 })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000, default: 1_000 })),
});
export type HistoryQuery = Static<typeof HistoryQuery>;

/** The container's messages and those of its placement and execs, oldest first. `nextSeq`: `afterSeq` of the next page, null at the end. */
export const ContainerHistory = Type.Object({ id: Type.String(), events: Type.Array(ClusterEvent), nextSeq: Nullable(Type.Integer()) });
export type ContainerHistory = Static<typeof ContainerHistory>;

// ---- GET /cluster/verify ----

export const VerifyMismatch = Type.Object({
  subject: Type.String(),
  seq: Type.Integer(),
  /** `fold`: events and snapshot disagree. `projection`: the projection's row is not the snapshot. `missing`, `extra`: the projection lacks or invents it. `malformed`: cannot be read. */
  problem: Type.Union([Type.Literal('fold'), Type.Literal('projection'), Type.Literal('missing'), Type.Literal('extra'), Type.Literal('malformed')]),
  message: Type.String(),
});
export type VerifyMismatch = Static<typeof VerifyMismatch>;

export const VerifyReport = Type.Object({
  ok: Type.Boolean(),
  /** Messages folded. */
  checked: Type.Integer(),
  subjects: Type.Integer(),
  /** Sequence up to which log and projection were compared. */
  seq: Type.Integer(),
  /** Messages of kinds that this version cannot fold. */
  passedOver: Type.Integer(),
  mismatches: Type.Array(VerifyMismatch, { description: 'The first 1000' }),
  mismatchCount: Type.Integer(),
  tookMs: Type.Number(),
});
export type VerifyReport = Static<typeof VerifyReport>;

// ---- POST /cluster/rebuild: JSON lines, one RebuildProgress each; the last is `done` or `failed` ----

export const RebuildProgress = Type.Object({
  state: Type.Union([Type.Literal('rebuilding'), Type.Literal('done'), Type.Literal('failed')]),
  seq: Type.Integer(),
  targetSeq: Type.Integer(),
  messages: Type.Integer(),
  elapsedMs: Type.Number(),
  messagesPerSecond: Type.Number(),
  error: Nullable(Type.String()),
});
export type RebuildProgress = Static<typeof RebuildProgress>;
