// One host's containerd: containers, snapshots and tasks that live on when the agent dies, calls that take their time, fail, or fail after they were
// carried out, and processes that end by themselves or when they are told to. It keeps count of what was started.
import { ContainerdError, type Containerd, type ContainerdEvent, type TaskProcess } from '@pouch/containerd';
import { startIdOfStdout } from '../../services/agent/src/tasks/observed.ts';
import { Probes } from './probes.ts';
import { Process, type Runtime } from './runtime.ts';

/** Of a call that is about an exec. */
interface Exec {
  readonly execId?: string;
}

interface Task {
  readonly containerId: string;
  readonly startId: string;
  readonly stdout: string;
  pid: number;
  status: 'CREATED' | 'RUNNING' | 'PAUSED' | 'STOPPED';
  exitStatus: number;
  exitedAt: string | null;
  readonly waiting: (() => void)[];
}

/** Shares of calls that fail before and after they were carried out. */
export interface EngineWeather {
  failed: number;
  lostAnswer: number;
}

const sigkill = 9;

export class Engine {
  readonly #runtime: Runtime;
  readonly hostName: string;
  readonly weather: EngineWeather = { failed: 0, lostAnswer: 0 };
  readonly tasks = new Map<string, Task>();
  readonly containers = new Set<string>();
  readonly snapshots = new Set<string>();
  readonly files = new Set<string>();
  readonly probes: Probes;
  readonly #onStart: (containerId: string, startId: string) => void;
  readonly #subscribers = new Map<(event: ContainerdEvent) => void, { readonly client: Process; readonly end: (error?: ContainerdError) => void }>();
  process: Process;
  #pid = 100;

  constructor(runtime: Runtime, hostName: string, onStart: (containerId: string, startId: string) => void) {
    this.#runtime = runtime;
    this.hostName = hostName;
    this.#onStart = onStart;
    this.process = new Process(`engine ${hostName}`);
    this.probes = new Probes(runtime, () => this.process);
  }

  running(): string[] {
    return [...this.tasks.values()].filter(({ status }) => status === 'RUNNING' || status === 'PAUSED').map(({ containerId }) => containerId);
  }

  /** containerd dies and is there again: its calls fail, its tasks go on. */
  restart(): void {
    for (const [onEvent, { end }] of this.#subscribers) {
      this.#subscribers.delete(onEvent);
      end(new ContainerdError('unavailable', 'Events.Subscribe', 'the stream ended'));
    }
  }

  /** The host is booted anew: no task is left. */
  reboot(): void {
    this.restart();
    this.process.alive = false;
    this.process = new Process(`engine ${this.hostName}`);
    this.tasks.clear();
    this.probes.clear();
  }

