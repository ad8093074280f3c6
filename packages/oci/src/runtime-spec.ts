// Types of the OCI runtime specification 1.0.2 (config.json), the part that Pouch writes. They hold no behaviour but the JSON writer.
// Source: opencontainers/runtime-spec, config.md and config-linux.md; names are the specification's own.

/** config.json. */
export interface Spec {
  ociVersion: string;
  process: Process;
  root: { path: string; readonly: boolean };
  hostname?: string;
  mounts: Mount[];
  annotations?: Record<string, string>;
  linux: Linux;
}

/** What runs in the container; also the whole of an exec (`runc exec --process`). */
export interface Process {
  terminal: boolean;
  /** Characters. */
  consoleSize?: { height: number; width: number };
  user: { uid: number; gid: number; umask?: number; additionalGids?: number[] };
  args: string[];
  env: string[];
  cwd: string;
  capabilities: Capabilities;
  rlimits?: Rlimit[];
  noNewPrivileges: boolean;
  oomScoreAdj?: number;
}

export interface Capabilities {
  bounding: string[];
  effective: string[];
  permitted: string[];
  inheritable: string[];
  ambient: string[];
}

/** `type` as RLIMIT_NOFILE. A bigint because "unlimited" is 2⁶⁴−1, which a JavaScript number cannot hold. */
export interface Rlimit {
  type: string;
  soft: bigint;
  hard: bigint;
}

export interface Mount {
  destination: string;
  type: string;
  source: string;
  options: string[];
}

export interface Linux {
  namespaces: Namespace[];
  devices?: Device[];
  cgroupsPath?: string;
  resources: Resources;
  rootfsPropagation?: string;
  seccomp?: Seccomp;
  sysctl?: Record<string, string>;
  maskedPaths?: string[];
  readonlyPaths?: string[];
}

export type NamespaceType = 'pid' | 'network' | 'mount' | 'ipc' | 'uts' | 'user' | 'cgroup';

/** Without `path` a new one is made. */
export interface Namespace {
  type: NamespaceType;
  path?: string;
}

export interface Device {
  type: 'c' | 'b' | 'p';
  path: string;
  major: number;
  minor: number;
  fileMode: number;
  uid: number;
  gid: number;
}

export interface DeviceRule {
  allow: boolean;
  type?: 'a' | 'c' | 'b';
  major?: number;
  minor?: number;
  /** Of `r`, `w`, `m`. */
  access: string;
}

/** Bytes, microseconds and counts as config-linux.md has them. `swap` is memory and swap together under both cgroup versions. */
export interface Resources {
  devices?: DeviceRule[];
  memory?: { limit?: number; reservation?: number; swap?: number };
  cpu?: { shares?: number; quota?: number; period?: number; cpus?: string; mems?: string };
  pids?: { limit: number };
  blockIO?: { weight: number };
}

export interface Seccomp {
  defaultAction: string;
  defaultErrnoRet?: number;
  architectures?: string[];
  flags?: string[];
  listenerPath?: string;
  listenerMetadata?: string;
  syscalls: SeccompRule[];
}

export interface SeccompRule {
  names: string[];
  action: string;
  errnoRet?: number;
  args?: SeccompArg[];
}

/** Values are unsigned 64-bit numbers; a bigint where a number would not be exact. */
export interface SeccompArg {
  index: number;
  value: number | bigint;
  valueTwo?: number | bigint;
  op: string;
}

/** Not in TypeScript's library yet: https://tc39.es/proposal-json-parse-with-source/ */
const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };

/** JSON text of a Spec, Process or Resources. `JSON.stringify` alone would throw at a bigint and a number would round 2⁶⁴−1 up. */
export function stringifySpec(value: Spec | Process | Resources): string {
  return JSON.stringify(value, (_key, field: unknown) => (typeof field === 'bigint' ? rawJSON(String(field)) : field));
}
