// What a spec is made from: what was asked in Docker's terms, and facts of the host. Types and their defaults only.
import type { Device } from './runtime-spec.ts';
import type { SeccompProfile } from './seccomp-profile.ts';

/** All that `buildSpec` needs. Optional fields left out mean Docker's default. */
export interface SpecInput {
  readonly args: readonly string[];
  /** `NAME=value`, the image's and the person's merged. `NAME` alone takes a default variable away. */
  readonly env: readonly string[];
  /** Absolute; empty means `/`. */
  readonly cwd: string;
  readonly user: ResolvedUser;
  readonly hostname: string;
  readonly domainname?: string;
  readonly tty: boolean;
  /** Characters. */
  readonly consoleSize?: { readonly height: number; readonly width: number };
  /** Absolute, or relative to the bundle. */
  readonly rootfsPath: string;
  readonly readonlyRootfs?: boolean;
  readonly resources?: ResourceLimits;
  /** Docker's names, with or without `CAP_`, in any case; `ALL`. */
  readonly capAdd?: readonly string[];
  readonly capDrop?: readonly string[];
  readonly privileged?: boolean;
  readonly noNewPrivileges?: boolean;
  /** `default` unless privileged, then `unconfined`; a custom profile holds for privileged too. */
  readonly seccomp?: 'default' | 'unconfined' | SeccompProfile;
  /** From `resolveDevices`. */
  readonly devices?: readonly ResolvedDevice[];
  /** From `readHostDevices`; used only when privileged. */
  readonly hostDevices?: readonly Device[];
  readonly sysctls?: Readonly<Record<string, string>>;
  readonly mounts?: readonly MountInput[];
  readonly generatedFiles?: GeneratedFiles;
  /** A static init on the host, bound read-only on /sbin/docker-init and put in front of the arguments. */
  readonly initPath?: string;
  readonly namespaces?: NamespacesInput;
  readonly cgroupsPath?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Undefined: Docker's, or none when privileged. */
  readonly maskedPaths?: readonly string[];
  readonly readonlyPaths?: readonly string[];
}

/** Absolute paths on the host, bound over the container's /etc. */
export interface GeneratedFiles {
  readonly resolvConfPath?: string;
  readonly hostsPath?: string;
  readonly hostnamePath?: string;
}

/** From `resolveUser`. */
export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups, without `gid`. */
  readonly additionalGids: readonly number[];
  /** From passwd, `/` where it has none. */
  readonly home: string;
}

/** Undefined, null and 0 mean not limited, as in Docker, unless said otherwise. */
export interface ResourceLimits {
  readonly memoryBytes?: number | null;
  /** Memory and swap together; -1: unlimited swap; 0 beside a memory limit: twice that limit. */
  readonly memorySwapBytes?: number | null;
  readonly memoryReservationBytes?: number | null;
  /** 10⁹ is one CPU. */
  readonly nanoCpus?: number | null;
  readonly cpuShares?: number | null;
  /** `0-2,4` */
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  /** -1: not limited. */
  readonly pidsLimit?: number | null;
  /** Names as `nofile`; -1: unlimited. */
  readonly ulimits?: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly oomScoreAdj?: number;
  /** 64 MiB when undefined or 0. */
  readonly shmSizeBytes?: number;
  readonly blkioWeight?: number | null;
}

/** A device node of the host and what the container may do with it. */
export interface ResolvedDevice {
  readonly device: Device;
  /** Of `r`, `w`, `m`. */
  readonly permissions: string;
}

export type Propagation = 'private' | 'rprivate' | 'shared' | 'rshared' | 'slave' | 'rslave';

export type MountInput =
  | {
      readonly type: 'bind';
      readonly source: string;
      readonly target: string;
      readonly readonly: boolean;
      /** `rprivate` when undefined. */
      readonly propagation?: Propagation;
      /** True when undefined: mounts below the source come along. */
      readonly recursive?: boolean;
    }
  | {
      readonly type: 'tmpfs';
      readonly target: string;
      readonly readonly?: boolean;
      readonly sizeBytes?: number | null;
      /** File mode bits, e.g. 0o1777. */
      readonly mode?: number | null;
      /** As Docker's `Tmpfs` takes them: `exec`, `size=64m`, `uid=1000`. Later ones win, and they win over Docker's own. */
      readonly options?: readonly string[];
    };

/**
 * Where one namespace comes from: `new`, the `host`'s, one `prepared` for this container (its sysctls are ours to set), or that of
 * another `container`. `path` is a namespace file.
 */
export type NamespaceChoice = { readonly kind: 'new' } | { readonly kind: 'host' } | { readonly kind: 'prepared'; readonly path: string } | { readonly kind: 'container'; readonly path: string };

/** New where undefined; cgroup: new with version 2 and the host's with version 1, as Docker. */
export interface NamespacesInput {
  readonly network?: NamespaceChoice;
  readonly pid?: NamespaceChoice;
  readonly uts?: NamespaceChoice;
  readonly cgroup?: NamespaceChoice;
  /** `shmPath`: the directory on the host that is the other container's /dev/shm. */
  readonly ipc?: NamespaceChoice & { readonly shmPath?: string };
}

/** What of the host bears on a spec; read once by `readHostFacts`. */
export interface HostFacts {
  readonly architecture: 'amd64' | 'arm64';
  readonly cgroupVersion: 1 | 2;
  /** Names as in /proc/cgroups or cgroup.controllers: `memory`, `pids`, `cpu`, `cpuset`, `blkio` or `io`. */
  readonly cgroupControllers: readonly string[];
  /** False: a limit of swap cannot be set (memory.memsw or memory.swap.max is missing). */
  readonly limitsSwap: boolean;
  readonly hasCapSysResource: boolean;
  /** Lowest oom_score_adj that may be set without CAP_SYS_RESOURCE. */
  readonly oomScoreAdjMin: number;
  /** Hard limits of the process that starts containers, by Docker's name (`nofile`); 2⁶⁴−1 is unlimited. */
  readonly maxRlimits: Readonly<Record<string, bigint>>;
  readonly kernelVersion: { readonly major: number; readonly minor: number };
  /** Bounding set, names with `CAP_`. */
  readonly capabilities: readonly string[];
  readonly cpuCount: number;
  readonly memoryBytes: number;
}