  /** As `client` has it. Only what the agent's container path calls. */
  face(client: Process): Containerd {
    const call = <T>(method: string, work: () => T | Promise<T>): Promise<T> => this.#call(client, method, work);
    const task = (id: string, method: string): Task => {
      const found = this.tasks.get(id);
      if (found === undefined) throw new ContainerdError('not-found', method, `no running task found: task ${id} not found`);
      return found;
    };
    const told = ({ containerId, pid, status, stdout, exitStatus, exitedAt }: Task): TaskProcess => ({ containerId, execId: '', pid, status, stdin: '', stdout, stderr: stdout, terminal: false, exitStatus, exitedAt });
    return {
      events: {
        subscribe: (_filters: string[], onEvent: (event: ContainerdEvent) => void) => call('Events.Subscribe', () => {
          const ended = Promise.withResolvers<ContainerdError | undefined>();
          this.#subscribers.set(onEvent, { client, end: (error) => { this.#runtime.after(client, 0, () => ended.resolve(error)); } });
          return { ended: ended.promise, close: () => { this.#subscribers.delete(onEvent); ended.resolve(undefined); } };
        }),
      },
      containers: {
        list: () => call('Containers.List', () => [...this.containers].map((id) => ({ id, labels: { 'io.pouch.container': id } }))),
        create: ({ id }: { id: string }) => call('Containers.Create', () => {
          if (this.containers.has(id)) throw new ContainerdError('already-exists', 'Containers.Create', `container "${id}": already exists`);
          this.containers.add(id);
        }),
        delete: (id: string) => call('Containers.Delete', () => {
          if (!this.containers.delete(id)) throw new ContainerdError('not-found', 'Containers.Delete', `container "${id}": not found`);
        }),
      },
      snapshots: { snapshotter: 'overlayfs', list: () => call('Snapshots.List', () => [...this.snapshots].map((name) => ({ name, kind: 'ACTIVE' }))) },
      tasks: {
        list: () => call('Tasks.List', () => [...this.tasks.values()].map(told)),
        get: (id: string, { execId }: Exec = {}) => call('Tasks.Get', () => (execId === undefined ? told(task(id, 'Tasks.Get')) : { ...told(task(id, 'Tasks.Get')), execId, status: this.probes.get(id, 'Tasks.Get').status })),
        create: ({ containerId, stdout = '' }: { containerId: string; stdout?: string }) => call('Tasks.Create', () => {
          if (this.tasks.has(containerId)) throw new ContainerdError('already-exists', 'Tasks.Create', `task ${containerId}: already exists`);
          if (!this.containers.has(containerId)) throw new ContainerdError('not-found', 'Tasks.Create', `container "${containerId}": not found`);
          const made: Task = { containerId, startId: startIdOfStdout(stdout) ?? '', stdout, pid: ++this.#pid, status: 'CREATED', exitStatus: 0, exitedAt: null, waiting: [] };
          this.tasks.set(containerId, made);
          return { pid: made.pid };
        }),
        exec: ({ containerId }: { containerId: string }) => call('Tasks.Exec', () => this.probes.add(task(containerId, 'Tasks.Exec'))),
        startExec: (id: string) => call('Tasks.Start', () => this.probes.start(task(id, 'Tasks.Start'))),
        deleteProcess: (id: string) => call('Tasks.DeleteProcess', () => this.probes.delete(id)),
        start: (id: string) => call('Tasks.Start', () => {
          const found = task(id, 'Tasks.Start');
          if (found.status !== 'CREATED') throw new ContainerdError('failed-precondition', 'Tasks.Start', 'cannot start a container that has started');
          found.status = 'RUNNING';
          this.#runtime.say(this.hostName, `runs ${id.slice(0, 8)} by ${found.startId}`);
          this.#onStart(id, found.startId);
          // One in three ends by itself after a while.
          if (this.#runtime.chance.is(0.33)) this.#endLater(found, this.#runtime.chance.between(5, 20_000), this.#runtime.chance.is(0.5) ? 0 : 1);
          return { pid: found.pid };
        }),
        kill: (id: string, signal: number, { execId }: Exec = {}) => call('Tasks.Kill', () => {
          if (execId !== undefined) return this.probes.kill(id);
          const found = task(id, 'Tasks.Kill');
          if (found.status === 'STOPPED') throw new ContainerdError('not-found', 'Tasks.Kill', 'process already finished');
          if (signal === sigkill) this.#endLater(found, this.#runtime.chance.between(0, 20), 137);
          // Some heed no signal but the last.
          else if (!id.startsWith('0')) this.#endLater(found, this.#runtime.chance.between(1, 3_000), 128 + signal);
        }),
        delete: (id: string) => call('Tasks.Delete', () => {
          const found = task(id, 'Tasks.Delete');
          if (found.status !== 'STOPPED' && found.status !== 'CREATED') throw new ContainerdError('failed-precondition', 'Tasks.Delete', 'cannot delete a running process');
          this.tasks.delete(id);
          this.probes.forget(id);
          return { pid: found.pid, exitStatus: found.exitStatus, exitedAt: found.exitedAt };
        }),
        wait: (id: string, { execId }: Exec = {}) => call('Tasks.Wait', async () => {
          if (execId !== undefined) return await this.probes.wait(id);
          const found = task(id, 'Tasks.Wait');
          if (found.status !== 'STOPPED') await new Promise<void>((ended) => found.waiting.push(ended));
          return { exitStatus: found.exitStatus, exitedAt: found.exitedAt };
        }),
        pause: (id: string) => call('Tasks.Pause', () => this.#turn(task(id, 'Tasks.Pause'), 'RUNNING', 'PAUSED')),
        resume: (id: string) => call('Tasks.Resume', () => this.#turn(task(id, 'Tasks.Resume'), 'PAUSED', 'RUNNING')),
      },
    } as unknown as Containerd;
  }

  #turn(task: Task, from: Task['status'], to: Task['status']): void {
    if (task.status !== from) throw new ContainerdError('failed-precondition', 'Tasks', `the container is ${task.status.toLowerCase()}`);
    task.status = to;
  }

  #endLater(task: Task, afterMs: number, exitStatus: number): void {
    this.#runtime.after(this.process, afterMs, () => {
      if (task.status === 'PAUSED' && exitStatus !== 137) return this.#endLater(task, 1_000, exitStatus);
      if (task.status === 'STOPPED' || this.tasks.get(task.containerId) !== task) return;
      task.status = 'STOPPED';
      task.exitStatus = exitStatus;
      task.exitedAt = new Date(this.#runtime.wallMs).toISOString();
      for (const ended of task.waiting) ended();
      this.probes.endWith(task.containerId);
      this.#runtime.say(this.hostName, `${task.containerId.slice(0, 8)} ended with ${exitStatus}`);
      const event = { namespace: 'pouch', topic: '/tasks/exit', timestamp: null, type: 'task-exit', containerId: task.containerId, execId: '', pid: task.pid, exitStatus, exitedAt: task.exitedAt } as const;
      for (const [onEvent, { client }] of this.#subscribers) this.#runtime.after(client, this.#runtime.chance.between(0.1, 5), () => { if (this.#subscribers.has(onEvent)) onEvent(event); });
    });
  }

  /** One call over the socket: it begins a little later, whatever becomes of who asked. */
  #call<T>(client: Process, method: string, work: () => T | Promise<T>): Promise<T> {
    const { chance } = this.#runtime;
    return new Promise<T>((resolve, reject) => {
      const answer = (settle: () => void): void => { this.#runtime.after(client, chance.between(0.1, 2), settle); };
      const unavailable = (): ContainerdError => new ContainerdError('unavailable', method, 'connection refused');
      if (chance.is(this.weather.failed)) return answer(() => reject(unavailable()));
      const lost = chance.is(this.weather.lostAnswer);
      this.#runtime.after(this.process, chance.between(0.1, 10), () => {
        void (async () => await work())().then(
          (value) => answer(() => { if (lost) reject(unavailable()); else resolve(value); }),
          (error: unknown) => answer(() => reject(lost ? unavailable() : error as Error)),
        );
      });
    });
  }
}
