// Docker's HTTP shapes of networks. Schemas and types only: there are three, and none can be made.
import { Type, type Static } from 'typebox';

export const DockerNetworksQuery = Type.Object({ filters: Type.Optional(Type.String({ maxLength: 65_536, description: 'JSON: dangling, driver, id, label, name, scope, type' })) });
export const DockerNetworkQuery = Type.Object({
  verbose: Type.Optional(Type.Boolean({ description: 'Has no effect: it is about swarms' })),
  scope: Type.Optional(Type.String({ maxLength: 64, description: 'local' })),
});

export const DockerEndpoint = Type.Object({ Name: Type.String(), EndpointID: Type.String(), MacAddress: Type.String(), IPv4Address: Type.String({ description: 'With the length of its prefix' }), IPv6Address: Type.String() });
export type DockerEndpoint = Static<typeof DockerEndpoint>;

const TextMap = Type.Record(Type.String(), Type.String());
export const DockerNetwork = Type.Object({
  Name: Type.String(), Id: Type.String(), Created: Type.String(), Scope: Type.String(), Driver: Type.String(), EnableIPv6: Type.Boolean(),
  IPAM: Type.Object({ Driver: Type.String(), Options: Type.Null(), Config: Type.Array(Type.Object({})) }),
  Internal: Type.Boolean(), Attachable: Type.Boolean(), Ingress: Type.Boolean(), ConfigFrom: Type.Object({ Network: Type.String() }), ConfigOnly: Type.Boolean(),
  Containers: Type.Record(Type.String(), DockerEndpoint, { description: 'By id, those that run; not told in lists' }), Options: TextMap, Labels: TextMap,
});
export type DockerNetwork = Static<typeof DockerNetwork>;
