// containerd's tasks: the processes of containers, run by shims. Does not open stdio and does not mount anything.
import { ContainerdError } from './errors.ts';
import type { CallOptions, Rpc } from './rpc.ts';
import type { Mount } from './snapshots.ts';
import { runtimeSpecAny, timestampText, type Any, type WireTimestamp } from './wire.ts';

const SERVICE = 'containerd.services.tasks.v1.Tasks';
// Calls that run an OCI runtime take as long as that takes: a VM may boot in them, and the machine may be busy.
const RUNTIME_TIMEOUT_MS = 120_000;
const CONTROL_TIMEOUT_MS = 30_000;

export type TaskStatus = 'UNKNOWN' | 'CREATED' | 'RUNNING' | 'STOPPED' | 'PAUSED' | 'PAUSING';
/** One process: the container's first one (`execId` empty) or an exec. `exitedAt` is RFC 3339 with nanoseconds. */
export type TaskProcess = {
  containerId: string; execId: string; pid: number; status: TaskStatus;
  stdin: string; stdout: string; stderr: string; terminal: boolean;
  exitStatus: number; exitedAt: string | null;
};
/** `exitStatus` is 128 + N after a death by signal N. */
export type TaskExit = { exitStatus: number; exitedAt: string | null };
/** `binary:///path?k=v`, `file:///path` or the path of a FIFO; empty for none. */
export type TaskStdio = { stdin?: string; stdout?: string; stderr?: string; terminal?: boolean };
export type NewTask = TaskStdio & { containerId: string; rootfs: Mount[]; /** replaces the container record's runtime options */ options?: Any };
/** `process` is the OCI runtime spec's process object. */
export type NewExec = TaskStdio & { containerId: string; execId: string; process: object };
export type TaskMetric = { containerId: string; timestamp: string | null; /** containerd's cgroup v1 or v2 metrics message, not decoded */ data: Any };

type WireProcess = Omit<TaskProcess, 'containerId' | 'execId' | 'exitedAt'> & { containerId: string; id: string; exitedAt: WireTimestamp };

