// Where the agent keeps a container's files. Makes paths and the directories of one container; decides nothing.
import { mkdir, readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { machineRuntime } from '@pouch/domain';
import { startDirectory } from '../tasks/observed.ts';

export interface StdioPaths {
  readonly dir: string;
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
}

export class Layout {
  readonly #dataDir: string;
  readonly #runDir: string;

  readonly #namespace: string;
  /** Clients that read a container's log, by its id. */
  readonly #readers = new Map<string, number>();
  /** Removed containers whose log is still read. */
  readonly #leaving = new Set<string>();

  constructor({ dataDir, runDir, containerdNamespace }: { readonly dataDir: string; readonly runDir: string; readonly containerdNamespace: string }) {
    this.#namespace = containerdNamespace;
    this.#dataDir = dataDir;
    this.#runDir = runDir;
  }

  get database(): string {
    return join(this.#dataDir, 'agent.db');
  }

  /** What is kept of one container until it is removed. */
  container(id: string): string {
    return join(this.#dataDir, 'containers', id);
  }

  /** Of volumes' data, a directory each. */
  get volumes(): string {
    return join(this.#dataDir, 'volumes');
  }

  /** OCI bundle of its machine, while that runs for its files only. */
  filesBundle(id: string): string {
    return join(this.container(id), 'files');
  }

  log(id: string): string {
    return join(this.container(id), 'log');
  }

  generated(id: string): { readonly hostsPath: string; readonly hostnamePath: string; readonly resolvConfPath: string } {
    const dir = this.container(id);
    return { hostsPath: join(dir, 'hosts'), hostnamePath: join(dir, 'hostname'), resolvConfPath: join(dir, 'resolv.conf') };
  }

  /** Mount point of the tmpfs with opened secrets, a directory for each running container that has any. */
  get secrets(): string {
    return join(this.#runDir, 'secrets');
  }

  /** FIFOs of all starts and execs of one container. */
  io(id: string): string {
    return join(this.#runDir, 'io', id);
  }

  /** FIFOs of one start: the start's id stands in the path, see `startIdOfStdout`. */
  startIo(id: string, startId: string): StdioPaths {
    return stdio(join(this.io(id), startDirectory(startId)));
  }

  execIo(id: string, execId: string): StdioPaths {
    return stdio(join(this.io(id), 'exec', execId));
  }

  /** State directory of an OCI runtime, apart from every other containerd's on this host. */
  runtimeState(runtime: string): string {
    return join(this.#runDir, 'runtimes', runtime);
  }

  /** Where runv keeps its machines: the shim puts containerd's namespace behind the runtime's state directory. */
  get machines(): string {
    return join(this.runtimeState(machineRuntime), this.#namespace);
  }

  async make(): Promise<void> {
    await mkdir(join(this.#dataDir, 'containers'), { recursive: true, mode: 0o711 });
    await mkdir(join(this.#runDir, 'io'), { recursive: true, mode: 0o711 });
  }

  /** 0711: the container's processes reach their generated files whoever they are. */
  async makeContainer(id: string): Promise<void> {
    await mkdir(this.log(id), { recursive: true, mode: 0o711 });
  }

  /** Keeps the log until `work` is over, even if the container is removed meanwhile: `run --rm` removes it before its client has read all. */
  async whileReading<T>(id: string, work: () => Promise<T>): Promise<T> {
    this.#readers.set(id, (this.#readers.get(id) ?? 0) + 1);
    try {
      return await work();
    } finally {
      const left = (this.#readers.get(id) ?? 1) - 1;
      if (left > 0) this.#readers.set(id, left);
      else this.#readers.delete(id);
      if (left === 0 && this.#leaving.delete(id)) await rm(this.container(id), { recursive: true, force: true });
    }
  }

  async removeContainer(id: string): Promise<void> {
    await Promise.all([this.#removeKept(id), this.removeIo(id)]);
  }

  async #removeKept(id: string): Promise<void> {
    if (!this.#readers.has(id)) return await rm(this.container(id), { recursive: true, force: true });
    this.#leaving.add(id);
    const log = basename(this.log(id));
    const names = await readdir(this.container(id)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []; // removed already
      throw error;
    });
    for (const name of names) if (name !== log) await rm(join(this.container(id), name), { recursive: true, force: true });
  }

  async removeIo(id: string): Promise<void> {
    await rm(this.io(id), { recursive: true, force: true });
  }

  /** Ids of containers that anything is kept of. */
  async present(): Promise<string[]> {
    const [kept, running] = await Promise.all([readdir(join(this.#dataDir, 'containers')), readdir(join(this.#runDir, 'io'))]);
    return [...new Set([...kept, ...running])];
  }
}

function stdio(dir: string): StdioPaths {
  return { dir, stdin: join(dir, 'stdin'), stdout: join(dir, 'stdout'), stderr: join(dir, 'stderr') };
}
