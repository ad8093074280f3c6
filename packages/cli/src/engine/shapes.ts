// What the CLI reads of Docker's JSON answers: only the members it uses, each as optional as clients must take it. Types only.
// Source: Docker Engine API 1.43 reference.

export interface ContainerItem {
  readonly Id: string;
  readonly Names?: readonly string[];
  readonly Image: string;
  readonly ImageID?: string;
  readonly Command?: string;
  /** Seconds since 1970. */
  readonly Created: number;
  readonly State?: string;
  readonly Status?: string;
  readonly Ports?: readonly PortItem[];
  readonly Labels?: Readonly<Record<string, string>>;
  readonly HostConfig?: { readonly Runtime?: string; readonly NetworkMode?: string };
  readonly Mounts?: readonly { readonly Source?: string; readonly Destination?: string; readonly Name?: string }[];
  readonly SizeRw?: number;
  readonly SizeRootFs?: number;
}

export interface PortItem {
  readonly IP?: string;
  readonly PrivatePort: number;
  readonly PublicPort?: number;
  readonly Type: string;
}

export interface ContainerDetail {
  readonly Id: string;
  readonly Name: string;
  readonly State: { readonly Status?: string; readonly Running: boolean; readonly Paused?: boolean; readonly Restarting?: boolean; readonly ExitCode?: number };
  readonly Config: { readonly Tty?: boolean; readonly OpenStdin?: boolean; readonly StdinOnce?: boolean; readonly Image?: string };
  readonly HostConfig?: { readonly AutoRemove?: boolean };
}

interface CpuAnswer {
  readonly cpu_usage?: { readonly total_usage: number };
  readonly system_cpu_usage?: number;
  readonly online_cpus?: number;
}

/** Of a container that does not run, nearly everything is absent. */
export interface StatsAnswer {
  readonly id?: string;
  readonly name?: string;
  readonly cpu_stats?: CpuAnswer;
  readonly precpu_stats?: CpuAnswer;
  readonly memory_stats?: { readonly usage?: number; readonly limit?: number; readonly stats?: Readonly<Record<string, number>> };
  readonly pids_stats?: { readonly current?: number };
  readonly networks?: Readonly<Record<string, { readonly rx_bytes: number; readonly tx_bytes: number }>>;
  readonly blkio_stats?: { readonly io_service_bytes_recursive?: readonly { readonly op: string; readonly value: number }[] | null };
}

export interface Created {
  readonly Id: string;
  readonly Warnings?: readonly string[] | null;
}

export interface WaitAnswer {
  readonly StatusCode: number;
  readonly Error?: { readonly Message?: string } | null;
}

export interface ImageItem {
  readonly Id: string;
  readonly RepoTags?: readonly string[] | null;
  readonly RepoDigests?: readonly string[] | null;
  /** Seconds since 1970. */
  readonly Created: number;
  readonly Size: number;
  readonly Labels?: Readonly<Record<string, string>> | null;
  readonly Containers?: number;
}

export interface ImageDetail {
  readonly Id: string;
  readonly Config?: { readonly Cmd?: readonly string[] | null; readonly Entrypoint?: readonly string[] | null } | null;
}

export interface HistoryItem {
  readonly Id: string;
  readonly Created: number;
  readonly CreatedBy: string;
  readonly Size: number;
  readonly Comment?: string;
  readonly Tags?: readonly string[] | null;
}

/** A line of pull's and load's progress. */
export interface ProgressLine {
  readonly id?: string;
  readonly status?: string;
  readonly stream?: string;
  readonly progressDetail?: { readonly current?: number; readonly total?: number };
  readonly error?: string;
  readonly errorDetail?: { readonly message?: string };
}

export interface EngineEvent {
  readonly Type: string;
  readonly Action: string;
  readonly Actor?: { readonly ID?: string; readonly Attributes?: Readonly<Record<string, string>> };
  readonly scope?: string;
  readonly time?: number;
  readonly timeNano?: number;
}

export interface ExecDetail {
  readonly Running: boolean;
  readonly ExitCode: number | null;
}

export interface VersionAnswer {
  readonly Version?: string;
  readonly ApiVersion?: string;
  readonly MinAPIVersion?: string;
  readonly GitCommit?: string;
  readonly Os?: string;
  readonly Arch?: string;
  readonly KernelVersion?: string;
  readonly BuildTime?: string;
  readonly Components?: readonly { readonly Name: string; readonly Version: string; readonly Details?: Readonly<Record<string, string>> }[];
}

export interface InfoAnswer extends Readonly<Record<string, unknown>> {
  readonly Containers?: number;
  readonly ContainersRunning?: number;
  readonly ContainersPaused?: number;
  readonly ContainersStopped?: number;
  readonly Images?: number;
  readonly ServerVersion?: string;
  readonly Runtimes?: Readonly<Record<string, unknown>>;
  readonly DefaultRuntime?: string;
  readonly OperatingSystem?: string;
  readonly KernelVersion?: string;
  readonly Architecture?: string;
  readonly NCPU?: number;
  readonly MemTotal?: number;
  readonly Name?: string;
  readonly Warnings?: readonly string[] | null;
}
