// The tasks of this host as containerd tells them: a picture in memory, kept by its events and set right by a listing at every
// (re)connection. It reports nothing to the log and ends no task.
import { isContainerdError, type Containerd, type ContainerdEvent, type TaskProcess } from '@pouch/containerd';
import { startIdOfStdout, type Observed } from './observed.ts';

/** The part of a logger that this room uses. */
type Logger = Record<'info' | 'warn', (fields: object, message: string) => void>;

export interface TasksOptions {
  readonly containerd: Containerd;
  readonly logger: Logger;
  readonly now: () => number;
  /** Something was seen of this container's task. */
  readonly onChange: (containerId: string) => void;
  /** Memory ran out in this container, for the first time in this run. */
  readonly onOom: (containerId: string) => void;
  /** All tasks have been listed: every container is to be looked at. */
  readonly onListed: () => void;
}

const reconnectFirstMs = 50;
const reconnectMaxMs = 2_000;
/** For a shim to say how its container is. One that is stuck must not hold up the others. */
const askMs = 5_000;
const askAgainMs = 2_000;
const parallelAsks = 8;

export class Tasks {
  readonly #options: TasksOptions;
  readonly #tasks = new Map<string, Observed>();
  /** Containers whose task changed while a listing was under way: what it tells of them is old. Null: no listing. */
  #touched: Set<string> | null = null;
  readonly #stop = new AbortController();
  #known = false;
  /** Containers whose shims do not answer. */
  #unknown: Set<string> = new Set();
  #loop: Promise<void> | undefined;

  constructor(options: TasksOptions) {
    this.#options = options;
  }

  /** Whether it is known if this container has a task: listed since the last connection, and its shim answered. */
  knows(containerId: string): boolean {
    return this.#known && !this.#unknown.has(containerId);
  }

  get(containerId: string): Observed | null {
    return this.#tasks.get(containerId) ?? null;
  }

