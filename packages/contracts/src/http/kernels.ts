// HTTP shapes of the catalogue of guest kernels, under /cluster/kernels. Schemas and their types; the api serves them, the CLI reads them.
import { Type, type Static } from 'typebox';
import type { KernelProbe } from '@pouch/domain';

const Nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);

/** What booting it under one machine profile showed on one host. */
export const KernelProfile = Type.Unsafe<KernelProbe>(Type.Object({ profile: Type.String(), ok: Type.Boolean(), bootMs: Nullable(Type.Number()), lacks: Type.Array(Type.String()) }));

export const KernelOnHost = Type.Object({
  hostId: Type.String(),
  /** Whether it is in the host's store; a host fetches a catalogued one when it needs it. */
  present: Type.Boolean(),
  /** Whether containers that name no kernel get it there. */
  isDefault: Type.Boolean(),
  acceleration: Nullable(Type.Union([Type.Literal('kvm'), Type.Literal('tcg')])),
  /** Empty: not booted there yet. */
  profiles: Type.Array(KernelProfile),
});
export type KernelOnHost = Static<typeof KernelOnHost>;

export const ClusterKernel = Type.Object({
  name: Type.String(),
  /** `catalogue`: kept in the cluster's object store, for every host. `host`: in the stores of some hosts only. */
  source: Type.Union([Type.Literal('catalogue'), Type.Literal('host')]),
  /** Of the image. */
  digest: Type.String(),
  sizeBytes: Nullable(Type.Integer()),
  format: Nullable(Type.Union([Type.Literal('bzImage'), Type.Literal('vmlinux')])),
  release: Nullable(Type.String()),
  moduleCount: Nullable(Type.Integer()),
  addedAtMs: Nullable(Type.Number()),
  hosts: Type.Array(KernelOnHost),
  /** Names of containers that name it. */
  usedBy: Type.Array(Type.String()),
});
export type ClusterKernel = Static<typeof ClusterKernel>;

export const ClusterKernels = Type.Object({ kernels: Type.Array(ClusterKernel) });
export type ClusterKernels = Static<typeof ClusterKernels>;

/** `POST /cluster/kernels`: the body is a tar with the file `image` (bzImage or vmlinux) and, where it has any, its modules under `modules/`. */
export const KernelAddQuery = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 63, description: 'a-z, 0-9, dots, - and _, a letter or digit first' }),
  probe: Type.Optional(Type.Boolean({ description: 'Boot it on a host before answering; default true' })),
});
export const KernelParams = Type.Object({ name: Type.String({ minLength: 1, maxLength: 63 }) });
export const KernelProbeQuery = Type.Object({ host: Type.Optional(Type.String({ maxLength: 63, pattern: '^[a-z0-9-]+$', description: 'Id of the host that is to boot it; default: the first that can' })) });

/** `warnings`: what kept it from being probed. */
export const KernelAdded = Type.Object({ kernel: ClusterKernel, warnings: Type.Array(Type.String()) });
export type KernelAdded = Static<typeof KernelAdded>;

/** `GET /cluster/containers/{id}/console` */
export const ConsoleQuery = Type.Object({ follow: Type.Optional(Type.Boolean({ description: 'Go on as the machine writes more' })) });
