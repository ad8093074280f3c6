// HTTP shapes of services under /cluster/services: all that a container can be, times how many. Schemas and their types. Times are ms.
import { Type, type Static } from 'typebox';
import { DockerCreateBody } from './docker-container.ts';

const Opt = Type.Optional;
const Labels = Type.Record(Type.String({ maxLength: 256 }), Type.String({ maxLength: 4_096 }), { maxProperties: 64 });
const dayMs = 86_400_000;
/** The same bound as the domain's. */
const Replicas = Type.Integer({ minimum: 0, maximum: 1_000 });

const RolloutBody = Type.Object({
  parallelism: Opt(Type.Integer({ minimum: 0, maximum: 1_000, description: 'Slots exchanged at a time; 0: all' })),
  delayMs: Opt(Type.Integer({ minimum: 0, maximum: dayMs, description: 'Between the proof of one and the beginning of the next' })),
  order: Opt(Type.Union([Type.Literal('stop-first'), Type.Literal('start-first')])),
  monitorMs: Opt(Type.Integer({ minimum: 0, maximum: dayMs, description: 'A new replica that has run so long is proven' })),
  onFailure: Opt(Type.Union([Type.Literal('pause'), Type.Literal('continue'), Type.Literal('rollback')])),
  maxFailureRatio: Opt(Type.Number({ minimum: 0, maximum: 1 })),
}, { additionalProperties: false });
export type RolloutBody = Static<typeof RolloutBody>;

const RestartBody = Type.Object({
  condition: Opt(Type.Union([Type.Literal('any'), Type.Literal('on-failure'), Type.Literal('none')])),
  delayMs: Opt(Type.Integer({ minimum: 0, maximum: dayMs })),
  maxAttempts: Opt(Type.Integer({ minimum: 0, maximum: 1_000_000, description: '0: without a limit' })),
}, { additionalProperties: false });

const settings = {
  replicas: Opt(Replicas),
  runtimes: Opt(Type.Array(Type.String({ minLength: 1, maxLength: 256 }), { maxItems: 8, description: 'Slots take them in turn; none: the one of the template' })),
  labels: Opt(Labels),
  update: Opt(RolloutBody),
  rollback: Opt(RolloutBody),
  restart: Opt(RestartBody),
};

/** `POST /cluster/services` */
export const ClusterServiceBody = Type.Object({ name: Type.String({ minLength: 1, maxLength: 256 }), template: DockerCreateBody, ...settings }, { additionalProperties: false });
export type ClusterServiceBody = Static<typeof ClusterServiceBody>;

/** `POST /cluster/services/{id}/update`: what is left out stays; members of `template` and of its `HostConfig` take the place of those that were asked for before, null takes one away. */
export const ClusterServiceUpdateBody = Type.Object({
  version: Opt(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'Refused where the service is at another one by now' })),
  force: Opt(Type.Boolean({ description: 'Exchange the replicas also where nothing differs' })),
  template: Opt(Type.Object({}, { additionalProperties: true })),
  ...settings,
}, { additionalProperties: false });
export type ClusterServiceUpdateBody = Static<typeof ClusterServiceUpdateBody>;

export const ClusterServiceVersionBody = Type.Object({ version: Opt(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })) }, { additionalProperties: false });
export type ClusterServiceVersionBody = Static<typeof ClusterServiceVersionBody>;

const Nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);
const RolloutRules = Type.Object({ parallelism: Type.Integer(), delayMs: Type.Integer(), order: Type.String(), monitorMs: Type.Integer(), onFailure: Type.String(), maxFailureRatio: Type.Number() });

export const ClusterTask = Type.Object({
  /** Of its container. */
  id: Type.String(),
  name: Type.String(),
  slot: Type.Integer(),
  generation: Type.Integer(),
  /** Docker's words for the state of a task: pending, preparing, starting, running, complete, failed, shutdown, orphaned (its host was lost). */
  state: Type.String(),
  desired: Type.Union([Type.Literal('running'), Type.Literal('shutdown')]),
  image: Type.String(),
  hostId: Nullable(Type.String()),
  runtime: Nullable(Type.String()),
  sinceMs: Type.Number(),
  exitCode: Nullable(Type.Integer()),
  /** Why it is as it is, as a sentence; empty where the state says it all. */
  message: Type.String(),
});
export type ClusterTask = Static<typeof ClusterTask>;

export const ClusterService = Type.Object({
  id: Type.String(),
  name: Type.String(),
  state: Type.Union([Type.Literal('present'), Type.Literal('removing')]),
  version: Type.Integer(),
  generation: Type.Integer(),
  createdAtMs: Type.Number(),
  updatedAtMs: Type.Number(),
  image: Type.String(),
  runtimes: Type.Array(Type.String()),
  replicas: Type.Integer(),
  running: Type.Integer(),
  /** Replicas of the present generation that run. */
  updated: Type.Integer(),
  labels: Type.Record(Type.String(), Type.String()),
  update: RolloutRules,
  rollback: RolloutRules,
  restart: Type.Object({ condition: Type.String(), delayMs: Type.Integer(), maxAttempts: Type.Integer() }),
  /** Of the last update; null: there was none. States as Docker's: updating, paused, completed, rollback_started, rollback_paused, rollback_completed. */
  rollout: Nullable(Type.Object({ state: Type.String(), startedAtMs: Type.Number(), endedAtMs: Nullable(Type.Number()), failures: Type.Integer(), message: Type.String() })),
  /** What was asked for, as a create body. */
  template: DockerCreateBody,
  tasks: Type.Array(ClusterTask),
});
export type ClusterService = Static<typeof ClusterService>;

export const ClusterServices = Type.Object({ services: Type.Array(ClusterService) });
export type ClusterServices = Static<typeof ClusterServices>;
