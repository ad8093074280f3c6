// What an api, or another host, asks of a host's agent directly, outside the log: calls with one answer, and pipes of bytes. Types only; `@pouch/pipes` carries them.
import type { ExecSpec, ImageRecord, Probe } from '@pouch/domain';

/** Unary calls, by name: parameters and result. */
export interface HostCalls {
  /** Like `ps` in the container: titles and rows, `psArgs` as `docker top` takes them. */
  'container.top': { params: { containerId: string; psArgs: string }; result: { titles: string[]; processes: string[][] } };
  /** How much it uses just now; of a machine, as its guest sees it. `not-running` where it does not run. */
  'container.stats': { params: { containerId: string }; result: ContainerReading };
  /** What its latest run's probes have come to, as far as the agent remembers: the log is told of changes of health only. `not-running` where it does not run. */
  'container.health': { params: { containerId: string }; result: { failingStreak: number; probes: Probe[] } };
  'container.resize': { params: { containerId: string; rows: number; columns: number }; result: Record<string, never> };
  /** What a path inside a container is. `not-found` where there is nothing. */
  'container.path-stat': { params: CopyParams; result: PathStat };
  'exec.resize': { params: { containerId: string; execId: string; rows: number; columns: number }; result: Record<string, never> };
  /** Writable layer and root file system, in bytes. */
  'container.size': { params: { containerId: string }; result: { writableBytes: number; rootBytes: number } };
  /** Gives the image that `source` (name or id) is the further name `name`. Answers with the log's sequence of the event. */
  'image.tag': { params: { source: string; name: string; actor: string }; result: { seq: number } };
  /** Takes the name away; with the last name the image goes. `name` may be an image id: then all its names go (`force`, or only one name). */
  'image.remove': { params: { name: string; force: boolean; actor: string }; result: { untagged: string[]; deleted: string[]; seq: number } };
  /** Removes images that no container uses: dangling ones, or all. */
  'image.prune': { params: { all: boolean; untilMs: number | null; labels: string[]; notLabels: string[]; actor: string }; result: { untagged: string[]; deleted: string[]; reclaimedBytes: number; seq: number } };
  /** Fetches a kernel of the catalogue, boots it under each machine profile and tells the log what works. Answers with the log's sequence of that. */
  'kernel.probe': { params: { name: string; actor: string }; result: { seq: number } };
  /** Removes a kernel that the catalogue has no more. Null: it did not have it. */
  'kernel.forget': { params: { name: string }; result: { seq: number | null } };
  /** Bytes that volumes hold, of those that are here; at most 10,000 may be asked for. */
  'volume.usage': { params: { dataIds: string[] }; result: { volumes: { dataId: string; bytes: number }[] } };
  'host.usage': { params: Record<string, never>; result: { layersBytes: number; containers: { containerId: string; writableBytes: number; rootBytes: number }[] } };
  /** Containers that are here and that the log does not know; at most 1,000. */
  'unknown.list': { params: Record<string, never>; result: { containers: UnknownOnHost[] } };
  /** Takes one into the log, whose name the caller has claimed for it. Answers with the log's sequence of that. `conflict`: it cannot be. */
  'unknown.adopt': { params: { containerId: string }; result: { seq: number } };
  'unknown.remove': { params: { containerId: string }; result: Record<string, never> };
  /**
   * Stops every container in order, so that the host can go down; they come back with it where their restart policy says so. Answers when all have ended, or after
   * `answerWithinSeconds` that it is `going` on: who asks again, as often as they like, waits for the same end. `timeoutSeconds` lie between stop signal and SIGKILL at most.
   */
  'host.shutdown': { params: { timeoutSeconds: number; answerWithinSeconds?: number }; result: { stopped: number; going?: true } };
}

