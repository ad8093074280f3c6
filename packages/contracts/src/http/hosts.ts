// HTTP shapes of what operators do with hosts, under /cluster/hosts/{id}: labels, cordon, drain, removal. Schemas and their types.
import { Type, type Static } from 'typebox';

export const HostParams = Type.Object({ id: Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$', description: '1 to 63 of a-z, 0-9 and -' }) });

const LabelName = Type.String({ pattern: '^[A-Za-z0-9_](?:[A-Za-z0-9_.\\-/]{0,126}[A-Za-z0-9_])?$' });

// ---- POST /cluster/hosts/{id}/labels ----

export const HostLabelsBody = Type.Object({
  /** Given, or given another value. */
  set: Type.Optional(Type.Record(LabelName, Type.String({ maxLength: 256 }), { additionalProperties: false })),
  /** Taken away, also where the host's configuration gives them. */
  remove: Type.Optional(Type.Array(LabelName, { maxItems: 64 })),
}, { additionalProperties: false });
export type HostLabelsBody = Static<typeof HostLabelsBody>;

export const HostLabels = Type.Object({ labels: Type.Record(Type.String(), Type.String()) });
export type HostLabels = Static<typeof HostLabels>;

// ---- POST /cluster/hosts/{id}/drain: JSON lines, one DrainProgress each time that something has changed ----

export const DrainProgress = Type.Object({
  /** `ended`: somebody has uncordoned the host meanwhile, or removed it. */
  state: Type.Union([Type.Literal('draining'), Type.Literal('drained'), Type.Literal('ended')]),
  /** Containers that have gone from the host since the drain was asked for. */
  moved: Type.Integer(),
  /** Being stopped and removed. */
  moving: Type.Array(Type.Object({ id: Type.String(), name: Type.String() })),
  /** Those that stay, or wait for a host that can take them, each with its reason. */
  left: Type.Array(Type.Object({ id: Type.String(), name: Type.String(), reason: Type.String() })),
});
export type DrainProgress = Static<typeof DrainProgress>;

// ---- GET /cluster/hosts/{id}/unknown: containers that the log does not know, as after a restored backup ----

export const UnknownContainerParams = Type.Object({ ...HostParams.properties, container: Type.String({ pattern: '^[0-9a-f]{4,64}$', description: 'Id, or an unambiguous beginning of it' }) });

export const UnknownContainers = Type.Object({
  containers: Type.Array(Type.Object({
    id: Type.String(),
    /** Null: not known, as the others. */
    name: Type.Union([Type.String(), Type.Null()]),
    image: Type.Union([Type.String(), Type.Null()]),
    state: Type.Union([Type.Literal('created'), Type.Literal('running'), Type.Literal('paused'), Type.Literal('exited')]),
    createdAtMs: Type.Union([Type.Integer(), Type.Null()]),
    /** Why it cannot be adopted; null: it can. */
    keepsOut: Type.Union([Type.String(), Type.Null()]),
  })),
});
export type UnknownContainers = Static<typeof UnknownContainers>;

// ---- DELETE /cluster/hosts/{id} ----

export const HostRemoveQuery = Type.Object({ force: Type.Optional(Type.Boolean()) });
