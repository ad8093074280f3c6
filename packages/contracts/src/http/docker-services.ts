// Docker's shapes of services, as requests. Schemas and their types; what each member means, and which have no effect yet, is told by the api's
// services/docker-spec.ts. Durations are nanoseconds, as in Docker.
import { Type, type Static } from 'typebox';
import { DockerHealthcheck } from './docker-container.ts';

const Opt = Type.Optional;
const Text = Type.String({ maxLength: 65_536 });
const Texts = Type.Array(Text, { maxItems: 10_000 });
const TextMap = Type.Record(Type.String(), Text);
const Whole = (minimum = 0) => Type.Integer({ minimum, maximum: Number.MAX_SAFE_INTEGER });
const Open = { additionalProperties: true };

const Rollout = Type.Object({ Parallelism: Opt(Whole()), Delay: Opt(Whole()), FailureAction: Opt(Text), Monitor: Opt(Whole()), MaxFailureRatio: Opt(Type.Number({ minimum: 0, maximum: 1 })), Order: Opt(Text) });
export type DockerRollout = Static<typeof Rollout>;

export const DockerTaskTemplate = Type.Object({
  ContainerSpec: Opt(Type.Object({
    Image: Opt(Text), Labels: Opt(TextMap), Command: Opt(Texts), Args: Opt(Texts), Hostname: Opt(Text), Env: Opt(Texts), Dir: Opt(Text), User: Opt(Text), Groups: Opt(Texts), TTY: Opt(Type.Boolean()), OpenStdin: Opt(Type.Boolean()),
    ReadOnly: Opt(Type.Boolean()), Init: Opt(Type.Boolean()), StopSignal: Opt(Text), StopGracePeriod: Opt(Whole()), Hosts: Opt(Texts), CapabilityAdd: Opt(Texts), CapabilityDrop: Opt(Texts), Sysctls: Opt(TextMap),
    Mounts: Opt(Type.Array(Type.Object({}, Open), { maxItems: 1_000 })),
    Ulimits: Opt(Type.Array(Type.Object({ Name: Text, Soft: Opt(Whole(-1)), Hard: Opt(Whole(-1)) }), { maxItems: 64 })),
    DNSConfig: Opt(Type.Object({ Nameservers: Opt(Texts), Search: Opt(Texts), Options: Opt(Texts) })),
    Healthcheck: Opt(DockerHealthcheck),
    Secrets: Opt(Type.Array(Type.Object({ SecretName: Opt(Text), SecretID: Opt(Text), File: Opt(Type.Object({ Name: Opt(Text), UID: Opt(Text), GID: Opt(Text), Mode: Opt(Whole()) })) }), { maxItems: 64 })),
  }, Open)),
  Resources: Opt(Type.Object({ Limits: Opt(Type.Object({ NanoCPUs: Opt(Whole()), MemoryBytes: Opt(Whole()), Pids: Opt(Whole()) }, Open)), Reservations: Opt(Type.Object({ NanoCPUs: Opt(Whole()), MemoryBytes: Opt(Whole()) }, Open)) })),
  RestartPolicy: Opt(Type.Object({ Condition: Opt(Text), Delay: Opt(Whole()), MaxAttempts: Opt(Whole()), Window: Opt(Whole()) })),
  Placement: Opt(Type.Object({ Constraints: Opt(Texts), Preferences: Opt(Type.Array(Type.Object({ Spread: Opt(Type.Object({ SpreadDescriptor: Opt(Text) })) }), { maxItems: 8 })), MaxReplicas: Opt(Whole()) }, Open)),
  LogDriver: Opt(Type.Object({ Name: Opt(Text), Options: Opt(TextMap) })),
  ForceUpdate: Opt(Whole()),
}, Open);
export type DockerTaskTemplate = Static<typeof DockerTaskTemplate>;

/** Body of `POST /services/create` and of `POST /services/{id}/update`. */
export const DockerServiceBody = Type.Object({
  Name: Opt(Text),
  Labels: Opt(TextMap),
  TaskTemplate: Opt(DockerTaskTemplate),
  Mode: Opt(Type.Object({ Replicated: Opt(Type.Object({ Replicas: Opt(Whole()) })) }, Open)),
  UpdateConfig: Opt(Rollout),
  RollbackConfig: Opt(Rollout),
  EndpointSpec: Opt(Type.Object({ Mode: Opt(Text), Ports: Opt(Type.Array(Type.Object({ Name: Opt(Text), Protocol: Opt(Text), TargetPort: Opt(Type.Integer({ minimum: 1, maximum: 65_535 })), PublishedPort: Opt(Type.Integer({ minimum: 0, maximum: 65_535 })), PublishMode: Opt(Text) }), { maxItems: 1_000 })) })),
}, Open);
export type DockerServiceBody = Static<typeof DockerServiceBody>;

export const DockerServicesQuery = Type.Object({ filters: Opt(Type.String({ maxLength: 65_536, description: 'JSON: id, name, label, mode' })), status: Opt(Type.Boolean({ description: 'With ServiceStatus' })) });
export const DockerServiceQuery = Type.Object({ insertDefaults: Opt(Type.Boolean({ description: 'Has no effect: defaults are always shown' })) });
export const DockerServiceUpdateQuery = Type.Object({ version: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }), registryAuthFrom: Opt(Type.String({ maxLength: 64 })), rollback: Opt(Type.String({ maxLength: 64, description: '`previous`: to what the last update replaced' })) });
export const DockerTasksQuery = Type.Object({ filters: Opt(Type.String({ maxLength: 65_536, description: 'JSON: id, name, service, node, label, desired-state' })) });
export const DockerNodesQuery = Type.Object({ filters: Opt(Type.String({ maxLength: 65_536, description: 'JSON: id, name, label' })) });