  ids(): string[] {
    return [...this.#tasks.keys()];
  }

  /** What the agent itself has just done to a task. */
  set(containerId: string, observed: Observed): void {
    this.#touched?.add(containerId);
    this.#tasks.set(containerId, observed);
  }

  /** Puts `change` over what is there; nothing when the task is not there, or when it stopped meanwhile and `change` would revive it. */
  update(containerId: string, change: Partial<Observed>): void {
    const observed = this.#tasks.get(containerId);
    if (observed === undefined) return;
    if (observed.status === 'stopped' && change.status !== undefined) {
      const { status: _, ...rest } = change;
      this.set(containerId, { ...observed, ...rest });
      return;
    }
    this.set(containerId, { ...observed, ...change });
  }

  drop(containerId: string): void {
    this.#touched?.add(containerId);
    this.#tasks.delete(containerId);
  }

  /** Asks containerd about one task, after a call whose outcome is not known. */
  async refresh(containerId: string, timeoutMs = askMs): Promise<void> {
    const before = this.#tasks.get(containerId);
    try {
      const observed = this.#fromTask(await this.#options.containerd.tasks.get(containerId, { timeoutMs }));
      // Its end came by an event while the answer, which is older, was under way.
      const now = this.#tasks.get(containerId);
      if (now !== before && now?.status === 'stopped' && now.startId === observed?.startId) return;
      if (observed !== null) this.set(containerId, observed);
    } catch (error) {
      if (!isContainerdError(error, 'not-found')) throw error;
      this.drop(containerId);
    }
  }

  /** Follows containerd until `stop`. */
  start(): void {
    this.#loop = this.#follow();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
  }


  async #follow(): Promise<void> {
    const { containerd, logger } = this.#options;
    const { signal } = this.#stop;
    let delayMs = reconnectFirstMs;
    while (!signal.aborted) {
      try {
        const subscription = await containerd.events.subscribe(['topic=="/tasks/exit"', 'topic=="/tasks/oom"'], (event) => { this.#seen(event); }, { signal });
        try {
          await this.#list();
          delayMs = reconnectFirstMs;
          const error = await subscription.ended;
          if (error !== undefined && !signal.aborted) logger.warn({ err: error }, 'containerd events ended');
        } finally {
          subscription.close();
        }
      } catch (error) {
        if (!signal.aborted) logger.warn({ err: error }, 'containerd cannot be followed');
      }
      this.#known = false;
      if (signal.aborted) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, delayMs);
        signal.addEventListener('abort', () => { clearTimeout(timer); resolve(); }, { once: true });
      });
      delayMs = Math.min(delayMs * 2, reconnectMaxMs);
    }
  }

  #seen(event: ContainerdEvent): void {
    if (event.type === 'task-exit' && event.execId === '') {
      const observed = this.#tasks.get(event.containerId);
      // Not ours yet or any more, or an exit of a task before this one.
      if (observed === undefined || (observed.pid !== 0 && observed.pid !== event.pid)) return;
      this.update(event.containerId, { status: 'stopped', pid: event.pid, exit: { code: event.exitStatus, atMs: msOf(event.exitedAt, this.#options.now()) } });
      this.#options.onChange(event.containerId);
    } else if (event.type === 'task-oom') {
      if (this.#tasks.get(event.containerId)?.oomKilled !== false) return;
      this.update(event.containerId, { oomKilled: true });
      this.#options.onOom(event.containerId);
    }
  }

  async #list(): Promise<void> {
    const touched = new Set<string>();
    this.#touched = touched;
    const { listed, unknown } = await this.#askAll();
    this.#touched = null;
    const present = new Set<string>();
    for (const task of listed) {
      present.add(task.containerId);
      if (touched.has(task.containerId)) continue;
      const observed = this.#fromTask(task);
      if (observed !== null) this.#tasks.set(task.containerId, observed);
    }
    for (const id of this.#tasks.keys()) if (!present.has(id) && !touched.has(id) && !unknown.has(id)) this.#tasks.delete(id);
    this.#unknown = unknown;
    this.#known = true;
    if (unknown.size > 0) this.#askAgain();
    this.#options.logger.info({ tasks: listed.length }, 'tasks listed');
    this.#options.onListed();
  }

  /** containerd asks every shim for its state; where one does not answer, the others are asked one by one. */
  async #askAll(): Promise<{ listed: readonly TaskProcess[]; unknown: Set<string> }> {
    const { containerd, logger } = this.#options;
    const { signal } = this.#stop;
    const unknown = new Set<string>();
    try {
      const tasks = await containerd.tasks.list({ signal, timeoutMs: askMs });
      // containerd lists a task whose shim did not answer it in time, empty: it is there, and anything but gone.
      for (const { containerId, status } of tasks) {
        if (status !== 'UNKNOWN') continue;
        unknown.add(containerId);
        logger.warn({ containerId }, 'the shim of a container does not answer');
      }
      return { listed: tasks.filter(({ status }) => status !== 'UNKNOWN'), unknown };
    } catch (error) {
      if (!isContainerdError(error, 'deadline')) throw error;
      logger.warn({ err: error }, 'tasks cannot be listed at once, each is asked for');
    }
    const listed: TaskProcess[] = [];
    const ids = (await containerd.containers.list([], { signal })).map(({ id }) => id);
    const ask = async (): Promise<void> => {
      for (let id = ids.pop(); id !== undefined; id = ids.pop()) {
        try {
          listed.push(await containerd.tasks.get(id, { signal, timeoutMs: askMs }));
        } catch (error) {
          if (isContainerdError(error, 'not-found')) continue;
          if (!isContainerdError(error, 'deadline')) throw error;
          unknown.add(id);
          logger.warn({ containerId: id }, 'the shim of a container does not answer');
        }
      }
    };
    await Promise.all(Array.from({ length: parallelAsks }, ask));
    return { listed, unknown };
  }

  /** Asks for the silent ones until they answer or containerd is listed anew; one after the other, so that they hold nobody up. */
  #askAgain(): void {
    const asked = this.#unknown;
    const timer = setTimeout(() => {
      void (async () => {
        for (const id of asked) {
          if (this.#stop.signal.aborted || asked !== this.#unknown) return;
          try {
            await this.refresh(id, askMs);
            asked.delete(id);
            this.#options.onChange(id);
          } catch (error) {
            this.#options.logger.warn({ containerId: id, err: error }, 'the shim of a container still does not answer');
          }
        }
        if (asked.size > 0 && asked === this.#unknown) this.#askAgain();
      })();
    }, askAgainMs);
    this.#stop.signal.addEventListener('abort', () => { clearTimeout(timer); }, { once: true });
  }

  #fromTask(task: TaskProcess): Observed | null {
    const startId = startIdOfStdout(task.stdout);
    if (startId === null) {
      this.#options.logger.warn({ containerId: task.containerId, stdout: task.stdout }, 'a task that no start of ours made is left alone');
      return null;
    }
    const known = this.#tasks.get(task.containerId);
    const oomKilled = known?.startId === startId && known.oomKilled;
    const base = { startId, pid: task.pid, oomKilled };
    switch (task.status) {
      case 'STOPPED':
        return { ...base, status: 'stopped', exit: { code: task.exitStatus, atMs: msOf(task.exitedAt, this.#options.now()) } };
      case 'CREATED':
        return { ...base, status: 'created', exit: null };
      case 'PAUSED':
      case 'PAUSING':
        return { ...base, status: 'paused', exit: null };
      default:
        return { ...base, status: 'running', exit: null };
    }
  }
}

function msOf(time: string | null, otherwiseMs: number): number {
  const ms = time === null ? Number.NaN : Date.parse(time);
  return Number.isNaN(ms) ? otherwiseMs : ms;
}
