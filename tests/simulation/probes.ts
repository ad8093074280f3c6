// The processes of health probes inside one host's tasks: a container is well or ill for a while, and its probes say so, say nothing at all, or cannot be killed at once. It keeps
// count of what each run's probes have said.
import { ContainerdError, type TaskStatus } from '@pouch/containerd';
import type { Process, Runtime } from './runtime.ts';

type Mood = 'well' | 'ill' | 'silent';

/** The task that a probe is in. */
interface Task {
  readonly containerId: string;
  readonly startId: string;
  readonly status: TaskStatus;
}

interface Probe {
  readonly run: string;
  status: TaskStatus;
  exitStatus: number;
  readonly waiting: (() => void)[];
}

/** What the probes of one run have come to. */
export interface ProbeCount {
  begun: number;
  passed: number;
}

const killed = 137;

export class Probes {
  readonly #runtime: Runtime;
  readonly #host: () => Process;
  /** By container: a probe has one id, so there is one at most. */
  readonly #probes = new Map<string, Probe>();
  readonly #moods = new Map<string, Mood>();
  /** By container and start. */
  readonly counts = new Map<string, ProbeCount>();
  /** Moods do not change any more. */
  steady = false;

  /** `host`: the life that the host has at that moment. */
  constructor(runtime: Runtime, host: () => Process) {
    this.#runtime = runtime;
    this.#host = host;
  }

  /** What the probes of a container find from here on. */
  isWell(containerId: string): boolean {
    return this.#mood(containerId) === 'well';
  }

  get(id: string, method: string): Probe {
    const found = this.#probes.get(id);
    if (found === undefined) throw new ContainerdError('not-found', method, `process of task ${id} not found`);
    return found;
  }

  add({ containerId, startId, status }: Task): void {
    const run = `${containerId} ${startId}`;
    this.#count(run).begun++;
    if (status !== 'RUNNING') throw new ContainerdError('failed-precondition', 'Tasks.Exec', `the container is ${status.toLowerCase()}`);
    if (this.#probes.has(containerId)) throw new ContainerdError('already-exists', 'Tasks.Exec', 'the process is there');
    this.#probes.set(containerId, { run, status: 'CREATED', exitStatus: 0, waiting: [] });
  }

  start({ containerId }: Task): { pid: number } {
    const probe = this.get(containerId, 'Tasks.Start');
    if (probe.status !== 'CREATED') throw new ContainerdError('failed-precondition', 'Tasks.Start', 'the process has started');
    probe.status = 'RUNNING';
    const mood = this.#mood(containerId);
    if (mood !== 'silent') this.#endLater(containerId, probe, this.#runtime.chance.between(1, 50), mood === 'well' ? 0 : 1);
    return { pid: 1 };
  }

  /** Now and then one is in the kernel, and heeds nothing. */
  kill(id: string): void {
    const probe = this.get(id, 'Tasks.Kill');
    if (probe.status === 'STOPPED') throw new ContainerdError('not-found', 'Tasks.Kill', 'process already finished');
    if (this.steady || !this.#runtime.chance.is(0.05)) this.#endLater(id, probe, this.#runtime.chance.between(0, 20), killed);
  }

  async wait(id: string): Promise<{ exitStatus: number; exitedAt: string }> {
    const probe = this.get(id, 'Tasks.Wait');
    if (probe.status !== 'STOPPED') await new Promise<void>((ended) => probe.waiting.push(ended));
    return { exitStatus: probe.exitStatus, exitedAt: new Date(this.#runtime.wallMs).toISOString() };
  }

  delete(id: string): { pid: number; exitStatus: number } {
    const { status, exitStatus } = this.get(id, 'Tasks.DeleteProcess');
    if (status === 'RUNNING') throw new ContainerdError('failed-precondition', 'Tasks.DeleteProcess', 'cannot delete a running process');
    this.#probes.delete(id);
    return { pid: 1, exitStatus };
  }

  /** The container's own process has ended, and all others with it. */
  endWith(containerId: string): void {
    const probe = this.#probes.get(containerId);
    if (probe !== undefined) this.#end(containerId, probe, killed);
  }

  /** The task is deleted. */
  forget(containerId: string): void {
    this.#probes.delete(containerId);
  }

  /** The host is booted anew. */
  clear(): void {
    this.#probes.clear();
  }

  #endLater(id: string, probe: Probe, afterMs: number, exitStatus: number): void {
    this.#runtime.after(this.#host(), afterMs, () => this.#end(id, probe, exitStatus));
  }

  #end(id: string, probe: Probe, exitStatus: number): void {
    if (probe.status === 'STOPPED' || this.#probes.get(id) !== probe) return;
    probe.status = 'STOPPED';
    probe.exitStatus = exitStatus;
    if (exitStatus === 0) this.#count(probe.run).passed++;
    for (const ended of probe.waiting) ended();
  }

  #count(run: string): ProbeCount {
    const known = this.counts.get(run);
    if (known !== undefined) return known;
    const count = { begun: 0, passed: 0 };
    this.counts.set(run, count);
    return count;
  }

  /** Most are well; it changes from one probe to the next, until it is to be steady. */
  #mood(containerId: string): Mood {
    const { chance } = this.#runtime;
    const mood = this.#moods.get(containerId);
    if (mood !== undefined && (this.steady || !chance.is(0.1))) return mood;
    const next = this.steady ? 'well' : chance.pick<Mood>(['well', 'well', 'well', 'ill', 'silent']);
    this.#moods.set(containerId, next);
    return next;
  }
}
