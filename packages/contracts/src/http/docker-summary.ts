// One line of `docker ps`, as clients read it. Schemas and types only: the projection keeps entries rendered, the api finishes them.
import { Type, type Static } from 'typebox';

const DockerPort = Type.Object({ IP: Type.Optional(Type.String()), PrivatePort: Type.Integer(), PublicPort: Type.Optional(Type.Integer()), Type: Type.String() });
export type DockerPort = Static<typeof DockerPort>;

export const DockerMountPoint = Type.Object({
  Type: Type.String(), Name: Type.Optional(Type.String()), Source: Type.String(), Destination: Type.String(), Driver: Type.Optional(Type.String()), Mode: Type.String(), RW: Type.Boolean(), Propagation: Type.String(),
});
export type DockerMountPoint = Static<typeof DockerMountPoint>;

export const ContainerListEntry = Type.Object({
  Id: Type.String(),
  Names: Type.Array(Type.String()),
  Image: Type.String(),
  ImageID: Type.String(),
  Command: Type.String(),
  /** Unix seconds. */
  Created: Type.Integer(),
  Ports: Type.Array(DockerPort),
  Labels: Type.Record(Type.String(), Type.String()),
  State: Type.String(),
  Status: Type.String(),
  /** `Runtime` is not Docker's: clients of PouchContainer read it here. */
  HostConfig: Type.Object({ NetworkMode: Type.String(), Runtime: Type.String() }),
  NetworkSettings: Type.Object({ Networks: Type.Record(Type.String(), Type.Object({ IPAddress: Type.String() }, { additionalProperties: true })) }),
  Mounts: Type.Array(DockerMountPoint),
  SizeRw: Type.Optional(Type.Integer()),
  SizeRootFs: Type.Optional(Type.Integer()),
});
export type ContainerListEntry = Static<typeof ContainerListEntry>;
