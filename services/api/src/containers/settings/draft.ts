// What the settings of a create body are read into: a spec under construction, and what reading it may ask. Holds no rule.
import type { Container, ContainerId, ContainerSpec, ImageDefaults, ImagePin } from '@pouch/domain';

/** A spec being filled in; a setting replaces members whole. */
export type Draft = { -readonly [K in keyof ContainerSpec]: ContainerSpec[K] };

/** What reading needs from the cluster; asked only for what the body names. */
export interface Surroundings {
  readonly id: ContainerId;
  readonly image: { readonly pin: ImagePin; readonly defaults: ImageDefaults; readonly platform?: { readonly os: string; readonly architecture: string } };
  /** A container by id, unambiguous beginning of one, or name. */
  readonly findContainer: (name: string) => Container | null;
  /** Runtimes that any host has; empty while no host has joined. */
  readonly runtimes: readonly string[];
  readonly defaultRuntime: string;
  /** Guest kernels of the catalogue and of hosts. */
  readonly kernels: readonly string[];
}

/** Default size of /dev/shm, Docker's. */
export const defaultShmSizeBytes = 64 * 1024 * 1024;

/** Log files are bounded where Docker's json-file is not: this many, this large each. */
export const defaultLog = { maxSizeBytes: 20 * 1024 * 1024, maxFiles: 5 } as const;

/** A spec that says nothing but its image: the image's defaults, and Docker's. */
export function emptyDraft({ id, image: { pin, defaults, platform }, defaultRuntime }: Surroundings): Draft {
  return {
    image: pin,
    entrypoint: defaults.entrypoint,
    cmd: defaults.cmd,
    env: defaults.env,
    workingDir: defaults.workingDir,
    user: defaults.user,
    groupAdd: [],
    hostname: id.slice(0, 12),
    domainname: '',
    labels: defaults.labels,
    tty: false,
    openStdin: false,
    stdinOnce: false,
    attach: { stdin: false, stdout: false, stderr: false },
    stopSignal: defaults.stopSignal || 'SIGTERM',
    stopTimeoutSeconds: null,
    exposedPorts: defaults.exposedPorts,
    runtime: defaultRuntime,
    network: { mode: 'bridge' },
    ports: [],
    publishAllPorts: false,
    extraHosts: [],
    dns: [],
    dnsSearch: [],
    dnsOptions: [],
    mounts: [],
    resources: {
      memoryBytes: null, memorySwapBytes: null, nanoCpus: null, cpuShares: null, cpusetCpus: '', pidsLimit: null, ulimits: [], oomScoreAdj: 0, shmSizeBytes: defaultShmSizeBytes,
    },
    capAdd: [],
    capDrop: [],
    privileged: false,
    readonlyRootfs: false,
    noNewPrivileges: false,
    seccomp: { profile: 'default' },
    devices: [],
    sysctls: {},
    init: false,
    restartPolicy: { name: 'no', maximumRetryCount: 0 },
    autoRemove: false,
    log: { driver: 'json-file', ...defaultLog },
    annotations: {},
    ...(defaults.healthCheck === undefined ? {} : { healthCheck: defaults.healthCheck }),
    ...(platform === undefined ? {} : { platform: { os: platform.os, architecture: platform.architecture } }),
  };
}
