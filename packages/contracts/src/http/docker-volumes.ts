// Docker's HTTP shapes of volumes, with where each is. Schemas and types only.
import { Type, type Static } from 'typebox';

const TextMap = Type.Record(Type.String(), Type.String());
const Filters = (names: string) => Type.Optional(Type.String({ maxLength: 65_536, description: `JSON: ${names}` }));

export const DockerVolumesQuery = Type.Object({ filters: Filters('dangling, driver, label, name') });
export const DockerVolumeRemoveQuery = Type.Object({ force: Type.Optional(Type.Boolean({ description: 'One that is not there is no error' })) });
export const DockerVolumePruneQuery = Type.Object({ filters: Filters('all, label, label!') });
export const DockerVolumeParams = Type.Object({ name: Type.String({ minLength: 1, maxLength: 512 }) });

/** `POST /volumes/create` */
export const DockerVolumeBody = Type.Object({
  Name: Type.Optional(Type.String({ maxLength: 65_536, description: 'One is made up where it is absent' })),
  Driver: Type.Optional(Type.String({ maxLength: 65_536, description: 'local' })),
  DriverOpts: Type.Optional(TextMap),
  Labels: Type.Optional(TextMap),
  ClusterVolumeSpec: Type.Optional(Type.Object({}, { additionalProperties: true })),
});
export type DockerVolumeBody = Static<typeof DockerVolumeBody>;

export const DockerVolume = Type.Object({
  CreatedAt: Type.String(), Driver: Type.String(), Labels: Type.Union([TextMap, Type.Null()]), Mountpoint: Type.String({ description: 'On its host; empty while no container has used it' }),
  Name: Type.String(), Options: Type.Null(), Scope: Type.String(),
  Node: Type.Optional(Type.Object({ ID: Type.String(), Name: Type.String(), IP: Type.String(), Status: Type.String() }, { description: 'Its host; absent while no container has used it' })),
  UsageData: Type.Optional(Type.Object({ Size: Type.Integer({ description: 'Bytes; -1: not known' }), RefCount: Type.Integer() })),
});
export type DockerVolume = Static<typeof DockerVolume>;

export const DockerVolumes = Type.Object({ Volumes: Type.Array(DockerVolume), Warnings: Type.Array(Type.String()) });
export const DockerVolumesPruned = Type.Object({ VolumesDeleted: Type.Array(Type.String()), SpaceReclaimed: Type.Integer() });
