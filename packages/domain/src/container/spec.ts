// What a container is asked to be: complete, normalised and unchanging. Image defaults are already merged in, names already resolved.
// Docker's JSON is translated to this at the API and back for inspect; nothing below the API knows Docker's field names.
import type { SecretMount } from '../access/secret.ts';
import type { ContainerId, ImageId } from '../ids.ts';
import type { PlacementRules } from '../placement/rules.ts';
import type { ServiceMembership } from '../service/membership.ts';
import type { HealthCheck } from './health-check.ts';

export interface ContainerSpec {
  readonly image: ImagePin;
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** `NAME=value`, image's and asked ones merged, later names win. */
  readonly env: readonly string[];
  readonly workingDir: string;
  /** `user[:group]`, names or numbers; looked up inside the image on the host. Empty: root. */
  readonly user: string;
  readonly groupAdd: readonly string[];
  readonly hostname: string;
  readonly domainname: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly tty: boolean;
  readonly openStdin: boolean;
  readonly stdinOnce: boolean;
  /** Only echoed by inspect: what the client said it would attach. */
  readonly attach: { readonly stdin: boolean; readonly stdout: boolean; readonly stderr: boolean };
  /** Signal name with SIG, e.g. `SIGTERM`. */
  readonly stopSignal: string;
  /** Null: the default of 10 s. -1: wait for ever. */
  readonly stopTimeoutSeconds: number | null;
  /** `80/tcp` */
  readonly exposedPorts: readonly string[];
  /** Name of an OCI runtime in the host's configuration. */
  readonly runtime: string;
  readonly network: NetworkMode;
  readonly ports: readonly PortBinding[];
  readonly publishAllPorts: boolean;
  /** `name:address` */
  readonly extraHosts: readonly string[];
  readonly dns: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly dnsOptions: readonly string[];
  readonly mounts: readonly Mount[];
  /** Containers whose binds and volumes it has, too: they stand among `mounts`, and it runs where those containers are. Absent: none. */
  readonly volumesFrom?: readonly VolumesFrom[];
  readonly resources: Resources;
  readonly capAdd: readonly string[];
  readonly capDrop: readonly string[];
  readonly privileged: boolean;
  readonly readonlyRootfs: boolean;
  readonly noNewPrivileges: boolean;
  readonly seccomp: Seccomp;
  readonly devices: readonly Device[];
  readonly sysctls: Readonly<Record<string, string>>;
  readonly init: boolean;
  readonly restartPolicy: RestartPolicy;
  readonly autoRemove: boolean;
  readonly log: LogSettings;
  readonly annotations: Readonly<Record<string, string>>;
  /** What the image is for; absent: not said (by an earlier version). */
  readonly platform?: { readonly os: string; readonly architecture: string };
  /** Absent: it says nothing of where it may run. */
  readonly placement?: PlacementRules;
  /** Files in /run/secrets; what they hold is not here. Absent: none. */
  readonly secrets?: readonly SecretMount[];
  /** The image's and what was asked, merged. Absent: there is none (or an earlier version made the container). */
  readonly healthCheck?: HealthCheck;
  /** Absent: it is no replica of a service. */
  readonly service?: ServiceMembership;
}

/** The very image that a container was made from, whatever its name points to later. */
export interface ImagePin {
  /** As the person wrote it, e.g. `busybox`. */
  readonly reference: string;
  /** Canonical, e.g. `docker.io/library/busybox:latest`; null when the image was named by its id and has no name. */
  readonly name: string | null;
  readonly id: ImageId;
  /** Digest of the manifest or index that the name pointed to. */
  readonly manifestDigest: string;
}

export type NetworkMode =
  | { readonly mode: 'bridge' }
  | { readonly mode: 'none' }
  | { readonly mode: 'host' }
  | { readonly mode: 'container'; readonly containerId: ContainerId };

export interface PortBinding {
  readonly containerPort: number;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  /** Empty: every address. */
  readonly hostIp: string;
  /** Null: the host chooses a free one. */
  readonly hostPort: number | null;
}

export interface VolumesFrom {
  readonly containerId: ContainerId;
  /** As it was asked for: a name or id, and `:ro` or the like. */
  readonly asked: string;
}

/** `declaredAs` keeps which of Docker's fields it came from, so that inspect answers what was said. */
export type Mount =
  | {
      readonly type: 'bind';
      readonly declaredAs: 'binds' | 'mounts' | 'volumes-from';
      readonly source: string;
      readonly target: string;
      readonly readonly: boolean;
      readonly propagation: 'rprivate' | 'private' | 'rshared' | 'shared' | 'rslave' | 'slave';
      readonly recursive: boolean;
      /** Binds make a missing source directory, Mounts refuse it. */
      readonly createSource: boolean;
      /** A directory of the host that the source must lie below when links are followed; absent: anywhere. */
      readonly within?: string;
    }
  | {
      readonly type: 'tmpfs';
      readonly declaredAs: 'tmpfs' | 'mounts';
      readonly target: string;
      /** Null: the kernel's default, half of memory. */
      readonly sizeBytes: number | null;
      /** File mode bits; null: 01777. */
      readonly mode: number | null;
      /** Mount options as Docker's Tmpfs takes them, e.g. `rw`, `noexec`. */
      readonly options: readonly string[];
    }
  | {
      readonly type: 'volume';
      /** `volumes`: by its path alone, the image's own among them. */
      readonly declaredAs: 'binds' | 'mounts' | 'volumes' | 'volumes-from';
      /** Null: it has one of its own. */
      readonly name: string | null;
      readonly target: string;
      readonly readonly: boolean;
      /** What the image has at the target is not copied into an empty volume. */
      readonly noCopy: boolean;
      /** Of the volume, where it is made with the container. */
      readonly labels: Readonly<Record<string, string>>;
    };

/** Null everywhere: not limited. */
export interface Resources {
  readonly memoryBytes: number | null;
  /** What it is promised of its host's memory, and keeps under pressure; absent: nothing. */
  readonly memoryReservationBytes?: number;
  /** Memory and swap together; -1: unlimited swap. */
  readonly memorySwapBytes: number | null;
  readonly nanoCpus: number | null;
  readonly cpuShares: number | null;
  readonly cpusetCpus: string;
  readonly pidsLimit: number | null;
  readonly ulimits: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly oomScoreAdj: number;
  readonly shmSizeBytes: number;
}

export type Seccomp = { readonly profile: 'default' } | { readonly profile: 'unconfined' } | { readonly profile: 'custom'; readonly json: string };

export interface Device {
  readonly pathOnHost: string;
  readonly pathInContainer: string;
  /** Of `r`, `w`, `m`. */
  readonly permissions: string;
}

export interface RestartPolicy {
  readonly name: 'no' | 'always' | 'unless-stopped' | 'on-failure';
  /** For `on-failure`: 0 is without a limit. */
  readonly maximumRetryCount: number;
}

export interface LogSettings {
  /** `none` refuses `logs`; attach still works. */
  readonly driver: 'json-file' | 'local' | 'none';
  readonly maxSizeBytes: number;
  readonly maxFiles: number;
}