/** Pipes, by name: parameters, the trailer that ends the answer, and control messages that the client may send meanwhile. */
export interface HostPipes {
  /** Multiplexed (8-byte headers) or, with a tty, raw output; input is the container's stdin, its end is EOF. Ends when the run ends. */
  'container.attach': {
    params: { containerId: string; stdin: boolean; stdout: boolean; stderr: boolean; logs: boolean; stream: boolean };
    trailer: Record<string, never>;
  };
  /** Multiplexed or raw, as docker's logs. `tail`: lines, null for all; times in ns as decimal text, inclusive. `framed`: multiplexed with a tty too; an agent that does not know it does not heed it. */
  'container.logs': {
    params: { containerId: string; stdout: boolean; stderr: boolean; follow: boolean; timestamps: boolean; tail: number | null; sinceNs: string | null; untilNs: string | null; framed?: boolean };
    trailer: Record<string, never>;
  };
  /** What the machine of a container wrote to its console: of the present or else the last run. Raw bytes. */
  'container.console': { params: { containerId: string; follow: boolean }; trailer: Record<string, never> };
  /**
   * Starts an exec and carries its stdio. `seq`: the log's sequence at which its end is told. `created`: at which sequence its creation stands in the log, and its time there.
   * The agent goes by that: asked for it, a server that is behind may know of no such exec. Absent from earlier apis; then the log is asked.
   */
  'exec.start': {
    params: {
      containerId: string; execId: string; spec: ExecSpec; detach: boolean; consoleSize: { rows: number; columns: number } | null; actor: string;
      created?: { readonly seq: number; readonly atMs: number };
    };
    trailer: { exitCode: number | null; seq: number };
  };
  /** Output: one line of JSON, `PathStat`, then a tar of what is there. */
  'container.read-files': { params: CopyParams & { actor: string }; trailer: Record<string, never> };
  /** Input: a tar, plain or compressed, that is extracted in the directory `path`. */
  'container.write-files': {
    params: CopyParams & { noOverwriteDirNonDir: boolean; ownedByUser: boolean; actor: string };
    trailer: Record<string, never>;
  };
  /** Asked by other hosts: the bytes of a blob of this host's content store from `offset` on. `not-found` where it does not have it. */
  'content.read': { params: { digest: string; offset: number }; trailer: Record<string, never> };
  /** Output: one JSON object a line, `ImageProgress`. */
  'image.pull': {
    params: { reference: string; platform: string | null; auth: RegistryAuth | null; actor: string };
    trailer: { seq: number; record: ImageRecord };
  };
  /** Input: a docker-archive or OCI layout tar, plain or gzipped. Output: `ImageProgress` lines. */
  'image.load': {
    params: { quiet: boolean; actor: string };
    trailer: { seq: number; loaded: { name: string | null; imageId: string }[] };
  };
}

export interface CopyParams {
  readonly containerId: string;
  /** As the client calls the container: errors name it so. */
  readonly calledAs: string;
  /** As the client gave it. */
  readonly path: string;
}

/** A path in a container, not followed where it is a symbolic link, as lstat(2) tells. */
export interface PathStat {
  /** Its last part. */
  readonly name: string;
  readonly sizeBytes: number;
  /** With the type, as stat(2) has it. */
  readonly mode: number;
  /** Since 1970. */
  readonly mtimeSeconds: number;
  readonly mtimeNanoseconds: number;
  /** Where a symbolic link ends in the end; else empty. */
  readonly linkTarget: string;
}

/** A container that is on a host and that the log does not know. Null: not known. */
export interface UnknownOnHost {
  readonly id: string;
  readonly name: string | null;
  readonly image: string | null;
  readonly state: 'created' | 'running' | 'paused' | 'exited';
  readonly createdAtMs: number | null;
  /** Why it cannot be taken into the log; null: it can. */
  readonly keepsOut: string | null;
}

export interface BlkioReading {
  readonly op: string;
  readonly major: number;
  readonly minor: number;
  readonly value: number;
}

export interface LinkReading {
  readonly rxBytes: number; readonly rxPackets: number; readonly rxErrors: number; readonly rxDropped: number;
  readonly txBytes: number; readonly txPackets: number; readonly txErrors: number; readonly txDropped: number;
}

/** One reading of what a container uses; counters since it was started. Whole numbers, none above 2⁵³−1. */
export interface ContainerReading {
  /** By the host's clock, ms since 1970. */
  readonly readAtMs: number;
  readonly cpu: {
    readonly totalNs: number; readonly userNs: number; readonly kernelNs: number;
    /** Empty where the kernel does not tell. */
    readonly perCpuNs: readonly number[];
    /** All that its processors did and did not do: of the host, or of the machine. */
    readonly systemNs: number;
    readonly processors: number;
    readonly throttling: { readonly periods: number; readonly throttledPeriods: number; readonly throttledNs: number };
  };
  readonly memory: {
    /** With the page cache; `stats` tells how much of it can be given back, as `total_inactive_file` (cgroup v1) or `inactive_file`. */
    readonly usageBytes: number;
    /** Null where the kernel does not tell. */
    readonly maxUsageBytes: number | null;
    /** At most what the host or machine has. */
    readonly limitBytes: number;
    readonly failures: number | null;
    /** By the kernel's own names. */
    readonly stats: Readonly<Record<string, number>>;
  };
  /** `limit`: 0 where there is none. */
  readonly pids: { readonly current: number; readonly limit: number };
  /** By name, without the loopback; null where its network is the host's. */
  readonly links: Readonly<Record<string, LinkReading>> | null;
  /** By Docker's names, e.g. `io_service_bytes_recursive`. */
  readonly blkio: Readonly<Record<string, readonly BlkioReading[]>>;
}

export type HostCallName = keyof HostCalls;
export type HostPipeName = keyof HostPipes;

export interface RegistryAuth {
  readonly username: string;
  readonly password: string;
  readonly identityToken: string;
}

/** A line of progress, in the words of Docker's JSON messages. */
export interface ImageProgress {
  readonly id: string | null;
  readonly status: string;
  readonly current: number | null;
  readonly total: number | null;
}

/** Codes of errors that agents answer calls and pipes with; the api's table gives each its HTTP status. */
export type HostErrorCode = 'not-found' | 'not-running' | 'conflict' | 'in-use' | 'bad-parameter' | 'denied' | 'unavailable' | 'unsupported' | 'internal';