export class Tasks {
  readonly #rpc: Rpc;
  constructor(rpc: Rpc) { this.#rpc = rpc; }

  /** Makes the container (the OCI runtime's `create`) and returns the pid of its first process, which waits for `start`. */
  async create(task: NewTask, options?: CallOptions): Promise<{ pid: number }> {
    const { pid } = await this.#rpc.unary<{ pid: number }>(`${SERVICE}/Create`, task, options, RUNTIME_TIMEOUT_MS);
    return { pid };
  }

  /** Starts the first process. */
  async start(containerId: string, options?: CallOptions): Promise<{ pid: number }> {
    return this.#rpc.unary<{ pid: number }>(`${SERVICE}/Start`, { containerId }, options, RUNTIME_TIMEOUT_MS);
  }

  /** Adds a further process, which waits for `startExec`. */
  async exec({ containerId, execId, process, ...stdio }: NewExec, options?: CallOptions): Promise<void> {
    await this.#rpc.unary(`${SERVICE}/Exec`, { containerId, execId, spec: runtimeSpecAny('Process', process), ...stdio }, options, RUNTIME_TIMEOUT_MS);
  }

  async startExec(containerId: string, execId: string, options?: CallOptions): Promise<{ pid: number }> {
    return this.#rpc.unary<{ pid: number }>(`${SERVICE}/Start`, { containerId, execId }, options, RUNTIME_TIMEOUT_MS);
  }

  /** Sends a signal to the first process, to an exec, or with `all` to every process of the container. Fails with `not-found` when it has ended. */
  async kill(containerId: string, signal: number, { execId = '', all = false, ...options }: { execId?: string; all?: boolean } & CallOptions = {}): Promise<void> {
    await this.#rpc.unary(`${SERVICE}/Kill`, { containerId, execId, signal, all }, options, CONTROL_TIMEOUT_MS);
  }

  /** Removes an ended task and its shim, and returns how it ended. Fails with `failed-precondition` while it runs. */
  async delete(containerId: string, options?: CallOptions): Promise<TaskExit & { pid: number }> {
    return exitOf(await this.#rpc.unary<WireExit & { pid: number }>(`${SERVICE}/Delete`, { containerId }, options, RUNTIME_TIMEOUT_MS));
  }

  /** Removes an ended exec. */
  async deleteProcess(containerId: string, execId: string, options?: CallOptions): Promise<TaskExit & { pid: number }> {
    return exitOf(await this.#rpc.unary<WireExit & { pid: number }>(`${SERVICE}/DeleteProcess`, { containerId, execId }, options, RUNTIME_TIMEOUT_MS));
  }

  /** Waits for the end of a process, without a deadline; also answers for one that has ended already and is not deleted yet. */
  async wait(containerId: string, { execId = '', ...options }: { execId?: string } & CallOptions = {}): Promise<TaskExit> {
    const exit = await this.#rpc.unary<WireExit>(`${SERVICE}/Wait`, { containerId, execId }, options, null);
    return { exitStatus: exit.exitStatus, exitedAt: timestampText(exit.exitedAt) };
  }

  /** Asks the shim. Fails with `not-found`; with `deadline` where the shim did not answer containerd, which then knows nothing of the process but its name. */
  async get(containerId: string, { execId = '', ...options }: { execId?: string } & CallOptions = {}): Promise<TaskProcess> {
    const { process } = await this.#rpc.unary<{ process: WireProcess }>(`${SERVICE}/Get`, { containerId, execId }, options, CONTROL_TIMEOUT_MS);
    if (process.status === 'UNKNOWN') throw new ContainerdError('deadline', 'Tasks.Get', `the shim of ${containerId} does not say how its process is`);
    return { ...fromWire(process), containerId, execId }; // containerd 1.6 puts either into `id` and leaves `container_id` empty
  }

  /** All first processes. `UNKNOWN` are those whose shim did not answer in containerd's time: of them nothing but the id is to be believed. */
  async list(options?: CallOptions): Promise<TaskProcess[]> {
    return (await this.#rpc.unary<{ tasks: WireProcess[] }>(`${SERVICE}/List`, {}, options, CONTROL_TIMEOUT_MS)).tasks.map(fromWire);
  }

  /** The host's pids of every process in the container; `execInfo` is the shim's own detail on execs, not decoded. */
  async listPids(containerId: string, options?: CallOptions): Promise<{ pid: number; info: Any | null }[]> {
    return (await this.#rpc.unary<{ processes: { pid: number; info: Any | null }[] }>(`${SERVICE}/ListPids`, { containerId }, options, CONTROL_TIMEOUT_MS)).processes;
  }

  async pause(containerId: string, options?: CallOptions): Promise<void> {
    await this.#rpc.unary(`${SERVICE}/Pause`, { containerId }, options, CONTROL_TIMEOUT_MS);
  }

  async resume(containerId: string, options?: CallOptions): Promise<void> {
    await this.#rpc.unary(`${SERVICE}/Resume`, { containerId }, options, CONTROL_TIMEOUT_MS);
  }

  async resizePty(containerId: string, size: { width: number; height: number }, { execId = '', ...options }: { execId?: string } & CallOptions = {}): Promise<void> {
    await this.#rpc.unary(`${SERVICE}/ResizePty`, { containerId, execId, ...size }, options, CONTROL_TIMEOUT_MS);
  }

  /** Closes the shim's own end of stdin, so that the process reads EOF once every other writer is gone. */
  async closeStdin(containerId: string, { execId = '', ...options }: { execId?: string } & CallOptions = {}): Promise<void> {
    await this.#rpc.unary(`${SERVICE}/CloseIO`, { containerId, execId, stdin: true }, options, CONTROL_TIMEOUT_MS);
  }

  /** Changes limits of a running task; `resources` is the OCI runtime spec's linux.resources. */
  async update(containerId: string, resources: object, options?: CallOptions): Promise<void> {
    await this.#rpc.unary(`${SERVICE}/Update`, { containerId, resources: runtimeSpecAny('LinuxResources', resources) }, options, CONTROL_TIMEOUT_MS);
  }

  /** Usage figures of the tasks that match any filter (e.g. `id==abc`); of all without filters. */
  async metrics(filters: string[] = [], options?: CallOptions): Promise<TaskMetric[]> {
    const { metrics } = await this.#rpc.unary<{ metrics: { id: string; timestamp: WireTimestamp; data: Any }[] }>(`${SERVICE}/Metrics`, { filters }, options, CONTROL_TIMEOUT_MS);
    return metrics.map(({ id, timestamp, data }) => ({ containerId: id, timestamp: timestampText(timestamp), data }));
  }
}

type WireExit = { exitStatus: number; exitedAt: WireTimestamp };

function exitOf(exit: WireExit & { pid: number }): TaskExit & { pid: number } {
  return { pid: exit.pid, exitStatus: exit.exitStatus, exitedAt: timestampText(exit.exitedAt) };
}

// A list holds first processes only; containerd 1.6 puts the container's id into `id` and leaves `container_id` empty.
function fromWire({ containerId, id, exitedAt, ...rest }: WireProcess): TaskProcess {
  const container = containerId === '' ? id : containerId;
  return { ...rest, containerId: container, execId: id === container ? '' : id, exitedAt: timestampText(exitedAt) };
}
